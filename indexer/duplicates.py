"""Near-duplicates: groups of images that show the same shot, the best on top. A list to act on; nothing is deleted.

The pairs are what a look found (`indexer.look`). What a person called distinct is remembered. Exact duplicates are one
image with several paths and never get here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from sqlalchemy import Engine, select

from indexer.catalog import Collection
from indexer.images import Image, get_images
from indexer.schema import distinct_pairs, images, now
from model.errors import BadInput

Pair = tuple[int, int]  # image ids, the smaller first


def group(engine: Engine, collection: Collection, pairs: Sequence[Pair]) -> list[list[Image]]:
    """Groups of images that pairs connect, but for those a person called distinct; in each the best to keep first."""
    gone = _gone(engine, collection)  # they connect nothing any more: what two crops of one share may be too little
    kept = {pair for pair in set(pairs) - _distinct(engine, collection) if gone.isdisjoint(pair)}
    parent: dict[int, int] = {}

    def root(image_id: int) -> int:
        while parent.setdefault(image_id, image_id) != image_id:
            parent[image_id] = image_id = parent[parent[image_id]]
        return image_id

    for first, second in sorted(kept):
        parent[root(second)] = root(first)
    groups: dict[int, list[int]] = {}
    for image_id in sorted(parent):
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
