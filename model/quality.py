"""How good a probe is, in figures a person can act on, each with its interval.

Everything is computed from the probabilities that labels got from probes which had not seen them (`Quality.unseen`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from model.errors import TooFewLabels
from model.interval import interval_of
from model.probe import Quality, fit_probe
from model.softmax import split_evenly
from model.strength import Choice

MORE = 10  # labels whose worth the learning curve foretells
PARTS, RESAMPLES = (0.4, 0.6, 0.8, 1.0), 400
EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 1.0)  # of the bins of probabilities; most lie high
SAME = 0.05  # of the median distance of two pictures: closer ones show the same thing


def by_class(quality: Quality) -> list[dict[str, Any]]:
    """Precision and recall of each class, None where nothing can be said; `note` says what is missing to judge it."""
    found = []
    for number, name in enumerate(quality.classes):
        of_it, called = (quality.y == number) & quality.judged, quality.said == number
        labels = quality.y == number if name in quality.lacking else of_it
        found.append({
            "class": name, "labels": int(labels.sum()),
            **share("precision", of_it[called], quality.groups[called]),
            **share("recall", called[of_it], quality.groups[of_it]),
            "note": quality.lacking.get(name),
        })  # fmt: skip
    return found


def share(what: str, right: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """{what, what_interval}: the mean of `right` (n,), whose answers come in `groups` (n,); None of none."""
    if not len(right):
        return {what: None, f"{what}_interval": None}
    return {what: float(right.mean()), f"{what}_interval": interval_of(right, groups)}


def reliability(unseen: np.ndarray, y: np.ndarray, groups: np.ndarray) -> list[dict[str, Any]]:
    """How often predictions (n, C) are right (`y`, n places) where they say how probable they are, bin by bin.

    Those of one of the `groups` (n,) are right or wrong together.
    """
    sure, right = unseen.max(axis=1), unseen.argmax(axis=1) == y
    bins = np.clip(np.searchsorted(EDGES, sure, side="right") - 1, 0, len(EDGES) - 2)
    found = []
    for number in np.unique(bins):
        here = bins == number
        found.append({
            "from": EDGES[number], "to": EDGES[number + 1], "labels": int(here.sum()),
            "said": float(sure[here].mean()), "right": float(right[here].mean()),
            "interval": interval_of(right[here], groups[here]),
        })  # fmt: skip
    return found


def learning_curve(
    vectors: np.ndarray,
    labels: Sequence[str],
    choice: Choice,
    groups: np.ndarray | None = None,
    folds: int = 5,
    seed: int = 0,
) -> dict[str, Any] | None:
    """Accuracy with a part of the labels, and what `MORE` would bring.

    {points: [{labels, accuracy, interval}], more, worth, interval}. `groups` (n,) are kept together.

    Error falls as a power of the number of labels (Cortes et al. 1993); the power is fitted to the parts. Intervals:
    95 %, by a bootstrap over the groups, which are drawn whole. A class with fewer than four groups is learnt whole in
    every part, and not judged; None while fewer than two have so many.
    """
    names = np.asarray(labels)
    classes, y = np.unique(names, return_inverse=True)
    groups = np.arange(len(y)) if groups is None else np.unique(groups, return_inverse=True)[1]
    apart = np.array([len(set(groups[y == number].tolist())) for number in range(len(classes))])
    able = np.flatnonzero(apart >= 4)
    if len(able) < 2:
        return None
    judged = np.flatnonzero(np.isin(y, able))
    right = np.zeros((len(PARTS), len(y)))
    sizes = np.zeros(len(PARTS))
    splits = [
        judged[hidden] for _, hidden in split_evenly(y[judged], min(folds, apart[able].min()), seed, groups[judged])
    ]
    rng = np.random.default_rng(seed)
    for hidden in splits:
        free = ~np.isin(groups, groups[hidden])
        known, always = np.flatnonzero(free & np.isin(y, able)), np.flatnonzero(free & ~np.isin(y, able))
        order = np.concatenate([_spread(np.flatnonzero(y[known] == number), rng) for number in able])
        place = known[order[:, 0].astype(int)][np.argsort(order[:, 1], kind="stable")]  # every beginning is stratified
        probe = None
        for number, part in enumerate(PARTS):
            some = np.concatenate([place[: max(len(able) * 2, round(part * len(place)))], always])
            try:
                probe = fit_probe(vectors[some], names[some].tolist(), choice=choice, start=probe)
            except TooFewLabels:  # the groups of this part hold all but one class
                return None
            said = np.array(probe.classes)[probe.probabilities(vectors[hidden]).argmax(axis=1)]
            right[number, hidden] = said == names[hidden]
            sizes[number] += len(some) / len(splits)
    right, groups = right[:, judged], np.unique(groups[judged], return_inverse=True)[1]
    sums, each = (
        np.array([np.bincount(groups, weights=w) for w in rows]) for rows in (right, np.ones((1, len(judged))))
    )
    count = sums.shape[1]
    drawn = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES)  # (R, G) how often each group is drawn
    means = (drawn @ sums.T) / (drawn @ each.T)  # (R, parts)
    low, high = np.quantile([_worth(sizes, row, len(y)) for row in means], (0.025, 0.975))
    bounds = np.quantile(means, (0.025, 0.975), axis=0).T.tolist()  # (parts, 2)
    points = [
        {"labels": round(n), "accuracy": float(a), "interval": within}
        for n, a, within in zip(sizes, right.mean(axis=1), bounds, strict=True)
    ]
    worth = _worth(sizes, right.mean(axis=1), len(y))
    return {"points": points, "more": MORE, "worth": worth, "interval": [float(low), float(high)]}


def _spread(places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`places` (k,) in a shuffled order, each with how far along its class it comes (k, 2)."""
    shuffled = rng.permutation(places)
    return np.stack([shuffled, (np.arange(len(shuffled)) + rng.random()) / len(shuffled)], axis=1)


def _worth(sizes: np.ndarray, accuracy: np.ndarray, now: int) -> float:
    """Accuracy that `MORE` labels add to `now`, by the power law through errors at `sizes`; never negative."""
    errors = np.log(np.clip(1 - accuracy, 0.5 / now, 1))
    power, _ = np.polyfit(np.log(sizes), errors, 1)
    last = float(np.exp(errors[-1])) * (now / sizes[-1]) ** min(power, 0)
    return float(last * (1 - ((now + MORE) / now) ** min(power, 0)))


def near_duplicates(vectors: np.ndarray, groups: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """A group number for each of unit `vectors` (n, D): those that show the same thing share one, as do `groups` (n,).

    "The same" is relative to how far two pictures of these lie apart, for encoders differ in that.
    """
    n = len(vectors)
    parent = np.arange(n)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    if groups is not None:
        first: dict[Any, int] = {}
        for i, group in enumerate(groups.tolist()):
            parent[root(i)] = root(first.setdefault(group, i))
    some = np.random.default_rng(seed).permutation(n)[:500]
    bound = SAME * float(np.median(1 - vectors[some] @ vectors[some].T))
    for at in range(0, n, 500):
        close = 1 - vectors[at : at + 500] @ vectors.T < bound
        for i, j in zip(*np.nonzero(close), strict=True):
            if at + i < j:
                parent[root(at + int(i))] = root(int(j))
    return np.array([root(i) for i in range(n)])


def still_to_find(sample: int, of_it: int, total: int, found: int) -> dict[str, Any]:
    """How many of a class are still to be found among `total`: a random `sample` holds `of_it`, and `found` are known.

    The interval is exact (hypergeometric, 95 %): as the sample becomes the whole it becomes one number.
    """
    from scipy.stats import hypergeom

    def least(allowed: Any) -> int:
        low, high = of_it, total - sample + of_it  # as few, as many as there can be
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if allowed(middle) else (middle + 1, high)
        return low

    lower = least(lambda whole: hypergeom.sf(of_it - 1, total, whole, sample) >= 0.025)
    upper = least(lambda whole: hypergeom.cdf(of_it, total, whole, sample) < 0.025)
    most = total - sample + of_it
    upper = upper if hypergeom.cdf(of_it, total, upper, sample) >= 0.025 else max(upper - 1, lower)
    estimate = min(max(round(total * of_it / max(sample, 1)), lower), most)
    return {"estimate": max(0, estimate - found), "interval": [max(0, lower - found), max(0, min(upper, most) - found)]}


def figures(quality: Quality) -> dict[str, Any]:
    """Per class and reliability."""
    judged = quality.judged
    return {
        "per_class": by_class(quality),
        "reliability": reliability(quality.unseen[judged], quality.y[judged], quality.groups[judged]),
    }
