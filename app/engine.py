"""What the API keeps open between requests: indexes, encoders and queries, each replaced when outdated.

Everything here is a cache of what is on disk. Indexes are immutable and swapped by one assignment, so a search sees the
old list or the new one, and requests share them without a lock.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from sqlalchemy import select

from app.pressure import Gate
from app.probes import Probes
from app.selecting import Selections
from app.why import Why
from app.workspace import Workspace, active_model
from indexer.catalog import Collection
from indexer.errors import DamagedIndex, NoIndex, NoSuchImage, NoSuchQuery
from indexer.filters import Filter
from indexer.images import gone_ids
from indexer.index import VectorIndex, open_index
from indexer.published import read_published
from indexer.schema import now, queries
from indexer.search import Hits, Wish, search
from model.encoder import Encoder, open_encoder
from model.images import make_preview
from model.softmax import one_thread_each

log = logging.getLogger("likeness.engine")
Example = int | str | bytes  # an image's id, a query's id, or the preview of a picture that is neither
ENCODERS, QUERIES, BESIDE = 2, 256, 2  # how many stay open
LINGERS = 10.0  # seconds that a replaced index stays for the requests under way


class Engine:
    """Search, probes and predictions for any number of threads."""

    def __init__(self, workspace: Workspace, behind: bool = False) -> None:
        """With `behind`, cross-validation follows a click instead of keeping it waiting."""
        self.workspace = workspace
        self.probes = Probes(workspace, self.index, behind)
        self.selections = Selections(workspace, self.probes)
        self.why = Why(workspace)
        self.decoding = Gate()  # whoever decodes a picture as large as they come takes a place
        self._indexes: dict[tuple[int, str], VectorIndex] = {}
        self._encoders: OrderedDict[str, Encoder] = OrderedDict()
        self._vectors: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()  # (query, model) → (D,)
        self._absent: dict[int, tuple[tuple[int, str], np.ndarray]] = {}
        self._leaving: dict[tuple[int, str], VectorIndex] = {}
        self._others: OrderedDict[tuple[int, str], VectorIndex] = OrderedDict()  # of models that are not active
        self._opening, self._beside = threading.Lock(), threading.Lock()

    def serving(self, collection: Collection) -> Collection:
        """The collection as it is searched now: with the model before, while a large index of a new one is opened.

        Who answers a request asks this once, so that vectors, probe and what is said of them are of one model.
        """
        key = (collection.id, collection.active_model or "")
        before = next((held for held in list(self._indexes) if held[0] == collection.id), None)
        if before is None or key in self._indexes or not key[1]:
            return collection
        folder = self.workspace.home.index(*key)
        try:
            if read_published(folder).matrix is None:  # small: it is opened in a moment
                return collection
        except (NoIndex, DamagedIndex):
            return collection  # whoever needs the index says so
        self._open_beside(key, folder, None)
        return collection if key in self._indexes else replace(collection, active_model=before[1])

    def index(self, collection: Collection) -> VectorIndex:
        """The live index of the collection's active model."""
        key = (collection.id, active_model(collection))
        folder = self.workspace.home.index(*key)
        published = read_published(folder)
        held = self._indexes.get(key) or self._leaving.get(key)
        if held is None or held.published != published:
            if held is not None and published.matrix is not None and held.published.faiss != published.faiss:
                self._open_beside(key, folder, held)  # a large one takes seconds: until then the old one answers
                return self._indexes.get(key, held)
            with self._opening:  # one thread opens it, the others wait instead of reading it too
                held = self._indexes.get(key)
                if held is None or held.published != published:
                    if held is None and published.matrix is not None:  # many: whoever filters first would wait for them
                        self.selections.warm(collection)
                    held = self._take(key, open_index(folder, held))
        return held

    def index_under(self, collection: Collection, fingerprint: str) -> VectorIndex:
        """The live index under any model; the active one's stays where it is. Raises `NoIndex` where there is none."""
        if fingerprint == collection.active_model:
            return self.index(collection)
        key = (collection.id, fingerprint)
        folder = self.workspace.home.index(*key)
        try:
            published = read_published(folder)
        except NoIndex as error:
            raise NoIndex(f"{collection.name!r} has no index under model {fingerprint} yet: make it first.") from error
        with self._opening:
            held = self._others.get(key)
            if held is None or held.published != published:
                held = self._others[key] = open_index(folder, held)
            self._others.move_to_end(key)
            while len(self._others) > BESIDE:
                self._others.popitem(last=False)
        return held

    def _take(self, key: tuple[int, str], index: VectorIndex) -> VectorIndex:
        self._indexes[key] = index
        self._leaving.pop(key, None)  # the model before the one before is back
        for other in [k for k in self._indexes if k[0] == key[0] and k != key]:
            # Requests that were told of it before this may ask for it still; opening it again would take seconds.
            self._leaving[other] = self._indexes.pop(other)
            leave = threading.Timer(LINGERS, self._leaving.pop, (other, None))
            leave.daemon = True
            leave.start()
        return index

    def _open_beside(self, key: tuple[int, str], folder: Path, held: VectorIndex | None) -> None:
        """Open a large index in a thread of its own, once."""
        if not self._beside.acquire(blocking=False):
            return

        def run() -> None:
            try:
                self._take(key, open_index(folder, held))
            except Exception:
                log.exception("the new index of collection %s cannot be opened", key[0])
                for known in [k for k in self._indexes if k[0] == key[0]]:
                    self._indexes.pop(known, None)  # the next request tries, and says what is wrong
            finally:
                self._beside.release()

        threading.Thread(target=run, daemon=True).start()

    def encoder(self, fingerprint: str) -> Encoder:
        with self._opening:
            held = self._encoders.get(fingerprint)
            if held is None:
                settings = self.workspace.settings
                held = open_encoder(self.workspace.home.model(fingerprint), settings.device, settings.threads)
                self._encoders[fingerprint] = held
            self._encoders.move_to_end(fingerprint)
            while len(self._encoders) > ENCODERS:
                self._encoders.popitem(last=False)
        return held

    def encode(self, fingerprint: str, previews: Sequence[bytes]) -> np.ndarray:
        """Unit vectors (N, D) of previews, on the very path that indexed images took."""
        encoder = self.encoder(fingerprint)
        return encoder.encode(np.stack([encoder.square(data, "preview") for data in previews]))

    def search(
        self,
        collection: Collection,
        positive: Sequence[Example],
        negative: Sequence[Example],
        wanted: Filter,
        limit: int,
        offset: int,
        wish: Wish = Wish(),
        model: str | None = None,
    ) -> tuple[Hits, float]:
        """A page of hits and the milliseconds they took; by the active model, or another that has an index here."""
        started = time.perf_counter()
        index = self.index(collection) if model is None else self.index_under(collection, model)
        by = collection if model is None else replace(collection, active_model=model)
        likes = self._examples(by, index, positive)
        dislikes = self._examples(by, index, negative)
        examples = np.array([x for x in (*positive, *negative) if isinstance(x, int)], np.int64)
        exclude = np.union1d(examples, self.gone(collection, index))
        among = None if wanted.empty else self.selections.among(collection, index, wanted)
        hits = search(index, likes, dislikes, limit=limit, offset=offset, among=among, exclude=exclude, wish=wish)
        return hits, (time.perf_counter() - started) * 1000

    def add_query(self, collection: Collection, file: BinaryIO, name: str) -> str:
        """Keep a picture to search with; returns its id. Raises `CannotDecode`.

        The file is read once there is a place to decode it: who waits holds no picture in memory.
        """
        with self.decoding.place():
            preview = make_preview(file.read(), name)
        query_id = "q" + secrets.token_hex(8)
        values = {
            "id": query_id, "collection_id": collection.id, "name": name, "preview": preview.data,
            "preview_suffix": preview.suffix, "created_at": now(),
        }  # fmt: skip
        with self.workspace.engine.begin() as connection:
            connection.execute(queries.insert().values(**values))
        return query_id

    def query_preview(self, query_id: str) -> tuple[bytes, str]:
        """The stored preview of a query and its suffix."""
        with self.workspace.engine.connect() as connection:
            row = connection.execute(
                select(queries.c.preview, queries.c.preview_suffix).where(queries.c.id == query_id)
            ).first()
        if row is None:
            raise NoSuchQuery(f"There is no query {query_id!r}: send the picture again.")
        return bytes(row.preview), row.preview_suffix

    def _examples(self, collection: Collection, index: VectorIndex, examples: Sequence[Example]) -> np.ndarray:
        """(P, D) vectors of examples."""
        wanted = np.array([x for x in examples if isinstance(x, int)], np.int64)
        ids, vectors = index.vectors_of(wanted)
        if len(ids) < len(wanted):
            missing = next(int(i) for i in wanted if i not in ids)
            raise NoSuchImage(f"Image {missing} is not in the index of {collection.name!r}: index the collection.")
        fingerprint = collection.active_model or ""
        rows = [vectors, *(self.encode(fingerprint, [x]) for x in examples if isinstance(x, bytes))]
        for query_id in (x for x in examples if isinstance(x, str)):
            key = (query_id, fingerprint)
            vector = self._vectors.get(key)
            if vector is None:
                vector = self._vectors[key] = self.encode(fingerprint, [self.query_preview(query_id)[0]])[0]
                while len(self._vectors) > QUERIES:
                    self._vectors.popitem(last=False)
            rows.append(vector[np.newaxis])
        return np.concatenate(rows)

    def gone(self, collection: Collection, index: VectorIndex) -> np.ndarray:
        """Indexed ids that left the collection since: deleting is immediate, the index follows."""
        key = (collection.revision, index.published.sha256)
        held = self._absent.get(collection.id)
        if held is None or held[0] != key:
            gone = gone_ids(self.workspace.engine, collection)
            held = self._absent[collection.id] = (key, gone[index.rows_of(gone)[1]])
        return held[1]


def warm_up() -> None:
    """Import what the first probe and the first suggestions need; and one thread a request for BLAS as for FAISS."""
    import sklearn.cluster  # noqa: F401

    one_thread_each()
