"""Is the new model better than the one before, on the user's own pictures? An answer in words, with how sure it is.

Two questions are put to both models, about the same pictures in the same way, so that they can be compared picture by
picture: does a picture find itself again after crop, light and colour changed (needs no label), and how often is a
probe from a few labels right (when there are labels). The difference's interval comes from resampling the pictures.

How well a picture finds itself is told by the logarithm of its place among all. The more usual figure, how often that
place is the first, is nearly blind where pictures overlap: on 240 views of 12 scenes, a training that lifted search
precision@10 from .27 to .58 moved it from .113 to .121, and the typical place from 21.5 to 12.9.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from model.errors import BadInput
from model.evaluate import effective_rank, few_shot_right, places
from model.info import ModelInfo

SHOTS, DRAWS, RESAMPLES = 5, 10, 2000
LEAST = 0.005  # half a point: less is "the same", however sure
LEAST_PICTURES = 20  # fewer say nothing about a difference


class _Encoder(Protocol):
    @property
    def info(self) -> ModelInfo: ...
    def prepare(self, image: Image.Image) -> np.ndarray: ...
    def encode(self, pixels: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Measured:
    """What one model makes of the pictures: their vectors and those of two changed views of each, all (N, D)."""

    vectors: np.ndarray
    one: np.ndarray
    other: np.ndarray


def measure(encoder: _Encoder, images: Sequence[Image.Image], seed: int = 0) -> Measured:
    """Encode `images` (previews, RGB) and two views of each; the same views for every encoder and seed."""

    def encode(pictures: Sequence[Image.Image]) -> np.ndarray:
        return encoder.encode(np.stack([encoder.prepare(picture) for picture in pictures]))

    pairs = [(_view(image, seed, i, 0), _view(image, seed, i, 1)) for i, image in enumerate(images)]
    return Measured(encode(images), encode([one for one, _ in pairs]), encode([other for _, other in pairs]))


def compare(
    before: Measured, after: Measured, labels: Sequence[str | None] | None = None, seed: int = 0
) -> dict[str, Any]:
    """The report, JSON-able: `verdict` better, same or worse; `sentence`; and each measure with its interval.

    Labels decide where they see a difference, for they are what the user means by alike; else retrieval decides.
    """
    count = len(before.vectors)
    if count != len(after.vectors) or (labels is not None and len(labels) != count):
        raise BadInput("both models must be measured on the same pictures")
    place = [places(model.one, model.other) for model in (before, after)]
    score = [
        1 - np.log(found)[np.newaxis] / math.log(max(count, 2)) for found in place
    ]  # 1 for the first, 0 for the last
    measures = [_measured("found_again", score[0], score[1], seed)]
    measures[0]["place"] = [float(np.exp(np.log(found).mean())) for found in place]
    if (labelled := _labelled(labels)) is not None:
        names = [str(labels[i]) for i in labelled]  # type: ignore[index]
        right = [few_shot_right(model.vectors[labelled], names, SHOTS, DRAWS, seed) for model in (before, after)]
        measures.insert(0, _measured(f"accuracy_from_{SHOTS}_labels", right[0], right[1], seed))
    deciding = next((m for m in measures if m["verdict"] != "same"), measures[0])
    enough = count >= LEAST_PICTURES
    verdict = deciding["verdict"] if enough else "same"
    return {
        "verdict": verdict,
        "sentence": _sentence(deciding, count) if enough else f"{count} pictures are too few to tell the models apart.",
        "images": count,
        "measures": measures,
        "effective_rank": {"before": effective_rank(before.vectors), "after": effective_rank(after.vectors)},
    }


def _measured(name: str, before: np.ndarray, after: np.ndarray, seed: int) -> dict[str, Any]:
    """One measure from (draws, N) answers of each model: 1 right, 0 wrong, NaN not asked."""
    low, high = _interval(after - before, seed)
    difference = float(np.nanmean(after) - np.nanmean(before))
    verdict = "same"
    if difference >= LEAST and low > 0:
        verdict = "better"
    if difference <= -LEAST and high < 0:
        verdict = "worse"
    return {
        "name": name,
        "before": float(np.nanmean(before)),
        "after": float(np.nanmean(after)),
        "difference": difference,
        "interval": [low, high],
        "verdict": verdict,
    }


def _interval(difference: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % interval of the mean of paired differences (draws, N): a bootstrap over pictures and over draws."""
    rng = np.random.default_rng(seed)
    draws, count = difference.shape
    asked = ~np.isnan(difference)
    values = np.nan_to_num(difference)
    pictures = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES)  # (R, N) how often each picture is drawn
    rounds = rng.multinomial(draws, np.full(draws, 1 / draws), RESAMPLES)  # (R, draws)
    total = ((rounds @ values) * pictures).sum(axis=1)
    means = total / np.maximum(((rounds @ asked) * pictures).sum(axis=1), 1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def _labelled(labels: Sequence[str | None] | None) -> np.ndarray | None:
    """The places of pictures whose class has labels enough to try; None when fewer than two classes have."""
    counts = Counter(label for label in labels or () if label is not None)
    classes = {name for name, count in counts.items() if count >= 2 * SHOTS}
    if len(classes) < 2:
        return None
    return np.array([i for i, label in enumerate(labels or ()) if label in classes])


def _sentence(measure: dict[str, Any], count: int) -> str:
    low, high = measure["interval"]
    if measure["name"] == "found_again":
        before, after = measure["place"]
        ratios = sorted(count**-bound for bound in (low, high))
        figures = (
            f"a changed picture finds itself at place {after:.1f} of {count}, with the model before at {before:.1f} "
            f"(geometric means; their ratio is {after / before:.2f}, 95 % interval {ratios[0]:.2f} to {ratios[1]:.2f})."
        )
    else:
        figures = (
            f"a probe from {SHOTS} labels per class is right for {100 * measure['after']:.0f} of 100 pictures, "
            f"with the model before for {100 * measure['before']:.0f} "
            f"(difference {100 * measure['difference']:+.1f} points, "
            f"95 % interval {100 * low:+.1f} to {100 * high:+.1f})."
        )
    return f"{_VERDICTS[measure['verdict']]}: {figures}"


_VERDICTS = {"better": "Better", "worse": "Worse", "same": "No difference that can be told"}


def _view(image: Image.Image, seed: int, picture: int, which: int) -> Image.Image:
    """A crop of 30 to 100 % of the area, mirrored or not, in another light; sometimes grey, sometimes soft."""
    rng = np.random.default_rng([seed, picture, which])
    part = np.sqrt(rng.uniform(0.3, 1.0))
    width, height = (max(1, round(part * side)) for side in image.size)
    left, top = int(rng.integers(image.width - width + 1)), int(rng.integers(image.height - height + 1))
    view = image.crop((left, top, left + width, top + height))
    if rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        view = change(view).enhance(rng.uniform(0.6, 1.4))
    if rng.random() < 0.2:
        view = view.convert("L").convert("RGB")
    if rng.random() < 0.3:
        view = view.filter(ImageFilter.GaussianBlur(min(view.size) / 100))
    return view
