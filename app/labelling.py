"""Which image to label next and why, and what the probe says of new pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from app.audit import audit_order
from app.engine import Engine
from app.fitted import Fitted, classes_above
from app.questions import ask
from app.reasons import AUDIT, NOVEL, rare_line
from indexer.catalog import Collection
from indexer.index import VectorIndex
from indexer.labels import current_labels
from model.choosing import covering, typical_in_turn, unsureness
from model.errors import BadInput, CannotDecode, TooFewLabels
from model.images import make_preview
from model.probe import Quality
from model.progress import Line

POOL = 2000  # images looked at: weighing more takes longer than a person waits
AT_FIRST = 20  # labels until which typical images teach more than those that the probe is unsure of
KINDS = ("typical", "unsure", "novel", "rare", "audit", "mislabelled")
# What teaches most (`scripts/bench labelling`: more of anything else costs accuracy), and now and then what no accuracy
# shows: a class nobody has named yet, one with too few labels, and the sample that says when to stop.
MIX = (*["unsure"] * 8, "novel", *["unsure"] * 8, "rare", *["unsure"] * 8, "audit")


@dataclass(frozen=True)
class Suggestion:
    image_id: int
    kind: str
    reason: Line
    class_name: str | None = None  # where pictures may have several: the class to say yes or no of


@dataclass(frozen=True)
class Suggestions:
    items: list[Suggestion]
    total: int  # images without an answer


@dataclass(frozen=True)
class _Open:
    """What the ways of choosing choose from."""

    collection: Collection
    index: VectorIndex
    fitted: Fitted | None
    rows: np.ndarray  # (M,) of the index: images without an answer
    pool: np.ndarray  # a part of them that is quick to weigh
    labelled: np.ndarray  # (n, D)
    counts: Counter[str]  # labels a class
    seed: int


def suggest(
    engine: Engine, collection: Collection, limit: int, kind: str | None = None, of: str | None = None
) -> Suggestions:
    """`limit` images to label, each with the reason: all of one kind, or typical ones first and then a mixture.

    Where pictures may have several classes it asks of each whether it has one: of the class `of`, or of all in turn.
    """
    if collection.multi_label:
        questions, total = ask(engine, collection, limit, kind, of)
        return Suggestions([Suggestion(x.image_id, x.kind, x.reason, x.class_name) for x in questions], total)
    if of is not None:
        raise BadInput(f"Pictures of {collection.name!r} have one class: the queue is not asked about a class.")
    index, fitted = _index_and_probe(engine, collection)
    labels = current_labels(engine.workspace.engine, collection)
    answered = np.array(sorted({x.image_id for x in labels}), np.int64)
    waiting = ~np.isin(index.ids, answered)
    if (present := engine.probes.present(collection, index)) is not None:
        waiting &= present
    rows = np.flatnonzero(waiting)
    pool = rows
    if len(rows) > POOL:
        pool = np.sort(np.random.default_rng(len(answered)).choice(rows, POOL, replace=False))
    counts = Counter(x.class_name for x in labels if x.answer == "yes")
    state = _Open(collection, index, fitted, rows, pool, index.vectors_of(answered)[1], counts, len(answered))
    if kind == "mislabelled":
        return Suggestions(list(islice(_mislabelled(engine, state), limit)), len(rows))
    if not len(rows):
        return Suggestions([], 0)
    if kind is None and (fitted is None or sum(counts.values()) < AT_FIRST):
        kind = "typical"
    # From a place that moves with the labels: who asks again after every label meets all of the mixture too.
    turn = len(answered) % len(MIX)
    wanted = (kind,) if kind else MIX[turn:] + MIX[:turn]
    found = {each: iter(_WAYS[each](state, limit)) for each in dict.fromkeys(wanted)}
    chosen: dict[int, Suggestion] = {}
    while found and len(chosen) < limit:
        for each in wanted:
            if len(chosen) == limit:
                break
            # The next of its kind that no other kind has named already.
            new = next((x for x in found.get(each, iter(())) if x.image_id not in chosen), None)
            if new is None:
                found.pop(each, None)
            else:
                chosen[new.image_id] = new
    return Suggestions(list(chosen.values()), len(rows))


def _index_and_probe(engine: Engine, collection: Collection) -> tuple[VectorIndex, Fitted | None]:
    """The index, and the probe whose probabilities are of that very index, once there are labels enough."""
    try:
        fitted = engine.probes.fitted(collection)
    except TooFewLabels:
        return engine.index(collection), None
    return fitted.index, fitted


def _typical(state: _Open, limit: int) -> Iterator[Suggestion]:
    for at in islice(typical_in_turn(state.index.vectors[state.pool], state.labelled), limit):
        reason = Line("why_typical", "typical of a group without labels")
        yield Suggestion(int(state.index.ids[state.pool[at]]), "typical", reason)


def _unsure(state: _Open, limit: int) -> Iterator[Suggestion]:
    if state.fitted is None:
        return
    p = state.fitted.probabilities[state.pool]
    chosen = covering(state.index.vectors[state.pool], state.labelled, unsureness(p), limit)
    names = state.fitted.probe.classes
    for at in chosen:
        second, first = np.argsort(p[at])[-2:]
        reason = Line("why_unsure", "unsure between {one} and {other}", one=names[first], other=names[second])
        yield Suggestion(int(state.index.ids[state.pool[at]]), "unsure", reason)


def _novel(state: _Open, limit: int) -> Iterator[Suggestion]:
    if state.fitted is None:
        return
    vectors = state.index.vectors[state.pool]
    novel = ~state.fitted.novelty.fits(vectors)
    for at in covering(vectors[novel], state.labelled, np.ones(int(novel.sum())), limit):
        yield Suggestion(int(state.index.ids[state.pool[novel][at]]), "novel", NOVEL)


def _rare(state: _Open, limit: int) -> Iterator[Suggestion]:
    """The likeliest images of the class with the fewest labels, while it has clearly fewer than the others."""
    if state.fitted is None:
        return
    names = state.fitted.probe.classes
    rarest = min(names, key=lambda name: (state.counts[name], name))
    if state.counts[rarest] * 2 > max(state.counts.values()):
        return
    p = state.fitted.probabilities[state.rows, names.index(rarest)]
    for at in np.argsort(-p, kind="stable")[:limit]:
        reason = rare_line(rarest, state.counts[rarest])
        yield Suggestion(int(state.index.ids[state.rows[at]]), "rare", reason)


def _audit(state: _Open, limit: int) -> Iterator[Suggestion]:
    """The next of the random sample that says how good everything is (app/audit.py)."""
    ids = state.index.ids[state.rows]
    for image_id in audit_order(ids)[:limit]:
        yield Suggestion(int(image_id), "audit", AUDIT)


def _mislabelled(engine: Engine, state: _Open) -> Iterator[Suggestion]:
    """Labelled images whose class surprises a probe that has not seen their label, the most surprising first."""
    if state.fitted is None:
        raise TooFewLabels("Label pictures of at least two classes, and those that look mislabelled can be found.")
    quality = engine.probes.quality(state.collection)
    fitted = engine.probes.fitted(state.collection)
    if not isinstance(quality, Quality) or len(quality.unseen) != len(fitted.ids):  # a label came in between
        return
    own = quality.unseen[np.arange(len(quality.y)), quality.y]
    said = quality.said
    for at in np.argsort(own, kind="stable"):
        if quality.judged[at] and said[at] != quality.y[at]:
            reason = Line(
                "why_mislabelled",
                "labelled {what}, and without that label it would be {other} ({sure})",
                what=fitted.names[at],
                other=quality.classes[said[at]],
                sure=f"{quality.unseen[at].max():.0%}",
            )
            yield Suggestion(int(fitted.ids[at]), "mislabelled", reason)


_WAYS: dict[str, Callable[[_Open, int], Iterable[Suggestion]]] = {
    "typical": _typical, "unsure": _unsure, "novel": _novel, "rare": _rare, "audit": _audit,
}  # fmt: skip


def predict(
    engine: Engine, collection: Collection, fitted: Fitted, pictures: Iterable[tuple[str, BinaryIO]]
) -> list[dict[str, Any]]:
    """Classes and probabilities of new pictures, prepared exactly as imported ones are.

    `fits` is False for what is like nothing labelled, or of no class: then the class is a guess.
    """
    found: list[dict[str, Any]] = []
    for name, file in pictures:
        try:
            with engine.decoding.place():
                preview = make_preview(file.read(), name)
        except CannotDecode as error:
            found.append({"name": name, "error": error.reason})
            continue
        vector = engine.encode(collection.active_model or "", [preview.data])
        p = fitted.probe.probabilities(vector)[0]
        said: dict[str, Any] = {
            "name": name,
            "class": fitted.probe.classes[int(p.argmax())],
            "probability": round(float(p.max()), 4),
            "probabilities": {c: round(float(x), 4) for c, x in zip(fitted.probe.classes, p, strict=True)},
        }
        is_any = bool(fitted.of_a_class(p[np.newaxis].argmax(axis=1))[0])
        if fitted.lines is not None:
            above = classes_above(fitted, p)
            said["classes"] = [{"class": c, "probability": round(x, 4)} for c, x in above]
            is_any = bool(above)
        found.append({**said, "fits": is_any and bool(fitted.novelty.fits(vector)[0])})
    return found
