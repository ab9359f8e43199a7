"""Are pictures found again that were resized, cropped, re-encoded or recoloured? As a look finds them, beside pHash.

The folder is imported, indexed and looked through; then, for each kind of change, changed copies of some pictures come
into the same collection, and a second look says which of them it found. So what it finds, it finds among all others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance
from scipy.fft import dct
from skimage.feature import match_template
from sqlalchemy import Engine

from indexer.catalog import Collection, create_collection, open_catalog
from indexer.crops import LandmarkIndex
from indexer.embed import embed_missing
from indexer.home import Home
from indexer.images import contents_of, get_image, get_images, read_original
from indexer.importer import import_sources
from indexer.look import Looked, look
from indexer.removal import remove
from indexer.sources import scan
from indexer.vectors import VectorStore
from model.encoder import Encoder
from model.images import decode
from scripts.benchmarks.calls import say
from scripts.benchmarks.labelled import encoder_of, start_of
from scripts.benchmarks.table import Row, aim, row

CUSTOMARY = 10  # of pHash's 64 bits: what differs in no more is called the same
BLOCK = 1000
WINDOWS, SURE, ENOUGH = 5, 0.9, 5  # a side; the correlation of one that lies in the other picture; so many of all

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def cropped(share: float) -> Change:
    """What keeps `share` of each side, at a random corner."""

    def crop(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        width, height = round(share * image.width), round(share * image.height)
        left, top = (int(rng.integers(2)) * gap for gap in (image.width - width, image.height - height))
        return image.crop((left, top, left + width, top + height))

    return crop


def halved(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)


def recoloured(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Brightness and saturation 15 % up or down."""
    image = ImageEnhance.Brightness(image).enhance(float(rng.choice([0.85, 1.15])))
    return ImageEnhance.Color(image).enhance(float(rng.choice([0.85, 1.15])))


@dataclass(frozen=True)
class Kind:
    """A change, the quality it is saved at, and how many percent of the pictures must be found; None: no target."""

    name: str
    steps: tuple[Change, ...]
    quality: int
    least: float | None


A_TENTH, A_QUARTER = cropped(0.9), cropped(0.75)
KINDS = (
    Kind("half the size", (halved,), 95, 98),
    Kind("quality 60", (), 60, 98),
    Kind("recoloured", (recoloured,), 95, 98),
    Kind("a tenth cropped", (A_TENTH,), 95, 98),
    Kind("a tenth cropped, quality 60", (A_TENTH,), 60, 98),
    Kind("a tenth cropped, half the size", (A_TENTH, halved), 95, 98),
    Kind("a tenth cropped, recoloured", (A_TENTH, recoloured), 95, 98),
    Kind("a quarter cropped", (A_QUARTER,), 95, 90),
    Kind("a quarter cropped, quality 60", (A_QUARTER,), 60, 90),
    Kind("a quarter cropped, half the size", (A_QUARTER, halved), 95, 90),
    Kind("a quarter cropped, recoloured", (A_QUARTER, recoloured), 95, 90),
    Kind("a quarter cropped, with all three", (A_QUARTER, halved, recoloured), 60, 90),
    Kind("a half cropped", (cropped(0.5),), 95, None),
)


def rows(folder: Path, model: Path | None, copies: int, most: int | None = None) -> list[Row]:
    """What was found of `copies` pictures of `folder` for each kind of change, and pairs among those as given."""
    with tempfile.TemporaryDirectory() as scratch:
        return _Collection(folder, model, Path(scratch), most).rows(copies)


class _Collection:
    def __init__(self, folder: Path, model: Path | None, place: Path, most: int | None) -> None:
        self.name, self.place, self.home = folder.name, place, Home(place / "home")
        self.encoder: Encoder = encoder_of(start_of(model), place / "models", "cpu")
        self.engine: Engine = open_catalog(self.home)
        self.collection: Collection = create_collection(self.engine, "photos")
        say(f"{self.name}: importing")
        import_sources(self.engine, self.home, self.collection, scan([folder]))
        if most is not None:
            ids = [row[0] for row in contents_of(self.engine, self.collection)]
            remove(self.engine, self.home, self.collection, ids[most:])

    def rows(self, copies: int) -> list[Row]:
        """One for each kind, then one of the pairs among the pictures themselves."""
        rng = np.random.default_rng(0)
        say(f"{self.name}: looking at every picture")
        pairs, looked = self._look(None)
        landmarks = looked.landmarks.packed() if looked.landmarks is not None else b""
        chosen = np.sort(rng.choice(looked.ids, min(copies, len(looked.ids)), replace=False))
        hashes = self._hashes(looked.ids)
        result = []
        for number, kind in enumerate(KINDS):
            say(f"{self.name}: {kind.name}")
            copied = self._bring(number, kind, chosen, rng)
            before = Looked(looked.ids, LandmarkIndex.unpacked(landmarks))
            found = {tuple(pair) for pair in self._look(before)[0].tolist()}
            ours = np.mean([tuple(sorted(pair)) in found for pair in zip(chosen, copied, strict=True)])
            own = hashes[np.searchsorted(looked.ids, chosen)]
            phash = np.mean(_apart(own, self._hashes(copied)) <= CUSTOMARY)
            remove(self.engine, self.home, self.collection, copied.tolist())
            each = row(f"{self.name}: {kind.name}: found of {len(chosen)}", 100 * ours, "%", 100 * phash)
            result.append(aim(each, at_least=kind.least))
        other = [pair for pair in pairs.tolist() if not self._is_one_shot(*pair)]
        for pair in other:
            names = [f"{image.folder}/{image.name}" for image in get_images(self.engine, pair)]
            say(f"{self.name}: to be looked at: {' '.join(names)}")
        several = [np.argwhere(_apart(hashes[at], hashes[at + 1 :]) <= CUSTOMARY) for at in range(len(hashes))]
        theirs = [(looked.ids[at], looked.ids[at + 1 + int(b)]) for at, others in enumerate(several) for (b,) in others]
        true = sum(self._is_one_shot(int(first), int(second)) for first, second in theirs[:BLOCK])
        wrong = len(theirs) - round(true * len(theirs) / max(1, len(theirs[:BLOCK])))
        size = f"{self.name}: pairs among its own {len(looked.ids):,} pictures"
        return [
            *result,
            row(size, len(pairs), "", len(theirs)),
            row(f"{size} not confirmed at full size", len(other), "", wrong),
        ]

    def _look(self, before: Looked | None) -> tuple[np.ndarray, Looked]:
        embed_missing(self.engine, self.home, self.collection, self.encoder)
        contents = contents_of(self.engine, self.collection)
        info = self.encoder.info
        have, vectors = VectorStore(self.home.vectors(info.fingerprint), info.dim).get([sha for _, sha, _ in contents])
        return look(self.engine, self.home, np.array([contents[at][0] for at in have]), vectors, before)

    def _bring(self, number: int, kind: Kind, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The ids of changed copies of the images `chosen`, in their order."""
        folder = self.place / f"copies-{number}"
        folder.mkdir()
        for image_id in chosen.tolist():
            changed = self._picture(image_id)
            for step in kind.steps:
                changed = step(changed, rng)
            changed.save(folder / f"{image_id}.jpg", quality=kind.quality)
        last = contents_of(self.engine, self.collection)[-1][0]
        import_sources(self.engine, self.home, self.collection, scan([folder]))
        came = [image_id for image_id, *_ in contents_of(self.engine, self.collection, after=last)]
        by_name = {int(Path(image.name).stem): image.id for image in get_images(self.engine, came)}
        return np.array([by_name[image_id] for image_id in chosen.tolist()])

    def _picture(self, image_id: int) -> Image.Image:
        image = get_image(self.engine, image_id)
        return decode(read_original(self.engine, self.home, image), image.name)

    def _hashes(self, ids: np.ndarray) -> np.ndarray:
        """(N, 64) bool: pHash as ImageHash computes it: which of the lowest 8 × 8 cosines lie above their median."""
        found = np.zeros((len(ids), 64), bool)
        for at, image_id in enumerate(ids.tolist()):
            grey = np.asarray(self._picture(image_id).convert("L").resize((32, 32), Image.Resampling.LANCZOS), float)
            lowest = dct(dct(grey, axis=0), axis=1)[:8, :8]
            found[at] = (lowest > np.median(lowest)).ravel()
        return found

    def _is_one_shot(self, first: int, second: int) -> bool:
        """Judged by other means: windows of the one, at full resolution, that lie somewhere in the other."""
        one, other = (np.asarray(self._picture(each).convert("L"), np.float32) for each in (first, second))
        height, width = one.shape[0] // WINDOWS, one.shape[1] // WINDOWS
        if height >= other.shape[0] or width >= other.shape[1]:
            return False
        found = 0
        for y in range(WINDOWS):
            for x in range(WINDOWS):
                window = one[y * height : (y + 1) * height, x * width : (x + 1) * width]
                found += bool(window.std() > 1 and match_template(other, window).max() >= SURE)
        return found >= ENOUGH


def _apart(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) in how many places hashes differ."""
    return np.count_nonzero(one != others, axis=-1)
