"""Pictures that may be crops of one another: their landmarks look alike and lie alike (Lowe, 2004; Jégou et al., 2008).

Every landmark of a picture asks for those with the nearest codes, in cells of alike ones (FAISS). Each that it finds
says by how much a picture would have been scaled and moved; a picture that several say the same of is a candidate.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import faiss
import numpy as np

from model.alike import SCALES, TURN
from model.landmarks import CODE, MOST, Landmarks

SMALL = 20_000  # pictures up to which all landmarks of each are kept here
OF_EACH = 64  # of a larger collection's, the strongest: half the time and memory for a few crops fewer
NEAREST = 6  # that one may find; a picture's own are among them
CELLS_LOOKED_AT = 3
FILLED = 40  # landmarks in a cell, at least
ROUNDS = 6  # of k-means: cells need not be the best ones
GROWN = 2  # times as many landmarks as it was made for: then it is full
MOVED = 40  # px: what is moved by about as much is moved alike
LEAST, BEST = 2, 4  # votes that make a candidate; candidates of a picture


class LandmarkIndex:
    """The landmarks of many pictures. Grows by `add`."""

    def __init__(self, index: Any, owners: np.ndarray, places: np.ndarray, pictures: int) -> None:
        self.index, self.owners, self.places, self.pictures = index, owners, places, pictures
        self.of_each = MOST if pictures <= SMALL else OF_EACH
        index.nprobe = CELLS_LOOKED_AT

    @staticmethod
    def like(some: Mapping[int, Landmarks], pictures: int, seed: int = 0) -> LandmarkIndex:
        """An empty one, with cells for so many pictures like these, which are all of them or a sample."""
        of_each = MOST if pictures <= SMALL else OF_EACH
        codes = np.concatenate([np.zeros((1, CODE), np.int8), *(each.codes[:of_each] for each in some.values())])
        expected = len(codes) * pictures / max(1, len(some))
        cells = max(1, min(int(4 * np.sqrt(expected)), len(codes) // FILLED))
        index: Any = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatL2(CODE), CODE, cells, faiss.ScalarQuantizer.QT_8bit_direct_signed
        )
        index.cp.niter, index.cp.min_points_per_centroid = ROUNDS, 1
        chosen = np.random.default_rng(seed).choice(len(codes), min(len(codes), FILLED * cells), replace=False)
        index.train(codes[np.sort(chosen)].astype(np.float32))
        return LandmarkIndex(index, np.zeros(0, np.int64), np.zeros((0, 4), np.float16), pictures)

    @property
    def is_full(self) -> bool:
        return len(self.owners) > GROWN * self.of_each * max(self.pictures, FILLED)

    def add(self, landmarks: Mapping[int, Landmarks]) -> None:
        """Take in the landmarks of these images."""
        if not landmarks:
            return
        kept = [
            (image_id, each.places[: self.of_each], each.codes[: self.of_each]) for image_id, each in landmarks.items()
        ]
        self.index.add(np.concatenate([codes for *_, codes in kept]).astype(np.float32))
        owners = np.repeat([image_id for image_id, *_ in kept], [len(codes) for *_, codes in kept])
        self.owners = np.concatenate([self.owners, owners])
        self.places = np.concatenate([self.places, *(places for _, places, _ in kept)])

    def candidates(self, landmarks: Mapping[int, Landmarks], among: np.ndarray) -> np.ndarray:
        """(P, 2): each of these images (a few hundred) with those of `among` that it may share a part with."""
        asking = list(landmarks.values())
        codes = np.concatenate([np.zeros((0, CODE), np.int8), *(each.codes[: self.of_each] for each in asking)])
        if not len(codes) or not len(self.owners):
            return np.zeros((0, 2), np.int64)
        _, rows = self.index.search(codes.astype(np.float32), NEAREST)
        rows, number = rows.ravel(), np.repeat(np.arange(len(codes)), NEAREST)
        places = np.concatenate([each.places[: self.of_each] for each in asking])[number]
        asker = np.repeat(list(landmarks), [len(each.codes[: self.of_each]) for each in asking])[number]
        found = rows >= 0
        found[found] = np.isin(self.owners[rows[found]], among)
        votes = self._votes(number[found], asker[found], places[found].astype(np.float32), rows[found])
        votes = votes[(votes[:, 2] >= LEAST) & (votes[:, 0] != votes[:, 1])]
        votes = votes[np.lexsort((votes[:, 1], -votes[:, 2], votes[:, 0]))]
        _, first, count = np.unique(votes[:, 0], return_index=True, return_counts=True)
        best = np.arange(len(votes)) - np.repeat(first, count) < BEST
        return votes[best, :2]

    def _votes(self, number: np.ndarray, asker: np.ndarray, asked: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(V, 3): who asks, an image, and how many of the asker's landmarks agree on where they lie in it.

        Bins of scale and of both directions overlap by half, so that what agrees lies together in one of them.
        """
        place = self.places[rows].astype(np.float32)
        octaves = np.log2(place[:, 2] / asked[:, 2])
        turned = (place[:, 3] - asked[:, 3] + 180) % 360 - 180
        alike = (np.abs(octaves) < SCALES) & (np.abs(turned) < TURN)
        number, asked, place, octaves = (values[alike] for values in (number, asked, place, octaves))
        two = np.stack([asker[alike], self.owners[rows[alike]]], axis=1)
        pairs, pair = np.unique(two, axis=0, return_inverse=True)
        most = np.zeros(len(pairs), np.int64)
        for half in (0.0, 0.5):
            scale = np.floor(octaves + half)
            moved = place[:, :2] - asked[:, :2] * np.exp2(scale - half + 0.5)[:, np.newaxis]
            for aside in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)):
                x, y = np.clip(np.floor(moved / MOVED + aside) + 512, 0, 1023).astype(np.int64).T
                bins = (((pair.ravel() << 4) + scale.astype(np.int64) + 8) << 20) + (x << 10) + y
                order = np.lexsort((number, bins))
                bins, voter = bins[order], number[order]
                once = np.ones(len(bins), bool)  # a landmark has one vote, whatever it found there
                once[1:] = (bins[1:] != bins[:-1]) | (voter[1:] != voter[:-1])
                each, count = np.unique(bins[once], return_counts=True)
                np.maximum.at(most, each >> 24, count)
        return np.concatenate([pairs, most[:, np.newaxis]], axis=1)

    def packed(self) -> bytes:
        file = io.BytesIO()
        index = faiss.serialize_index(self.index)
        np.savez(file, index=index, owners=self.owners, places=self.places, pictures=self.pictures)
        return file.getvalue()

    @staticmethod
    def unpacked(data: bytes) -> LandmarkIndex:
        held = np.load(io.BytesIO(data), allow_pickle=False)
        index = faiss.deserialize_index(held["index"])
        return LandmarkIndex(index, held["owners"], held["places"], int(held["pictures"]))
