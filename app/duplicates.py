"""Looking for near-duplicates, and what the last look found: kept beside the index it looked through."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from app.workspace import Workspace
from indexer.catalog import Collection, collection_with_id
from indexer.crops import LandmarkIndex
from indexer.duplicates import Pair
from indexer.index import open_index
from indexer.look import Looked, look
from indexer.schema import now
from model.files import write_atomically
from model.landmarks import VERSION
from model.progress import Line, Progress

FILE, KNOWN = "duplicates.json", "duplicates.npz"


@dataclass(frozen=True)
class Look:
    """What was found, among how many images, when."""

    at: str  # ISO 8601, UTC
    images: int
    pairs: list[Pair]
    known: str | None = None  # SHA-256 of the file that says what was looked at


def look_for_duplicates(
    workspace: Workspace, collection: Collection, progress: Progress, stop: Callable[[], bool]
) -> Look:
    """Compare the indexed pictures that no look has seen yet with all, and keep what shows the same shot."""
    with workspace.home.lock(collection.id, collection.name, "duplicates"):
        collection = collection_with_id(workspace.engine, collection.id)
        folder = workspace.index_folder(collection)
        index = open_index(folder)
        progress(0.0, Line("comparing", "comparing {n:,} pictures", n=len(index.ids)))
        last = last_look(workspace, collection)
        before = _looked(folder, last) if last is not None else None
        found, looked = look(workspace.engine, workspace.home, index.ids, index.vectors, before, stop, progress)
        pairs = [(int(first), int(second)) for first, second in found]
        if before is not None and last is not None:
            here = set(looked.ids.tolist())
            pairs = sorted({*pairs, *(pair for pair in last.pairs if here.issuperset(pair))})
        data = _packed(looked)
        result = Look(now(), len(index.ids), pairs, hashlib.sha256(data).hexdigest())
        write_atomically(folder / KNOWN, data)
        write_atomically(folder / FILE, json.dumps(asdict(result)).encode())  # until then, the file above is no one's
    return result


def _packed(looked: Looked) -> bytes:
    file = io.BytesIO()
    landmarks = b"" if looked.landmarks is None else looked.landmarks.packed()
    np.savez(file, version=VERSION, ids=looked.ids, landmarks=np.frombuffer(landmarks, np.uint8))
    return file.getvalue()


def _looked(folder: Path, last: Look) -> Looked | None:
    """What `last` had looked at; None where that is not to be read: then everything is looked at again."""
    try:
        data = (folder / KNOWN).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data).hexdigest() != last.known:
        return None
    held = np.load(io.BytesIO(data), allow_pickle=False)
    if held["version"] != VERSION:
        return None
    landmarks = held["landmarks"].tobytes()
    return Looked(held["ids"], LandmarkIndex.unpacked(landmarks) if landmarks else None)


def last_look(workspace: Workspace, collection: Collection) -> Look | None:
    """What the last look by the active model found; None before the first, or where its file is damaged.

    Pairs are of images, so it stays true when the index is built anew; it only does not know those that came since.
    """
    file = workspace.index_folder(collection) / FILE
    try:
        said = json.loads(file.read_bytes())
        pairs = [(int(first), int(second)) for first, second in said["pairs"]]
        last = Look(said["at"], said["images"], pairs, said.get("known"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return last if isinstance(last.at, str) and isinstance(last.images, int) else None
