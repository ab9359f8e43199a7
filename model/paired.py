"""Two models' answers about the same pictures, compared picture by picture: difference, interval, verdict, groups.

Answers are arrays (rounds, N): a round is a changed view, or a draw of labels; NaN where a picture was not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from model.interval import wilson

RESAMPLES = 2000
LEAST = 0.005  # half a point: less is "the same", however sure
LEAST_GROUP = 5  # pictures; a folder or class of fewer says nothing


def paired(
    name: str, before: np.ndarray, after: np.ndarray, seed: int = 0, groups: np.ndarray | None = None
) -> dict[str, Any]:
    """One measure, JSON-able; more is better. Same: less than half a point apart, or the interval holds 0."""
    low, high = interval(after - before, seed, groups)
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
        "pictures": int((~np.isnan(after)).any(axis=0).sum()),
    }


def interval(difference: np.ndarray, seed: int = 0, groups: np.ndarray | None = None) -> tuple[float, float]:
    """95 % interval of the mean of paired differences (rounds, N): a bootstrap over pictures and over rounds.

    Pictures of one of `groups` (N,), numbers from 0, are drawn together: ten of one burst say little more than one.
    """
    rng = np.random.default_rng(seed)
    asked = ~np.isnan(difference)
    values = np.nan_to_num(difference)
    if groups is not None:
        together = np.eye(int(groups.max()) + 1)[groups]  # (N, G)
        asked, values = asked @ together, values @ together
    rounds, count = values.shape
    pictures = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES)  # (R, N) how often each picture is drawn
    drawn = rng.multinomial(rounds, np.full(rounds, 1 / rounds), RESAMPLES)  # (R, rounds)
    total = ((drawn @ values) * pictures).sum(axis=1)
    means = total / np.maximum(((drawn @ asked) * pictures).sum(axis=1), 1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def by_group(
    of: str, groups: Sequence[str], before: np.ndarray, after: np.ndarray, seed: int = 0
) -> dict[str, Any] | None:
    """Quality within each group (a folder, a class), worst first, and how far the worst lies below the whole.

    `groups` (N,) names each picture's; `of` is the measure. Groups of too few pictures are `left_out`; None when fewer
    than two are left. One of many is always the worst: `by_lot` is how often pictures dealt out to groups of these
    sizes by lot give one as bad.
    """
    names = np.asarray(groups)
    asked = (~np.isnan(after)).any(axis=0)
    kinds, sizes = np.unique(names[asked], return_counts=True)
    if (sizes >= LEAST_GROUP).sum() < 2:
        return None
    rows = []
    for name in kinds[sizes >= LEAST_GROUP].tolist():
        of_it = asked & (names == name)
        means = [float(np.nanmean(answers[:, of_it])) for answers in (before, after)]
        rows.append({"name": name, "pictures": int(of_it.sum()), "before": means[0], "after": means[1]})
    rows.sort(key=lambda row: row["after"])
    whole = {"before": float(np.nanmean(before)), "after": float(np.nanmean(after))}
    worst = {side: min(rows, key=lambda row: row[side]) for side in whole}
    return {
        "of": of,
        "groups": [{**row, "interval": wilson(row["after"] * row["pictures"], row["pictures"])} for row in rows],
        "left_out": int((sizes < LEAST_GROUP).sum()),
        "worst": {side: worst[side]["name"] for side in whole},
        "gap": {side: whole[side] - worst[side][side] for side in whole},
        "by_lot": _as_bad_by_lot(np.nanmean(after[:, asked], axis=0), sizes[sizes >= LEAST_GROUP], rows[0], seed),
    }


def _as_bad_by_lot(values: np.ndarray, sizes: np.ndarray, worst: dict[str, Any], seed: int) -> float:
    """How often the worst of groups of `sizes`, dealt from `values` by lot, is as far below the mean as `worst` is.

    Far is counted in standard errors, so that a small group, whose mean strays more, is no worse than it looks.
    """
    rng = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    below = (values.mean() - worst["after"]) * np.sqrt(worst["pictures"])
    as_bad = 0
    for _ in range(RESAMPLES):
        means = np.add.reduceat(rng.permutation(values)[: sizes.sum()], starts) / sizes
        as_bad += ((values.mean() - means) * np.sqrt(sizes)).max() >= below - 1e-9
    return as_bad / RESAMPLES
