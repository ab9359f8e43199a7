"""How good a collection's probe is, as the JSON that API and command line answer with."""

from __future__ import annotations

from typing import Any

import numpy as np

from app.audit import audited
from app.crossvalidation import Checked
from app.engine import Engine
from app.finetuning import learnt_labels
from app.fitted import Fitted
from indexer.catalog import Collection
from indexer.labels import current_labels
from model.errors import BadInput, LikenessError, TooFewLabels
from model.probe import Quality
from model.progress import Line
from model.quality import figures, still_to_find
from model.several import LINE, YES, SeveralQuality, several_figures, without

UNDER_WAY = Line("under_way", "Cross-validation is under way.")


def _learnt_from(learnt: np.ndarray) -> dict[str, Any]:
    """That the encoder was told some of the labels, and what the figures are of then."""
    words = "The encoder was fine-tuned with {learnt:,} of these labels: the figures are of the {fresh:,} others."
    count = int(learnt.sum())
    note = Line("learnt_from", words, learnt=count, fresh=len(learnt) - count)
    return {"learnt_from": count, "note": note, "note_said": note.said}


def judgement(engine: Engine, collection: Collection, fitted: Fitted, checked: Checked | None) -> dict[str, Any]:
    """Accuracy, confusion, classes, reliability, learning curve and what is still to be found, all with intervals."""
    found: dict[str, Any] = {
        "classes": list(fitted.probe.classes), "labels": fitted.labels, "judged": None,
        "strength": fitted.probe.strength, "calibrated": fitted.probe.measured,
        "accuracy": None, "interval": None, "confusion": None, "folds": None, "note": None, "note_said": None,
        "settled": fitted.settled, "model": collection.active_model, "per_class": None, "reliability": None,
        "kept_together": None, "pretended": None, "pretended_interval": None, "curve": None, "learnt_from": 0,
        "audit": audit(engine, collection), "multi_label": fitted.answers is not None,
    }  # fmt: skip
    if fitted.answers is not None:
        choices = zip(fitted.probe.classes, fitted.probe.choices, strict=True)
        found["calibrated"] = None  # some classes may be, and others not
        found["strength"] = {name: choice.strength for name, choice in choices}
    if checked is None:
        return {**found, "note": UNDER_WAY, "note_said": UNDER_WAY.said}
    quality, more = checked.quality, checked.more
    if isinstance(quality, LikenessError):
        why = {"name": "failed", "values": {"error": type(quality).__name__}}
        return {**found, "note": str(quality), "note_said": why}
    if isinstance(quality, SeveralQuality):
        return found | _several(engine, collection, fitted, quality, more)
    learnt = learnt_labels(engine.workspace, collection)
    fresh = ~np.isin(fitted.ids, list(learnt))
    if not fresh.all():  # the encoder knows these labels: to be judged on them would flatter it
        found |= _learnt_from(~fresh)
        if not (fresh & quality.judged).any():
            return found
        quality, more = quality.only(fresh & quality.judged), {}
    return {
        **found, **figures(quality), **more, "accuracy": round(quality.accuracy, 4), "judged": quality.labels,
        "interval": [round(x, 4) for x in quality.interval], "confusion": quality.confusion.tolist(),
        "folds": quality.folds,
    }  # fmt: skip


def _several(
    engine: Engine, collection: Collection, fitted: Fitted, quality: SeveralQuality, more: dict[str, Any]
) -> dict[str, Any]:
    """The same where images may have several classes: how often a yes or no is as said, and each class by itself."""
    learnt = np.isin(fitted.ids, list(learnt_labels(engine.workspace, collection)))
    found: dict[str, Any] = dict(more)
    if learnt.any():
        found = _learnt_from(learnt)
        quality = without(quality, learnt)
        if np.isnan(quality.unseen).all():
            return found
    judged = several_figures(quality, _lines(fitted, quality))
    judged |= {"accuracy": round(judged["accuracy"], 4), "interval": [round(x, 4) for x in judged["interval"]]}
    return {**found, **judged, "folds": quality.folds}


def _lines(fitted: Fitted, quality: SeveralQuality) -> np.ndarray:
    drawn = {} if fitted.lines is None else dict(zip(fitted.probe.classes, fitted.lines.tolist(), strict=True))
    return np.array([drawn.get(name, LINE) for name in quality.classes], np.float32)


def behind_class(engine: Engine, collection: Collection, name: str, actual: str, predicted: str) -> np.ndarray:
    """Where images may have several classes: those said to be `actual` (yes, no) of one, and unseen `predicted`."""
    quality = engine.probes.quality(collection)  # waits for it
    fitted = engine.probes.fitted(collection)
    if not isinstance(quality, SeveralQuality) or len(quality.unseen) != len(fitted.ids):
        raise TooFewLabels("Labels have just changed: ask again in a moment.")
    if name not in quality.classes:
        raise BadInput(f"{name!r} is not judged: the labelled classes are {', '.join(quality.classes)}.")
    if {actual, predicted} - {"yes", "no"}:
        raise BadInput("Where pictures may have several classes, actual and predicted are yes or no, of class=NAME.")
    column = quality.classes.index(name)
    p = quality.unseen[:, column]
    there = (p >= _lines(fitted, quality)[column]) == (predicted == "yes")
    there &= ~np.isnan(p) & ((quality.given[:, column] == YES) == (actual == "yes"))
    there &= ~np.isin(fitted.ids, list(learnt_labels(engine.workspace, collection)))
    rows = np.flatnonzero(there)
    sure = p[rows] if predicted == "yes" else -p[rows]
    return fitted.ids[rows[np.argsort(-sure, kind="stable")]]


def behind(engine: Engine, collection: Collection, actual: str, predicted: str) -> np.ndarray:
    """The ids behind a cell of the confusion: labelled `actual`, said to be `predicted` unseen, the surest first.

    Raises TooFewLabels while there is no confusion, and BadInput for a class it does not have.
    """
    engine.probes.quality(collection)  # waits for it
    fitted = engine.probes.fitted(collection)
    checked = engine.probes.checked_so_far(fitted)
    if checked is None or not isinstance(checked.quality, Quality):
        raise TooFewLabels("Labels have just changed: ask again in a moment.")
    names = list(checked.quality.classes)
    for name in (actual, predicted):
        if name not in names:
            raise BadInput(f"{name!r} is not in the confusion: the labelled classes are {', '.join(names)}.")
    unseen, column = checked.quality.unseen, names.index(predicted)
    there = (np.array(fitted.names) == actual) & (checked.quality.said == column)
    there &= ~np.isin(fitted.ids, list(learnt_labels(engine.workspace, collection)))  # not in the figures either
    rows = np.flatnonzero(there)
    return fitted.ids[rows[np.argsort(-unseen[rows, column], kind="stable")]]


def audit(engine: Engine, collection: Collection) -> dict[str, Any]:
    """What the random sample answered so far says of all images: {sample, images, classes:[{class, found, …}]}."""
    if collection.multi_label:
        return _audit_each(engine, collection)
    ids = engine.selections.present(collection)
    labels = current_labels(engine.workspace.engine, collection)
    sample = set(audited(ids, np.array([x.image_id for x in labels], np.int64)).tolist())
    classes = sorted({x.class_name for x in labels if x.answer == "yes"})
    found = []
    for name in classes if sample else ():
        of_it = {x.image_id for x in labels if x.answer == "yes" and x.class_name == name}
        to_find = still_to_find(len(sample), len(of_it & sample), len(ids), len(of_it))
        found.append({"class": name, "found": len(of_it), "still_to_find": to_find["estimate"],
                      "interval": to_find["interval"]})  # fmt: skip
    return {"sample": len(sample), "images": len(ids), "classes": found}


def _audit_each(engine: Engine, collection: Collection) -> dict[str, Any]:
    """The same of each class by itself: its sample is as large as the shuffled beginning answered about it."""
    ids = engine.selections.present(collection)
    labels = current_labels(engine.workspace.engine, collection)
    settled = {x.image_id for x in labels if not x.class_name}
    found = []
    for name in sorted({x.class_name for x in labels if x.answer == "yes"}):
        about = {x.image_id for x in labels if x.class_name == name} | settled
        sample = set(audited(ids, np.array(sorted(about), np.int64)).tolist())
        of_it = {x.image_id for x in labels if x.answer == "yes" and x.class_name == name}
        if sample:
            to_find = still_to_find(len(sample), len(of_it & sample), len(ids), len(of_it))
            found.append({"class": name, "found": len(of_it), "still_to_find": to_find["estimate"],
                          "interval": to_find["interval"], "sample": len(sample)})  # fmt: skip
    return {"sample": max((x["sample"] for x in found), default=0), "images": len(ids), "classes": found}


def sentences(said: dict[str, Any]) -> list[str]:
    """The same for a person."""
    lines = []
    if said["accuracy"] is not None:
        low, high = said["interval"]
        lines.append(f"{said['accuracy']:.1%} right on labels it has not seen (95 % interval {low:.1%} to {high:.1%})")
        if said["learnt_from"]:
            lines.append(said["note"])
        if said["kept_together"] and said["pretended"] - said["accuracy"] >= 0.005:
            low, high = said["pretended_interval"]
            lines.append(
                f"A split that tears bursts and copies apart would have pretended {said['pretended']:.1%} "
                f"({low:.1%} to {high:.1%})."
            )
        for each in said["per_class"]:
            parts = [
                f"{what} {each[what]:.0%} ({each[f'{what}_interval'][0]:.0%} to {each[f'{what}_interval'][1]:.0%})"
                for what in ("precision", "recall")
                if each[what] is not None
            ]
            of_it = [each["note"]] if each["note"] else [*parts, f"{each['labels']} labels"]
            lines.append(f"  {each['class']}: {', '.join(of_it)}")
        if said["curve"]:
            low, high = (100 * bound for bound in said["curve"]["interval"])
            lines.append(
                f"{said['curve']['more']} more labels are worth about {100 * said['curve']['worth']:.1f} points "
                f"({low:.1f} to {high:.1f})."
            )
    if said["calibrated"] is False:
        lines.append("Until most classes have two labels its probabilities are a cautious guess.")
    if said["audit"]["sample"]:
        lines.append(f"From a random sample of {said['audit']['sample']:,} of {said['audit']['images']:,} pictures:")
        lines += [
            f"  {x['class']}: {x['found']:,} found, {x['interval'][0]:,} to {x['interval'][1]:,} still to be found"
            for x in said["audit"]["classes"]
        ]
    return lines
