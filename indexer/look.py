"""Looking for near-duplicates among many pictures. What was looked at before is not compared with its like again.

Two ways lead to pairs: near vectors, of which thumbs of the whole pictures decide, and landmarks that lie alike, which
also find crops and of which the pixels that both show decide (`model.alike`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import faiss
import numpy as np
from sqlalchemy import Engine

from indexer.crops import LandmarkIndex
from indexer.home import Home
from indexer.images import Image, get_images
from indexer.removal import unheld
from indexer.traits import Traits, TraitStore, forget, traits_of
from model.alike import SIDE, fit, same_part, same_shot
from model.errors import Cancelled, CannotDecode
from model.images import decode
from model.landmarks import Landmarks, scaled
from model.progress import Line, Progress, rate_line

NEIGHBOURS, NEAR = 6, 0.9  # of a picture whose thumbs are compared, and the cosine from which on they are
EXACT = 20_000  # vectors up to which every pair is compared; beyond, those in neighbouring cells
FEW = 0.02  # of the vectors: so many new ones are compared with every one
AT_ONCE = 512  # pictures
PAIRS_AT_ONCE = 4096  # of thumbs
SAMPLE = 20_000  # pictures whose landmarks say how landmarks are divided into cells
STARTS = {"preparing": 0.0, "sorting": 0.5, "near": 0.6, "crops": 0.7, "parts": 0.85, "": 1.0}  # of all the work

Follow = Callable[[str, int, int], None]  # a part of the work; how many of how many are done


@dataclass(frozen=True)
class Looked:
    """What was looked at so far."""

    ids: np.ndarray  # (N,) int64, ascending
    landmarks: LandmarkIndex | None = None


def look(
    engine: Engine,
    home: Home,
    ids: np.ndarray,
    vectors: np.ndarray,
    before: Looked | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = lambda share, message: None,
) -> tuple[np.ndarray, Looked]:
    """Pairs (P, 2) that show one shot, the smaller id first, of images `ids` (N,) with unit `vectors` (N, D).

    At least one of a pair was not looked at `before`, whose landmarks are added to. Raises Cancelled when stopped; the
    traits that were made until then are kept.
    """
    before = before or Looked(np.zeros(0, np.int64))
    new = np.setdiff1d(ids, before.ids)
    follow = _following(stop, progress)
    reader = _Reader(engine, home)
    with ThreadPoolExecutor(2) as pool:
        seen = _prepare(reader, new, pool, follow)
        landmarks = _sorted_in(reader, ids, new, before.landmarks, follow)
        near = near_pairs(ids, vectors, new, follow)
        whole = near[_same_wholes(reader, near, follow)]
        others = _without(_candidates(reader, landmarks, ids, new, follow), whole)
        parts = others[_same_parts(reader, others, pool, follow)]
    known = before.ids[np.isin(before.ids, ids)]
    return np.unique(np.concatenate([whole, parts]), axis=0), Looked(np.union1d(known, seen), landmarks)


def near_pairs(
    ids: np.ndarray, vectors: np.ndarray, new: np.ndarray, follow: Follow = lambda part, done, total: None
) -> np.ndarray:
    """(P, 2) ids of near neighbours by `vectors`, the smaller first, of which at least one is `new`."""
    asking = np.flatnonzero(np.isin(ids, new))
    if len(ids) < 2 or not len(asking):
        return np.zeros((0, 2), np.int64)
    follow("near", 0, len(asking))
    index: faiss.Index = faiss.IndexFlatIP(vectors.shape[1])
    if len(ids) > EXACT and len(asking) > FEW * len(ids):
        cells = int(4 * np.sqrt(len(ids)))
        index = faiss.IndexIVFFlat(index, vectors.shape[1], cells, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors[:: max(1, len(ids) // (40 * cells))])
        index.nprobe = 8
    index.add(vectors)
    found = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(asking), AT_ONCE):
        follow("near", start, len(asking))
        rows = asking[start : start + AT_ONCE]
        cosines, neighbours = index.search(vectors[rows], min(NEIGHBOURS + 1, len(ids)))
        at, column = np.nonzero((cosines >= NEAR) & (neighbours >= 0))
        found.append(np.sort(np.stack([ids[rows[at]], ids[neighbours[at, column]]], axis=1), axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def _prepare(reader: _Reader, new: np.ndarray, pool: ThreadPoolExecutor, follow: Follow) -> np.ndarray:
    """The `new` images that have traits now. Those of a batch are kept before the next is begun."""
    seen: list[int] = []
    for start in range(0, len(new), AT_ONCE):
        follow("preparing", start, len(new))
        images = reader.images(new[start : start + AT_ONCE])
        known = reader.store.known([image.sha256 for image in images])
        missing = {image.sha256: image for image in images if image.sha256 not in known}
        made = {sha256: traits for sha256, traits in pool.map(reader.made, missing.values()) if traits is not None}
        reader.keep(made)
        seen += [image.id for image in images if image.sha256 in known or image.sha256 in made]
    return np.array(seen, np.int64)


def _sorted_in(
    reader: _Reader, ids: np.ndarray, new: np.ndarray, landmarks: LandmarkIndex | None, follow: Follow
) -> LandmarkIndex:
    """The landmarks of all `ids`: those there were with the `new` ones', or all anew where that would be too many."""
    follow("sorting", 0, 1)
    if landmarks is None or landmarks.is_full:
        some = np.sort(np.random.default_rng(0).choice(ids, min(SAMPLE, len(ids)), replace=False))
        sample: dict[int, Landmarks] = {}
        for part in _parts(some):
            follow("sorting", 0, len(ids))
            sample |= {image_id: each.landmarks for image_id, each in reader.traits(part).items()}
        landmarks, new = LandmarkIndex.like(sample, len(ids)), ids
    for done, part in enumerate(_parts(new)):
        follow("sorting", done * AT_ONCE, len(new))
        landmarks.add({image_id: each.landmarks for image_id, each in reader.traits(part).items()})
    return landmarks


def _same_wholes(reader: _Reader, pairs: np.ndarray, follow: Follow) -> np.ndarray:
    """(P,) bool: which of these show one shot, uncropped."""
    wanted = np.unique(pairs)
    thumbs = np.zeros((len(wanted), SIDE, SIDE), np.uint8)  # a flat one is like none
    for part in _parts(wanted):
        follow("near", len(wanted), len(wanted))
        for image_id, each in reader.traits(part).items():
            thumbs[np.searchsorted(wanted, image_id)] = each.thumb
    same = np.zeros(len(pairs), bool)
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        follow("near", len(wanted), len(wanted))
        first, second = np.searchsorted(wanted, pairs[start : start + PAIRS_AT_ONCE].T)
        same[start : start + PAIRS_AT_ONCE] = same_shot(thumbs[first], thumbs[second])
    return same


def _candidates(
    reader: _Reader, landmarks: LandmarkIndex, ids: np.ndarray, new: np.ndarray, follow: Follow
) -> np.ndarray:
    """(P, 2) pairs that landmarks speak for, the smaller id first, of which at least one is `new`."""
    found = [np.zeros((0, 2), np.int64)]
    for done, part in enumerate(_parts(new)):
        follow("crops", done * AT_ONCE, len(new))
        asking = {image_id: each.landmarks for image_id, each in reader.traits(part).items()}
        found.append(np.sort(landmarks.candidates(asking, ids), axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _same_parts(reader: _Reader, pairs: np.ndarray, pool: ThreadPoolExecutor, follow: Follow) -> np.ndarray:
    """(P,) bool: which of these show one shot, or parts of it."""
    same = np.zeros(len(pairs), bool)
    for start in range(0, len(pairs), AT_ONCE):
        follow("parts", start, len(pairs))
        part = pairs[start : start + AT_ONCE]
        traits = reader.traits(np.unique(part))
        wanted = {image.id: image for image in reader.images(np.unique(part))}

        def fits(pair: np.ndarray, traits: dict[int, Traits] = traits, wanted: dict[int, Image] = wanted) -> bool:
            first, second = (traits.get(int(image_id)) for image_id in pair)
            where = fit(first.landmarks, second.landmarks) if first and second else None
            if where is None:
                return False
            one, other = (reader.grey(wanted[int(image_id)]) for image_id in pair)
            return one is not None and other is not None and same_part(one, other, where)

        same[start : start + AT_ONCE] = list(pool.map(fits, part))
    return same


class _Reader:
    """What a look reads of pictures."""

    def __init__(self, engine: Engine, home: Home) -> None:
        self.engine, self.home, self.store = engine, home, TraitStore(home.traits)
        self.grey = lru_cache(maxsize=AT_ONCE)(self._grey)  # pairs share pictures

    def images(self, ids: np.ndarray) -> list[Image]:
        return get_images(self.engine, ids.tolist())

    def traits(self, ids: np.ndarray) -> dict[int, Traits]:
        """Of these images (a few hundred), but for unreadable ones; those that lack some, after a restore, get them."""
        images = self.images(ids)
        found = self.store.get({image.sha256 for image in images})
        lacking = {image.sha256: image for image in images if image.sha256 not in found}
        made = {sha256: traits for sha256, traits in map(self.made, lacking.values()) if traits is not None}
        self.keep(made)
        found |= made
        return {image.id: found[image.sha256] for image in images if image.sha256 in found}

    def keep(self, traits: dict[str, Traits]) -> None:
        """But none of what was removed meanwhile: whoever did may have come before they were kept."""
        if traits:
            self.store.put(traits)
            forget(self.store.path, unheld(self.engine, list(traits)))

    def made(self, image: Image) -> tuple[str, Traits | None]:
        try:
            return image.sha256, traits_of(self._preview(image), image.name)
        except (OSError, CannotDecode):  # its preview is gone: the next import makes it again
            return image.sha256, None

    def _grey(self, image: Image) -> np.ndarray | None:
        try:
            return scaled(decode(self._preview(image), image.name))
        except (OSError, CannotDecode):
            return None

    def _preview(self, image: Image) -> bytes:
        return self.home.preview(image.sha256, image.preview_suffix).read_bytes()


def _following(stop: Callable[[], bool], progress: Progress) -> Follow:
    """What tells `progress` how far the work is, and raises Cancelled as soon as it is to stop."""
    started, names = time.monotonic(), list(STARTS)

    def line(part: str, done: int, total: int) -> Line:
        if part == "preparing":
            return rate_line(done, total, time.monotonic() - started)
        english = {
            "sorting": "sorting what {total:,} pictures are known by: {done:,}",
            "near": "comparing {total:,} pictures with those near them: {done:,}",
            "crops": "looking for what {total:,} pictures are parts of: {done:,}",
            "parts": "comparing the pixels of {total:,} pairs: {done:,}",
        }[part]
        return Line(f"duplicates_{part}", english, done=done, total=total)

    def follow(part: str, done: int, total: int) -> None:
        if stop():
            raise Cancelled(Line("duplicates_stopped", "Stopped while looking for near-duplicates."))
        start, end = STARTS[part], STARTS[names[names.index(part) + 1]]
        progress(start + (end - start) * done / max(1, total), line(part, done, total))

    return follow


def _parts(ids: np.ndarray) -> Iterator[np.ndarray]:
    return (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))


def _without(pairs: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The rows of `pairs` that are none of `others`."""
    known = set(map(tuple, others.tolist()))
    return pairs[np.array([tuple(pair) not in known for pair in pairs.tolist()], bool)]
