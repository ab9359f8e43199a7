"""Which labelled images belong together, so that no split tests on what it learnt from: bursts and folders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

import numpy as np
from sqlalchemy import Engine

from indexer.images import Image, get_images

BURST = 10  # seconds between two pictures of one camera that show one thing
PART = 500  # images asked for at once


def groups_of(engine: Engine, ids: Sequence[int], names: Sequence[str]) -> np.ndarray:
    """A group number for each of `ids` (n,): one for a burst, and one for a folder where folders are not the classes.

    Folders count when every class (`names`, n) has pictures in several of them, none of which holds most of a class;
    not where `names` is empty, for images may have several.
    """
    found = {x.id: x for at in range(0, len(ids), PART) for x in get_images(engine, list(ids[at : at + PART]))}
    images = [found[i] for i in ids]
    if not names:
        return _bursts(images)
    by_class: dict[str, dict[str, int]] = {}
    for image, name in zip(images, names, strict=True):
        folders = by_class.setdefault(name, {})
        folders[image.folder] = folders.get(image.folder, 0) + 1
    if all(2 * max(folders.values()) <= sum(folders.values()) for folders in by_class.values()):
        return np.unique([image.folder for image in images], return_inverse=True)[1]
    return _bursts(images)


def _bursts(images: Sequence[Image]) -> np.ndarray:
    groups = np.arange(len(images))
    timed = [(image.camera, when, at) for at, image in enumerate(images) if (when := _time(image)) is not None]
    timed.sort(key=lambda each: (each[0] or "", each[1]))
    for (camera, before, earlier), (same, after, later) in pairwise(timed):
        if camera == same and camera is not None and after - before <= BURST:
            groups[later] = groups[earlier]
    return groups


def _time(image: Image) -> float | None:
    try:
        return None if image.taken_at is None else datetime.fromisoformat(image.taken_at).timestamp()
    except ValueError:
        return None
