"""Near-duplicates: groups of images that show the same shot, the best on top. A list to act on; nothing is deleted.

Candidates are the nearest neighbours by the active model's vectors; a check of pixels decides (`model.alike`). What a
person called distinct is remembered. Exact duplicates are one image with several paths and never get here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import faiss
import numpy as np
from sqlalchemy import Engine, select

from indexer.catalog import Collection
from indexer.home import Home
from indexer.images import Image, get_images
from indexer.schema import distinct_pairs, images, now
from model.alike import same_shot, thumb
from model.errors import BadInput, Cancelled, CannotDecode
from model.progress import Line, Progress

NEIGHBOURS = 6  # of each image that are looked at
NEAR = 0.9  # cosine from which on pixels are looked at
NEAR_CROP, NEIGHBOURS_CROP = 0.95, 2  # and as a crop, which takes 25 ms a pair
EXACT = 20_000  # vectors up to which every pair is compared; beyond, those in neighbouring cells
Pair = tuple[int, int]  # image ids, the smaller first


def find_pairs(
    engine: Engine,
    home: Home,
    ids: np.ndarray,
    vectors: np.ndarray,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = lambda share, message: None,
) -> list[Pair]:
    """The pairs that show one shot among images `ids` (N,) with unit `vectors` (N, D)."""
    near = candidates(ids, vectors)
    wanted = sorted({image_id for pair in near for image_id in pair})
    thumbs: dict[int, np.ndarray] = {}

    def read(image: Image) -> None:
        try:
            data = home.preview(image.sha256, image.preview_suffix).read_bytes()
            thumbs[image.id] = thumb(data, image.name)
        except (OSError, CannotDecode):  # its preview is gone: the next import makes it again
            pass

    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(wanted), 500):
            if stop():
                raise Cancelled(Line("duplicates_stopped", "Stopped while looking for near-duplicates."))
            english = "looking at {done:,} of {total:,} pictures that have a near one"
            progress(start / len(wanted), Line("near", english, done=start, total=len(wanted)))
            list(pool.map(read, get_images(engine, wanted[start : start + 500])))
    return sorted(
        (first, second)
        for (first, second), crops in near.items()
        if first in thumbs and second in thumbs and same_shot(thumbs[first], thumbs[second], crops)
    )


def group(engine: Engine, collection: Collection, pairs: Sequence[Pair]) -> list[list[Image]]:
    """Groups of images that pairs connect, but for those a person called distinct; in each the best to keep first."""
    kept = set(pairs) - _distinct(engine, collection)
    parent: dict[int, int] = {}

    def root(image_id: int) -> int:
        while parent.setdefault(image_id, image_id) != image_id:
            parent[image_id] = image_id = parent[parent[image_id]]
        return image_id

    for first, second in sorted(kept):
        parent[root(second)] = root(first)
    gone = _gone(engine, collection)
    groups: dict[int, list[int]] = {}
    for image_id in sorted(parent):
        if image_id not in gone:
            groups.setdefault(root(image_id), []).append(image_id)
    found = {image.id: image for image in get_images(engine, sorted(parent))}
    ranked = [sorted((found[i] for i in ids if i in found), key=_worth) for ids in groups.values()]
    return [members for members in ranked if len(members) > 1]


def dismiss(engine: Engine, collection: Collection, image_ids: Sequence[int]) -> int:
    """Remember that these are no duplicates of one another; returns how many pairs that says anew."""
    chosen = sorted(set(image_ids))
    here = select(images.c.id).where(images.c.collection_id == collection.id, images.c.id.in_(chosen))
    with engine.begin() as connection:
        known = set(connection.execute(here).scalars())
        if len(chosen) < 2 or not known.issuperset(chosen):
            raise BadInput("Name two or more images of this collection that are no duplicates of one another.")
        said = _distinct(engine, collection)
        rows = [
            {"collection_id": collection.id, "first_id": first, "second_id": second, "created_at": now()}
            for first, second in combinations(chosen, 2)
            if (first, second) not in said
        ]
        if rows:
            connection.execute(distinct_pairs.insert(), rows)
    return len(rows)


def candidates(ids: np.ndarray, vectors: np.ndarray) -> dict[Pair, bool]:
    """Pairs of near neighbours, and whether one may be looked for as a crop of the other."""
    if len(ids) < 2:
        return {}
    index: faiss.Index = faiss.IndexFlatIP(vectors.shape[1])
    if len(ids) > EXACT:
        cells = int(4 * np.sqrt(len(ids)))
        index = faiss.IndexIVFFlat(index, vectors.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:: max(1, len(ids) // (40 * cells))])
        index.nprobe = 8
    index.add(vectors)
    pairs: dict[Pair, bool] = {}
    for start in range(0, len(ids), 4096):
        cosines, rows = index.search(vectors[start : start + 4096], min(NEIGHBOURS + 1, len(ids)))
        for at, column in zip(*np.nonzero((cosines >= NEAR) & (rows >= 0)), strict=True):
            first, second = sorted((int(ids[start + at]), int(ids[rows[at, column]])))
            if first != second:
                near = column <= NEIGHBOURS_CROP and cosines[at, column] >= NEAR_CROP
                pairs[first, second] = pairs.get((first, second), False) or bool(near)
    return pairs


def _worth(image: Image) -> tuple[bool, int, int, int]:
    """Best first: a file that is there, then more pixels, then more bytes for them, then the one that came first."""
    return image.missing, -image.width * image.height, -image.bytes, image.id


def _distinct(engine: Engine, collection: Collection) -> set[Pair]:
    query = select(distinct_pairs.c.first_id, distinct_pairs.c.second_id)
    with engine.connect() as connection:
        rows = connection.execute(query.where(distinct_pairs.c.collection_id == collection.id)).all()
    return {(row.first_id, row.second_id) for row in rows}


def _gone(engine: Engine, collection: Collection) -> set[int]:
    """Images that left the collection since they were indexed."""
    left = images.c.removed_at.is_not(None) | images.c.absent_at.is_not(None)
    with engine.connect() as connection:
        query = select(images.c.id).where(images.c.collection_id == collection.id, left)
        return set(connection.execute(query).scalars())
