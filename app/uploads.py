"""Batches of files that arrive over HTTP, one request a file, and wait on disk for their import.

What has arrived stays: a batch can be gone on with after a lost connection or a restart, a file of several GB from the
byte where it broke off. `uploads/<batch>/` holds batch.json, and of each file its bytes (`<key>`, `<key>.part` until it
is whole) and `<key>.json` with its name and size.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import AsyncIterator, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool

from app.uploaded import Arrived, UploadConflict, append, key_of, received
from indexer.catalog import Collection
from indexer.errors import NoSuch
from indexer.home import Home
from indexer.sources import NAMES
from model.errors import BadInput
from model.files import write_atomically
from model.progress import Line

KEPT_FREE = 256 << 20  # bytes of the disk that an upload leaves to everybody else
MOST_FILES = 100_000  # of one batch: each is two files on the disk, and a line of what has arrived
FORGOTTEN = 7 * 86_400  # seconds after which a batch that nobody finished is dropped
_BATCH = "batch.json"


class NoSuchUpload(NoSuch):
    """There is no upload of that id that still takes files."""


@dataclass
class _Announced:
    """What the files of a batch will hold, as their senders said."""

    sizes: dict[str, int]  # by key
    total: int

    def put(self, key: str, size: int) -> None:
        self.total += size - self.sizes.get(key, 0)
        self.sizes[key] = size

    def leave_out(self, key: str) -> None:
        self.total -= self.sizes.pop(key, 0)


class Uploads:
    """The batches of one data folder. One per process, which is the API's."""

    def __init__(self, home: Home, most_per_file: int, most_per_batch: int) -> None:
        self.home, self.most_per_file, self.most_per_batch = home, most_per_file, most_per_batch
        home.upload("").mkdir(parents=True, exist_ok=True)
        self.finishing = threading.Lock()  # held from closing a batch until its job is in line
        self._lock = threading.Lock()  # the event loop takes it: held for moments only
        self._reading = threading.Lock()  # held while the files of a batch are read, of which there may be very many
        self._busy: set[Path] = set()  # files that a request is writing now
        self._closing: set[Path] = set()  # folders that take no files any more, or not for the moment
        self._announced: dict[str, _Announced] = {}  # by batch

    def begin(self, collection: Collection, waiting: Container[str] = ()) -> str:
        """Make an empty batch; returns its id. Others that nobody finished for a week go, but not `waiting` ones."""
        self._forget_old(waiting)
        batch = secrets.token_hex(16)
        folder = self.home.upload(batch)
        folder.mkdir(parents=True)
        write_atomically(folder / _BATCH, json.dumps({"collection_id": collection.id}).encode())
        return batch

    @contextmanager
    def taken(
        self, collection: Collection, files: Iterable[tuple[str, BinaryIO]], waiting: Container[str]
    ) -> Iterator[str]:
        """The files of one request, which have arrived, as a batch that is finished. Half of it is none, nor is one
        whose job cannot be put in line, for nobody else knows its id."""
        batch = self.begin(collection, waiting)
        folder, names = self.home.upload(batch), {}
        try:
            for number, (name, file) in enumerate(files):
                stored_as = f"{number:06d}"
                _require_space(folder, file.seek(0, os.SEEK_END))
                file.seek(0)
                with open(folder / stored_as, "wb") as target:
                    shutil.copyfileobj(file, target, 1 << 20)
                    target.flush()
                    os.fsync(target.fileno())
                names[stored_as] = name or stored_as
            write_atomically(folder / NAMES, json.dumps(names).encode())
            yield batch
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def collection_id(self, batch: str) -> int:
        """Of a batch, also when it is finished and its files are still here."""
        return int(json.loads((self._here(batch) / _BATCH).read_bytes())["collection_id"])

    def is_here(self, batch: str) -> bool:
        """Whether the files of a batch are still here."""
        return batch.isalnum() and (self.home.upload(batch) / _BATCH).exists()

    def arrived(self, batch: str) -> list[Arrived]:
        """The files of a batch, by name, whole or not."""
        folder = self._open(batch)
        found = []
        try:
            about = [path for path in folder.glob("*.json") if path.name not in (_BATCH, NAMES)]
        except FileNotFoundError:  # the batch is dropped at this moment
            raise _no_such(batch) from None
        for path in about:
            with suppress(FileNotFoundError):  # the file is left out at this moment
                said = json.loads(path.read_bytes())
                found.append(Arrived(said["name"], said["size"], received(folder / path.stem)))
        if not self.is_here(batch):
            raise _no_such(batch)
        return sorted(found, key=lambda file: file.name)

    async def receive(self, batch: str, name: str, size: int, offset: int, stream: AsyncIterator[bytes]) -> Arrived:
        """Append what `stream` brings to the file, from byte `offset` on. A connection that breaks loses nothing.

        Raises `UploadConflict` when the file is elsewhere, `BadInput` when it is too large.
        """
        folder = await run_in_threadpool(self._admit, batch, name, size)
        path = folder / key_of(name)
        with self._alone(path, name):
            try:
                return await append(path, Arrived(name, size, received(path)), offset, stream)
            except FileNotFoundError:  # the batch was dropped while this was on its way
                raise _no_such(batch) from None

    def leave_out(self, batch: str, name: str) -> None:
        """Forget one file of a batch: its sender cannot read the rest of it."""
        path = self._open(batch) / key_of(name)
        with self._alone(path, name):
            for suffix in (".json", ".part", ""):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        with self._reading, self._lock:
            if batch in self._announced:
                self._announced[batch].leave_out(path.name)

    def finish(self, batch: str) -> int:
        """Close a batch for its import; returns how many files it has. Every file must be whole."""
        folder = self._here(batch)
        if (folder / NAMES).exists():
            return len(json.loads((folder / NAMES).read_bytes()))
        with self._closed_for(folder):
            files = self.arrived(batch)
            broken = [file for file in files if not file.complete]
            if broken:
                raise UploadConflict(
                    f"{len(broken):,} of {len(files):,} files have not arrived whole, {broken[0].name!r} for one: "
                    "send the rest of them first."
                )
            if not files:
                raise BadInput(Line("nothing_arrived", "No file has arrived: send some first."))
            for key in (key_of(file.name) for file in files):
                if not (folder / key).exists():  # the power went between its last byte and its name
                    (folder / f"{key}.part").touch()
                    os.replace(folder / f"{key}.part", folder / key)
            write_atomically(folder / NAMES, json.dumps({key_of(file.name): file.name for file in files}).encode())
        self._announced.pop(batch, None)
        return len(files)

    def drop(self, batch: str) -> None:
        """Forget a batch and what has arrived of it."""
        folder = self._open(batch)
        self._announced.pop(batch, None)
        shutil.rmtree(folder, ignore_errors=True)

    def drop_of(self, collection: Collection) -> None:
        """Forget the batches that were begun for a collection which is gone."""
        for about in self.home.upload("").glob(f"*/{_BATCH}"):
            with suppress(FileNotFoundError):  # another request dropped it, or its import is done
                if json.loads(about.read_bytes())["collection_id"] == collection.id:
                    shutil.rmtree(about.parent, ignore_errors=True)

    def _here(self, batch: str) -> Path:
        if not self.is_here(batch):
            raise _no_such(batch)
        return self.home.upload(batch)

    def _open(self, batch: str) -> Path:
        folder = self._here(batch)
        if (folder / NAMES).exists():
            raise _no_such(batch)
        return folder

    def _admit(self, batch: str, name: str, size: int) -> Path:
        """Refuse what is too large by itself, with the rest of its batch, or for the disk, before any of it is read."""
        folder, key = self._open(batch), key_of(name)
        if size > self.most_per_file:
            words = "{file} is larger than {n:,} MB (LIKENESS_MAX_UPLOAD_MB)."
            raise BadInput(Line("large_upload", words, file=repr(name), n=self.most_per_file >> 20))
        announced = self._announced_in(batch)
        with self._lock:
            before = announced.sizes.get(key)
            if before not in (None, size):
                raise UploadConflict(f"{name!r} was announced with {before:,} bytes before.")
            if before is None and len(announced.sizes) == MOST_FILES:
                words = "An upload holds at most {n:,} files: finish it and begin another."
                raise BadInput(Line("many_files", words, n=MOST_FILES))
            if announced.total - (before or 0) + size > self.most_per_batch:
                words = "The upload would hold more than {n:,} MB (LIKENESS_MAX_BATCH_MB): finish it and begin another."
                raise BadInput(Line("large_batch", words, n=self.most_per_batch >> 20))
            _require_space(folder, size - received(folder / key))
            announced.put(key, size)
        return folder

    def _announced_in(self, batch: str) -> _Announced:
        """After a restart this reads a line of every file that has arrived."""
        if (announced := self._announced.get(batch)) is not None:
            return announced
        with self._reading:
            if (announced := self._announced.get(batch)) is None:  # nobody else has read it meanwhile
                sizes = {key_of(file.name): file.size for file in self.arrived(batch)}
                announced = self._announced[batch] = _Announced(sizes, sum(sizes.values()))
            return announced

    @contextmanager
    def _alone(self, path: Path, name: str) -> Iterator[None]:
        """One request a file, and none while its batch is being closed."""
        with self._lock:
            if path in self._busy:
                raise UploadConflict(f"Another request is sending {name!r} right now: wait for it to end.")
            if path.parent in self._closing:
                raise UploadConflict("The upload is being finished right now.")
            if (path.parent / NAMES).exists():
                raise _no_such(path.parent.name)
            self._busy.add(path)
        try:
            yield
        finally:
            self._busy.discard(path)

    @contextmanager
    def _closed_for(self, folder: Path) -> Iterator[None]:
        with self._lock:
            if any(path.parent == folder for path in self._busy):
                raise UploadConflict("Another request is sending a file right now: wait for it to end.")
            self._closing.add(folder)
        try:
            yield
        finally:
            self._closing.discard(folder)

    def _forget_old(self, waiting: Container[str]) -> None:
        """Drop what was begun, or failed, more than a week ago."""
        for folder in self.home.upload("").iterdir():
            if not folder.is_dir() or folder.name in waiting:
                continue
            with suppress(FileNotFoundError):  # it changes at this moment, or is gone
                newest = max((entry.stat().st_mtime for entry in os.scandir(folder)), default=folder.stat().st_mtime)
                if time.time() - newest > FORGOTTEN:
                    self._announced.pop(folder.name, None)
                    shutil.rmtree(folder, ignore_errors=True)


def _no_such(batch: str) -> NoSuchUpload:
    return NoSuchUpload(f"There is no upload {batch!r} that takes files: begin a new one.")


def _require_space(folder: Path, size: int) -> None:
    """Leave some of the disk to everybody else."""
    if shutil.disk_usage(folder).free < size + KEPT_FREE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
