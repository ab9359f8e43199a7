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
from typing import Any

import numpy as np

from model.errors import BadInput
from model.evaluate import agreement, effective_rank, few_shot_right, places, spread, uniformity
from model.measure import Measured
from model.paired import by_group, paired
from model.progress import Line

SHOTS, DRAWS = (1, 5, 20), 10  # labels per class of the probes; how often they are drawn
DECIDING_SHOTS = 5  # the most labels per class that the verdict rests on; with 20 good and bad models come closer
TO_JUDGE = 4  # labels a class must have beyond those a probe is fitted from
LEAST_PICTURES = 20  # fewer say nothing about a difference
HELD_OUT = 60  # pictures never trained on are judged by when there are this many, else all are
NEIGHBOURS = 10


def compare(
    before: Measured,
    after: Measured,
    folders: Sequence[str] | None = None,
    labels: Sequence[str | None] | None = None,
    held_out: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """The report, JSON-able: `verdict` better, same or worse; `sentence`; and each measure with its interval.

    `folders`, `labels` and `held_out` (bool: never trained on) have an entry per picture of the gallery. Labels decide
    where they see a difference, for they are what the user means by alike; else retrieval decides.
    """
    count, asked = len(before.vectors), before.asked
    given = [len(x) for x in (folders, labels, held_out) if x is not None]
    if {count} != {len(after.vectors), count, *given} or not np.array_equal(asked, after.asked):
        raise BadInput("both models must be measured on the same pictures")
    retrieval, found = _retrieval(before, after, seed)
    few_shots, classes = _few_shots(before, after, labels, held_out, seed)
    if folders is not None and len(set(folders)) >= 2:
        retrieval.append(_agreement(before, after, folders, seed))
    for measure in retrieval:
        measure["trained_on"] = _trained_on(held_out, asked)
    by_labels = [m for m in few_shots if m["shots"] <= DECIDING_SHOTS and m["pictures"] >= LEAST_PICTURES]
    deciding = by_labels[-1:] + retrieval[:1]
    decided = next((m for m in deciding if m["verdict"] != "same"), deciding[0])
    enough = len(asked) >= LEAST_PICTURES
    rows = (("before", before.vectors[asked]), ("after", after.vectors[asked]))
    return {
        "verdict": decided["verdict"] if enough else "same",
        "sentence": _sentence(decided, count)
        if enough
        else Line("too_few_to_compare", "{n} pictures are too few to tell the models apart.", n=len(asked)),
        "decided_by": decided["name"],
        "images": len(asked),
        "gallery": count,
        "held_out": None if held_out is None else int(held_out[asked].sum()),
        "measures": few_shots + retrieval,
        "effective_rank": {side: effective_rank(vectors) for side, vectors in rows},
        "uniformity": {side: uniformity(vectors) for side, vectors in rows},
        "spread": {side: spread(vectors) for side, vectors in rows},
        "folders": None
        if folders is None
        else by_group("recall_at_10", [folders[i] for i in asked], found[0], found[1], seed),
        "classes": classes,
    }


def side_by_side(before: Measured, after: Measured, queries: int = 24, nearest: int = 6) -> list[dict[str, Any]]:
    """Fixed queries among the pictures asked for, each with its nearest others by either model: rows of the gallery."""
    spaced = np.linspace(0, len(before.asked) - 1, min(queries, len(before.asked))).round().astype(int)

    def near(model: Measured, row: int) -> list[int]:
        order = np.argsort(-(model.vectors @ model.vectors[row]), kind="stable")
        return [int(i) for i in order if i != row][:nearest]

    rows = before.asked[spaced].tolist()
    return [{"query": row, "before": near(before, row), "after": near(after, row)} for row in rows]


def _retrieval(before: Measured, after: Measured, seed: int) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """The measures of finding itself again; and whether each view did so among ten, (V, Q) before and after."""
    count = len(before.vectors)
    place = []
    for model in (before, after):
        rounds, asked, dim = model.views.shape
        flat = places(model.views.reshape(-1, dim), model.vectors, np.tile(model.asked, rounds))
        place.append(flat.reshape(rounds, asked))
    score = [1 - np.log(found) / math.log(count) for found in place]  # 1 for the first, 0 for the last
    again = paired("found_again", score[0], score[1], seed)
    again["place"] = [float(np.exp(np.log(found).mean())) for found in place]
    again["median_place"] = [float(np.median(found)) for found in place]
    first, among_ten = ([(found <= k).astype(float) for found in place] for k in (1, 10))
    recalls = [paired(f"recall_at_{k}", old, new, seed) for k, (old, new) in ((1, first), (10, among_ten))]
    return [again, *recalls], among_ten


def _agreement(before: Measured, after: Measured, folders: Sequence[str], seed: int) -> dict[str, Any]:
    """How many of a picture's nearest lie in its own folder; `chance` is what nearest drawn by lot would reach."""
    k = min(NEIGHBOURS, len(folders) - 1)
    same = [agreement(k, model.vectors, folders)[model.asked][np.newaxis] for model in (before, after)]
    sizes = Counter(folders)
    by_lot = float(np.mean([(sizes[folders[i]] - 1) / (len(folders) - 1) for i in before.asked]))
    return {**paired("folder_agreement", same[0], same[1], seed), "nearest": k, "chance": by_lot}


def _few_shots(
    before: Measured,
    after: Measured,
    labels: Sequence[str | None] | None,
    held_out: np.ndarray | None,
    seed: int,
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Probes from a few labels per class, those that the labels suffice for; and per class how good the middle one is.

    Labels to fit from are drawn among all; judged are pictures held out, where enough of them have labels.
    """
    measures: list[dict[str, Any]] = []
    classes = None
    for shots in SHOTS:
        if (rows := _labelled(labels, shots)) is None:
            break
        names = [str(labels[i]) for i in rows]  # type: ignore[index]
        right = [few_shot_right(model.vectors[rows], names, shots, DRAWS, seed) for model in (before, after)]
        judged = np.arange(len(rows))
        if held_out is not None and held_out[rows].sum() >= HELD_OUT:
            judged = np.flatnonzero(held_out[rows])
        right = [answers[:, judged] for answers in right]
        name = f"accuracy_from_{shots}_label{'s' if shots > 1 else ''}"
        about = {"shots": shots, "classes": len(set(names)), "trained_on": _trained_on(held_out, rows[judged])}
        measures.append({**paired(name, right[0], right[1], seed), **about})
        if shots <= DECIDING_SHOTS:
            classes = by_group(name, [names[i] for i in judged], right[0], right[1], seed)
    return measures, classes


def _trained_on(held_out: np.ndarray | None, rows: np.ndarray) -> bool | None:
    """Whether the training saw some of these pictures; None when nobody said which ones."""
    return None if held_out is None else not bool(held_out[rows].all())


def _labelled(labels: Sequence[str | None] | None, shots: int) -> np.ndarray | None:
    """The pictures whose class has labels enough to try `shots` of; None when fewer than two classes have."""
    counts = Counter(label for label in labels or () if label is not None)
    classes = {name for name, count in counts.items() if count >= shots + TO_JUDGE}
    if len(classes) < 2:
        return None
    return np.array([i for i, label in enumerate(labels or ()) if label in classes])


def _sentence(measure: dict[str, Any], count: int) -> Line:
    low, high = measure["interval"]
    if measure["name"] == "found_again":
        before, after = measure["place"]
        ratios = sorted(count**-bound for bound in (low, high))
        figures = Line(
            "found_again",
            "a changed picture finds itself at place {after:.1f} of {count:,}, with the model before at {before:.1f} "
            "(geometric means; their ratio is {ratio:.2f}, 95 % interval {low:.2f} to {high:.2f}).",
            after=round(after, 1), count=count, before=round(before, 1), ratio=round(after / before, 2),
            low=round(ratios[0], 2), high=round(ratios[1], 2),
        )  # fmt: skip
    else:
        figures = Line(
            "few_shot",
            f"a probe from {{shots}} label{'s' if measure['shots'] > 1 else ''} per class is right for {{after:.0f}} "
            "of 100 pictures, with the model before for {before:.0f} "
            "(difference {difference} points, 95 % interval {low} to {high}).",
            shots=measure["shots"], after=round(100 * measure["after"]), before=round(100 * measure["before"]),
            difference=f"{100 * measure['difference']:+.1f}", low=f"{100 * low:+.1f}", high=f"{100 * high:+.1f}",
        )  # fmt: skip
    judged, pictures = measure["trained_on"], measure["pictures"]
    if judged is None:
        return Line("verdict", "{verdict}: {figures}", verdict=verdict_line(measure["verdict"]), figures=figures)
    if judged:
        english = "{pictures:,} pictures, most of them trained on, for too few were kept out."
        on = Line("judged_on_known", english, pictures=pictures)
    else:
        on = Line("judged_on_kept_out", "{pictures:,} pictures kept out of the training.", pictures=pictures)
    english = "{verdict}: {figures} Judged on {on}"
    return Line("verdict_judged", english, verdict=verdict_line(measure["verdict"]), figures=figures, on=on)


def verdict_line(verdict: str) -> Line:
    """'Better', in words that a sentence begins with."""
    english = {"better": "Better", "worse": "Worse", "same": "No difference that can be told"}[verdict]
    return Line(f"verdict_{verdict}", english)
