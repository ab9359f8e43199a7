"""The one way a file is written: all of it, or not at all, also when the power goes or the disk is full."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

_syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)  # Linux has it; elsewhere all disks are waited for
PARTIAL = ".partial-"  # what a killed process may leave behind begins with this
HASHED_AT_ONCE = 1 << 22  # bytes

if TYPE_CHECKING:
    from typing_extensions import Buffer


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`. Readers see the old file or the new; a failure leaves the old and no temporary."""
    partial = path.parent / f"{PARTIAL}{secrets.token_hex(8)}"
    try:
        _write_synced(partial, data)
        os.replace(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        raise _named(error, path) from None
    _sync_folder(path.parent)


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Make `path` appear with all of `data`, or not at all; until `settle` a power cut may take or tear it."""
    partial = os.path.join(os.path.dirname(path), f"{PARTIAL}{secrets.token_hex(8)}")
    try:
        with open(partial, "wb") as file:
            file.write(data)
        os.replace(partial, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise _named(error, path) from None


def _named(error: BaseException, path: str | os.PathLike[str]) -> BaseException:
    """The same error; one of the disk, which knows no path when it strikes in mid-file, now names it."""
    if isinstance(error, OSError) and error.filename is None and error.errno is not None:
        error.filename = str(path)
    return error


def settle(folder: Path) -> None:
    """Wait until all that was written to the disk below `folder` is durable: one wait instead of two for each file."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _syncfs is None:
            os.sync()
        elif _syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def write_named_by_hash(folder: Path, suffix: str, parts: Iterable[Buffer]) -> str:
    """Write `parts`, one after the other, to `<SHA-256><suffix>` in `folder`; returns that SHA-256.

    For what is too large to be held twice in memory. A failure leaves no temporary.
    """
    partial = folder / f"{PARTIAL}{secrets.token_hex(8)}"
    digest = hashlib.sha256()
    try:
        with _new_file(partial) as file:
            for part in parts:
                digest.update(part)
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / f"{digest.hexdigest()}{suffix}")
    except BaseException as error:
        partial.unlink(missing_ok=True)
        raise _named(error, folder) from None
    _sync_folder(folder)
    return digest.hexdigest()


def hash_of(path: Path, start: int = 0, length: int | None = None) -> str:
    """The SHA-256 of `length` bytes of a file from `start` on (None: to its end), without holding them."""
    digest = hashlib.sha256()
    left = path.stat().st_size - start if length is None else length
    with open(path, "rb") as file:
        file.seek(start)
        while left > 0 and (part := file.read(min(left, HASHED_AT_ONCE))):
            digest.update(part)
            left -= len(part)
    return digest.hexdigest()


def create_folder_atomically(path: Path, fill: Callable[[Path], None]) -> None:
    """Make the folder `path` appear with everything that `fill` wrote into it. A folder already there is replaced.

    Replacing is two renames, for a folder cannot be renamed over a full one: between them `path` is absent, never half.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.parent / f"{PARTIAL}{secrets.token_hex(8)}"
    replaced = path.parent / f"{PARTIAL}{secrets.token_hex(8)}"
    try:
        partial.mkdir()
        fill(partial)
        _sync_folder(partial)
        if path.exists():
            os.rename(path, replaced)
        os.rename(partial, path)
    except BaseException:
        if replaced.exists() and not path.exists():
            os.rename(replaced, path)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
    _sync_folder(path.parent)


def remove_partials(folder: Path) -> None:
    """Clear away what a killed process left in `folder`. Only for whoever holds the lock on writing there."""
    for partial in folder.glob(f"{PARTIAL}*"):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def _write_synced(path: Path, data: bytes) -> None:
    with _new_file(path) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _new_file(path: Path) -> BinaryIO:
    # Not `tempfile`: it would make the file readable by its owner only, whatever the umask says.
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb")


def _sync_folder(folder: Path) -> None:
    """Make the folder's entries durable: without this a rename may be forgotten by a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
