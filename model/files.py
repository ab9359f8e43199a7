"""The one way a file is written: all of it, or not at all, also when the power goes or the disk is full."""

import contextlib
import ctypes
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

_syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)  # Linux has it; elsewhere all disks are waited for
PARTIAL = ".partial-"  # what a killed process may leave behind begins with this


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
    # Not `tempfile`: it would make the file readable by its owner only, whatever the umask says.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the folder's entries durable: without this a rename may be forgotten by a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
