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
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from indexer.catalog import Collection
from indexer.errors import NoSuch
from indexer.home import Home
from indexer.sources import NAMES
from model.errors import BadInput, LikenessError
from model.files import write_atomically

KEPT_FREE = 256 << 20  # bytes of the disk that an upload leaves to everybody else
FORGOTTEN = 7 * 86_400  # seconds after which a batch that nobody finished is dropped
_BATCH = "batch.json"


class NoSuchUpload(NoSuch):
    """There is no upload of that id that still takes files."""


class UploadConflict(LikenessError):
    """What is sent does not follow on from what has arrived; the message says how much has."""


@dataclass(frozen=True)
class Arrived:
    """One file of a batch."""

    name: str
    size: int  # bytes it will have
    received: int  # bytes of it that are here

    @property
    def complete(self) -> bool:
        return self.received == self.size


class Uploads:
    """The batches of one data folder. One per process, which is the API's."""

    def __init__(self, home: Home, most_per_file: int, most_per_batch: int) -> None:
        self.home, self.most_per_file, self.most_per_batch = home, most_per_file, most_per_batch
        self._lock = threading.Lock()
        self._busy: set[Path] = set()  # files that a request is writing now
        self._sizes: dict[str, dict[str, int]] = {}  # batch → key → declared size

    def begin(self, collection: Collection) -> str:
        """Make an empty batch for a collection; returns its id."""
        self._forget_old()
        batch = secrets.token_hex(16)
        folder = self.home.upload(batch)
        folder.mkdir(parents=True)
        write_atomically(folder / _BATCH, json.dumps({"collection_id": collection.id}).encode())
        return batch

    def collection_id(self, batch: str) -> int:
        return int(json.loads((self._folder(batch) / _BATCH).read_bytes())["collection_id"])

    def arrived(self, batch: str) -> list[Arrived]:
        """The files of a batch, by name, whole or not."""
        folder = self._folder(batch)
        found = []
        for path in folder.glob("*.json"):
            if path.name not in (_BATCH, NAMES):
                said = json.loads(path.read_bytes())
                found.append(Arrived(said["name"], said["size"], _received(folder / path.stem)))
        return sorted(found, key=lambda file: file.name)

    async def receive(self, batch: str, name: str, size: int, offset: int, stream: AsyncIterator[bytes]) -> Arrived:
        """Append what `stream` brings to the file, from byte `offset` on. A connection that breaks loses nothing.

        Raises `UploadConflict` when the file is elsewhere, `BadInput` when it is too large.
        """
        folder = self._folder(batch)
        path = folder / _key(name)
        self._admit(batch, folder, name, size)
        with self._alone(path, name):
            here = _received(path)
            if here == size and path.exists():
                return Arrived(name, size, size)  # it is whole already: sent again after an answer that was lost
            if offset != here:
                raise UploadConflict(f"{here:,} bytes of {name!r} are here: go on from byte {here} (offset={here}).")
            about = folder / f"{path.name}.json"
            if not about.exists():
                await run_in_threadpool(write_atomically, about, json.dumps({"name": name, "size": size}).encode())
            with open(f"{path}.part", "ab") as file:
                async for chunk in stream:
                    here += len(chunk)
                    if here > size:
                        raise BadInput(f"{name!r} is longer than the {size:,} bytes that were announced.")
                    await run_in_threadpool(file.write, chunk)
                file.flush()
                await run_in_threadpool(os.fsync, file.fileno())
            if here == size:
                os.replace(f"{path}.part", path)
            return Arrived(name, size, here)

    def finish(self, batch: str) -> int:
        """Close a batch for its import; returns how many files it has. Every file must be whole."""
        folder, files = self._folder(batch), self.arrived(batch)
        broken = [file for file in files if not file.complete]
        if broken:
            raise UploadConflict(
                f"{len(broken):,} of {len(files):,} files have not arrived whole, {broken[0].name!r} for one: send the "
                "rest of them first."
            )
        if not files:
            raise BadInput("No file has arrived: send some first.")
        write_atomically(folder / NAMES, json.dumps({_key(file.name): file.name for file in files}).encode())
        self._sizes.pop(batch, None)
        return len(files)

    def drop(self, batch: str) -> None:
        """Forget a batch and what has arrived of it."""
        folder = self._folder(batch)
        self._sizes.pop(batch, None)
        shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, batch: str) -> Path:
        folder = self.home.upload(batch)
        open_ = batch.isalnum() and (folder / _BATCH).exists() and not (folder / NAMES).exists()
        if not open_:
            raise NoSuchUpload(f"There is no upload {batch!r} that takes files: begin a new one.")
        return folder

    def _admit(self, batch: str, folder: Path, name: str, size: int) -> None:
        """Refuse what is too large by itself, with the rest of its batch, or for the disk, before any of it is read."""
        if size > self.most_per_file:
            raise BadInput(f"{name!r} is larger than {self.most_per_file >> 20:,} MB (LIKENESS_MAX_UPLOAD_MB).")
        with self._lock:
            if batch not in self._sizes:
                self._sizes[batch] = {_key(file.name): file.size for file in self.arrived(batch)}
            sizes = self._sizes[batch]
            if sizes.get(_key(name), size) != size:
                raise UploadConflict(f"{name!r} was announced with {sizes[_key(name)]:,} bytes before.")
            if sum(sizes.values()) - sizes.get(_key(name), 0) + size > self.most_per_batch:
                raise BadInput(
                    f"The upload would hold more than {self.most_per_batch >> 20:,} MB (LIKENESS_MAX_BATCH_MB): "
                    "finish it and begin another."
                )
            if shutil.disk_usage(folder).free < size - _received(folder / _key(name)) + KEPT_FREE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
            sizes[_key(name)] = size

    @contextmanager
    def _alone(self, path: Path, name: str) -> Iterator[None]:
        with self._lock:
            if path in self._busy:
                raise UploadConflict(f"Another request is sending {name!r} right now: wait for it to end.")
            self._busy.add(path)
        try:
            yield
        finally:
            self._busy.discard(path)

    def _forget_old(self) -> None:
        for about in self.home.upload("x").parent.glob(f"*/{_BATCH}"):
            folder = about.parent
            newest = max((entry.stat().st_mtime for entry in os.scandir(folder)), default=0.0)
            if not (folder / NAMES).exists() and time.time() - newest > FORGOTTEN:
                shutil.rmtree(folder, ignore_errors=True)


def public(batch: str, files: list[Arrived]) -> dict[str, Any]:
    """A batch as JSON."""
    return {
        "upload": batch,
        "files": [{"name": f.name, "size": f.size, "received": f.received, "complete": f.complete} for f in files],
        "bytes": sum(file.received for file in files),
    }


def _key(name: str) -> str:
    """What a file is called on our disk: nothing of its name, which comes from a stranger."""
    return sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _received(path: Path) -> int:
    for candidate in (path, path.with_name(f"{path.name}.part")):
        if candidate.exists():
            return candidate.stat().st_size
    return 0
