"""A copy of a data folder, made while it is in use, and the way back.

A backup is a folder like the data folder itself, so it can be looked at and made again into the same place: files that
are named by their content are copied once. The catalog and the vectors are taken through SQLite's online backup; they
come between two passes over the files, so that what was added before is there, and what was removed since is too.
`backup.json` is written last: without it, a backup is not whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from indexer.home import Home
from indexer.schema import now
from model.errors import BadInput, Cancelled
from model.files import PARTIAL, remove_partials, write_atomically
from model.progress import Progress, rate_line

MANIFEST = "backup.json"
KEPT = ("originals", "previews", "models", "uploads", "indexes")  # not what is made again: renditions, runs, locks
TRIES = 5  # to copy a folder that somebody replaces meanwhile


@dataclass(frozen=True)
class Backup:
    """What a backup holds."""

    version: str  # of Likeness
    created_at: str
    catalog: str  # SHA-256
    files: int
    bytes: int


def back_up(
    home: Home,
    target: Path,
    version: str,
    progress: Progress = lambda share, message: None,
    stop: Callable[[], bool] = lambda: False,
) -> Backup:
    """Copy `home` into the folder `target`: a new one, an empty one, or an earlier backup, which is brought up to date.

    Raises BadInput when `target` holds anything else, or lies in the data folder.
    """
    target = target.resolve()
    if target.is_relative_to(home.root.resolve()):
        raise BadInput(f"{target} lies in the data folder: choose a place outside, best on another disk.")
    if target.exists() and not (target.is_dir() and (not any(target.iterdir()) or _is_backup(target))):
        raise BadInput(f"{target} holds something else: name a new folder, an empty one or an earlier backup.")
    (target / MANIFEST).unlink(missing_ok=True)  # from now on it is neither the old backup nor the new one
    target.mkdir(parents=True, exist_ok=True)
    write_atomically(target / "README.txt", b"A backup of Likeness. `likeness restore` brings it back.\n")

    copied = _Copying(2 * _count(home.root), progress, stop)
    for name in KEPT:
        copied.folder(home.root / name, target / name)
    _copy_database(home.catalog, target / "catalog.db")
    for store in home.all_vectors():
        (target / "vectors").mkdir(exist_ok=True)
        _copy_database(store, target / "vectors" / store.name)
    for name in KEPT:  # what came in between, and is in the catalog
        copied.folder(home.root / name, target / name)

    _drop_removed(home, target)
    files = [path for path in target.rglob("*") if path.is_file()]
    made = Backup(
        version, now(), _sha256(target / "catalog.db"), len(files), sum(path.stat().st_size for path in files)
    )
    write_atomically(target / MANIFEST, json.dumps(asdict(made), indent=2).encode())
    return made


def restore(
    source: Path,
    home: Home,
    progress: Progress = lambda share, message: None,
    stop: Callable[[], bool] = lambda: False,
) -> Backup:
    """Bring a backup into an empty data folder. Raises BadInput when it is none, or when there is something already."""
    try:
        made = Backup(**json.loads((source / MANIFEST).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"{source} is no whole backup of Likeness ({MANIFEST} is missing or damaged).") from error
    begun = home.root / "restoring"  # a restore that was stopped goes on
    if home.root.exists() and any(home.root.iterdir()) and not begun.exists():
        raise BadInput(f"{home.root} is not empty: move it away first, or name another place with --home.")
    if not (source / "catalog.db").exists() or _sha256(source / "catalog.db") != made.catalog:
        raise BadInput(f"{source / 'catalog.db'} is not the one that was backed up: this backup is damaged.")
    home.root.mkdir(parents=True, exist_ok=True)
    write_atomically(begun, b"")
    copied = _Copying(_count(source), progress, stop)
    for name in (*KEPT, "vectors"):
        copied.folder(source / name, home.root / name)
    _copy_file(source / "catalog.db", home.catalog)
    begun.unlink()
    return made


class _Copying:
    """Copies folders, says how far it is, and can be stopped; copied again, only what is missing is."""

    def __init__(self, files: int, progress: Progress, stop: Callable[[], bool]) -> None:
        self.files, self.progress, self.stop, self.done = files, progress, stop, 0
        self.started = time.monotonic()

    def folder(self, source: Path, target: Path) -> None:
        for folder in _folders(source):
            for _ in range(TRIES):
                if self._flat(folder, target / folder.relative_to(source)):
                    break
            else:
                raise BadInput(f"{folder} is being replaced again and again: back up when less is going on.")

    def _flat(self, source: Path, target: Path) -> bool:
        """One folder's own files; False when its `current.json` changed meanwhile, so that they may not fit."""
        before = _read(source / "current.json")
        for path in sorted(source.iterdir(), key=lambda path: path.name == "current.json"):
            if not path.is_file() or path.name.startswith("."):
                continue
            self.done += 1
            if self.done % 100 == 0:
                line = rate_line(self.done, self.files, time.monotonic() - self.started, "files")
                self.progress(min(1.0, self.done / self.files), line)
            if self.stop():
                raise Cancelled(f"Stopped after {self.done:,} files; the same command goes on from there.")
            try:
                copy = target / path.name
                if not copy.exists() or _stamp(copy) != _stamp(path):
                    _copy_file(path, copy)
            except FileNotFoundError:
                continue  # removed meanwhile; what the catalog names came with the first pass
        return _read(source / "current.json") == before


def _count(root: Path) -> int:
    return sum(len(names) for name in (*KEPT, "vectors") for _, _, names in os.walk(root / name))


def _folders(root: Path) -> Iterator[Path]:
    for folder, subfolders, _ in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield Path(folder)


def _copy_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{PARTIAL}{target.name}")
    try:
        shutil.copyfile(source, partial)
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        times = source.stat()
        os.utime(partial, ns=(times.st_atime_ns, times.st_mtime_ns))  # how the next backup knows that it is the same
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _stamp(path: Path) -> tuple[int, int]:
    info = path.stat()
    return info.st_size, info.st_mtime_ns


def _copy_database(source: Path, target: Path) -> None:
    """A consistent copy, whoever writes meanwhile (https://www.sqlite.org/backup.html)."""
    remove_partials(target.parent)
    partial = target.with_name(f"{PARTIAL}{target.name}")
    with closing(sqlite3.connect(source)) as from_, closing(sqlite3.connect(partial)) as to:
        from_.backup(to)
        to.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
    os.replace(partial, target)


def _drop_removed(home: Home, target: Path) -> None:
    """A backup that is brought up to date forgets whole models and indexes that are gone, not pictures one by one."""
    for name in ("models", "indexes", "uploads"):
        for folder in sorted(_folders(target / name), reverse=True):
            if folder != target / name and not (home.root / folder.relative_to(target)).exists():
                shutil.rmtree(folder)
    for path in (target / "vectors").glob("*.db"):
        if not (home.root / "vectors" / path.name).exists():
            path.unlink()


def _is_backup(folder: Path) -> bool:
    return (folder / MANIFEST).exists() or _read(folder / "README.txt").startswith(b"A backup of Likeness.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
