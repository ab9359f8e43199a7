"""One file of an upload, as far as it is here: `<key>`, which is `<key>.part` until it is whole, and `<key>.json`."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from model.errors import BadInput, LikenessError
from model.files import write_atomically
from model.progress import Line


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


async def append(path: Path, file: Arrived, offset: int, stream: AsyncIterator[bytes]) -> Arrived:
    """Write what comes to the file's end; it gets its own name when it is whole."""
    here = file.received
    if file.complete and path.exists():
        return file  # it is whole already: sent again after an answer that was lost
    if offset != here:
        raise UploadConflict(f"{here:,} bytes of {file.name!r} are here: go on from byte {here} (offset={here}).")
    about = path.with_name(f"{path.name}.json")
    if not about.exists():
        said = json.dumps({"name": file.name, "size": file.size}).encode()
        await run_in_threadpool(write_atomically, about, said)
    with open(f"{path}.part", "ab") as target:
        async for chunk in stream:
            here += len(chunk)
            if here > file.size:
                words = "{file} is longer than the {n:,} bytes that were announced."
                raise BadInput(Line("longer_than_said", words, file=repr(file.name), n=file.size))
            await run_in_threadpool(target.write, chunk)
        target.flush()
        await run_in_threadpool(os.fsync, target.fileno())
    if here == file.size:
        os.replace(f"{path}.part", path)
    return Arrived(file.name, file.size, here)


def key_of(name: str) -> str:
    """What a file is called on our disk: nothing of its name, which comes from a stranger."""
    return sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def received(path: Path) -> int:
    for candidate in (path, path.with_name(f"{path.name}.part"), path):  # it may get its own name at this moment
        with suppress(FileNotFoundError):
            return candidate.stat().st_size
    return 0
