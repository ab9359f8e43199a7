"""The probe of each collection as the labels are now, its predictions for every indexed picture, and how good it is.

A click is answered by a refit with the strength and temperature chosen last: milliseconds, and one matrix product over
the index's own matrix. Cross-validation chooses them anew for the new labels, and says how good the probe is; with
`behind` it follows in another process, and `settled` says when it is done.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import select

from app.crossvalidation import Checked, NotMeasured, cross_validate, cross_validate_apart
from app.fitted import Fitted, Prediction, classes_above, unchanged
from app.together import groups_of
from app.workspace import Workspace
from indexer.catalog import Collection
from indexer.classes import NONE_OF_THESE, all_classes
from indexer.errors import DamagedIndex, NoIndex
from indexer.filters import Filter
from indexer.images import gone_ids
from indexer.index import VectorIndex
from indexer.labelbook import LabelBook
from indexer.schema import now, probes
from model.errors import BadInput, LikenessError, TooFewLabels
from model.probe import Probe, Quality, fit_probe
from model.several import LINE, SeveralQuality, answers_from, fit_several
from model.strength import Choice, usual

log = logging.getLogger("likeness.probes")
KEPT = 8  # collections whose labels and quality are remembered


class Probes:
    """Probes of all collections, for any number of threads."""

    def __init__(self, workspace: Workspace, index: Callable[[Collection], VectorIndex], behind: bool) -> None:
        self.workspace, self.index, self.behind = workspace, index, behind
        self._books: OrderedDict[int, LabelBook] = OrderedDict()
        self._fitted: dict[tuple[int, str], Fitted] = {}
        self._lacking: dict[tuple[int, str], tuple[tuple[Any, ...], str]] = {}  # what a probe's labels lacked
        self._checked: OrderedDict[tuple[Any, ...], Checked] = OrderedDict()
        self._present: dict[int, tuple[tuple[int, str], np.ndarray | None]] = {}
        self._lock = threading.Lock()
        self._checking: dict[tuple[int, str], threading.Event] = {}  # set when the one under way is done

    def labels(self, collection: Collection) -> LabelBook:
        """The classes that stand, as of now; only what is new is read."""
        with self._lock:
            book = self._books.setdefault(collection.id, LabelBook())
            self._books.move_to_end(collection.id)
            while len(self._books) > KEPT:
                self._books.popitem(last=False)
            return book.read(self.workspace.engine, collection)

    def present(self, collection: Collection, index: VectorIndex) -> np.ndarray | None:
        """Which rows of the index are of images still in the collection (N,); None: all of them."""
        key = (collection.revision, index.published.sha256)
        held = self._present.get(collection.id)
        if held is None or held[0] != key:
            there = ~np.isin(index.ids, gone_ids(self.workspace.engine, collection))
            held = self._present[collection.id] = (key, None if there.all() else there)
        return held[1]

    def fitted(self, collection: Collection) -> Fitted:
        """The probe from the labels as they are now. Raises `TooFewLabels`, `NoIndex`, `DamagedIndex`."""
        index, book = self.index(collection), self.labels(collection)
        # Who read the collection before it allowed several classes has a probe of another kind.
        key = (index.published.sha256, book.last_action, collection.revision, collection.multi_label)
        here = (collection.id, collection.active_model or "")
        held = self._fitted.get(here)
        if held is None or held.key != key:
            lacking = self._lacking.get(here)
            if lacking is not None and lacking[0] == key:
                raise TooFewLabels(lacking[1])
            try:
                held = self._fit(collection, index, book, key, held)
            except TooFewLabels as error:
                self._lacking[here] = (key, str(error))
                raise
            self._fitted[here] = held
        if self.behind and not held.settled:
            self._follow(here, held, collection)
        return held

    def _fit(
        self, collection: Collection, index: VectorIndex, book: LabelBook, key: tuple[Any, ...], last: Fitted | None
    ) -> Fitted:
        if collection.multi_label:
            return self._fit_several(collection, index, book, key, last)
        ids, vectors = index.vectors_of(np.array(sorted(book.classes), np.int64))
        names = [book.classes[int(i)] for i in ids]
        known = last.probe if last is not None else self._stored(collection)
        known = None if known is not None and known.several else known
        if self.behind:
            # What was chosen last; until the first cross-validation is done, what serves most.
            probe = fit_probe(vectors, names, choice=_chosen(known, names), start=known)
        else:
            probe = fit_probe(vectors, names)
        return Fitted(probe, index, probe.probabilities(index.vectors), len(names), key, ids, vectors, names,
                      settled=not self.behind)  # fmt: skip

    def _fit_several(
        self, collection: Collection, index: VectorIndex, book: LabelBook, key: tuple[Any, ...], last: Fitted | None
    ) -> Fitted:
        lines = {each.name: each.line for each in all_classes(self.workspace.engine, collection)}
        ids, vectors = index.vectors_of(np.array(sorted(book.answers), np.int64))
        answers = answers_from([book.answers[i] for i in ids.tolist()], list(lines), NONE_OF_THESE)
        known = last.probe if last is not None else self._stored(collection)
        known = known if known is not None and known.several else None
        if self.behind:
            kept = [] if last is None else unchanged(last, ids, answers)
            choices = {} if known is None else dict(zip(known.classes, known.choices, strict=True))
            probe = fit_several(vectors, answers, choices, known, kept)
        else:
            probe = fit_several(vectors, answers)
        drawn = np.array([LINE if lines[name] is None else lines[name] for name in probe.classes], np.float32)
        return Fitted(probe, index, probe.probabilities(index.vectors), len(ids), key, ids, vectors, [],
                      settled=not self.behind, answers=answers, lines=drawn)  # fmt: skip

    def quality(self, collection: Collection) -> Quality | SeveralQuality:
        """Cross-validated; waits for it. Raises `TooFewLabels` with what is missing, or `NotMeasured`."""
        found = self.checked(collection).quality
        if isinstance(found, LikenessError):
            raise type(found)(str(found))
        return found

    def checked(self, collection: Collection) -> Checked:
        """All that cross-validation says of the labels as they are now; waits for it."""
        while True:
            fitted = self.fitted(collection)
            if (known := self._checked.get(fitted.key)) is not None:
                return known
            under_way = self._checking.get((collection.id, collection.active_model or ""))
            if self.behind and under_way is not None:
                under_way.wait()
            elif fitted.settled:  # nothing follows: it is done here
                return self._check(fitted)

    def checked_so_far(self, fitted: Fitted) -> Checked | None:
        """What is known of this very probe without waiting."""
        return self._checked.get(fitted.key)

    def predictions_of(self, collection: Collection, ids: np.ndarray) -> dict[int, Prediction]:
        """Image id → what the probe says; empty while there are too few labels or no index."""
        try:
            fitted = self.fitted(collection)
        except (TooFewLabels, NoIndex, DamagedIndex):  # lists go on without; search and /ready say what is wrong
            return {}
        return self.said_of(fitted, ids)

    def said_of(self, fitted: Fitted, ids: np.ndarray) -> dict[int, Prediction]:
        """Image id → what this very probe says of those that are indexed."""
        rows, there = fitted.index.rows_of(ids)
        rows = rows[there]
        fits = fitted.novelty.fits(fitted.index.vectors[rows])
        probabilities = fitted.probabilities[rows]
        best, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
        if fitted.lines is not None:
            found = [classes_above(fitted, p) for p in probabilities]
            return {
                int(i): Prediction(fitted.probe.classes[b], float(s), bool(f) and bool(above), above)
                for i, b, s, f, above in zip(np.asarray(ids)[there], best, sure, fits, found, strict=True)
            }
        fits &= fitted.of_a_class(best)
        return {
            int(image_id): Prediction(fitted.probe.classes[b], float(s), bool(f))
            for image_id, b, s, f in zip(np.asarray(ids)[there], best, sure, fits, strict=True)
        }

    def keep(self, collection: Collection, wanted: Filter, ids: np.ndarray) -> np.ndarray:
        """Those of `ids` whose predictions the filter keeps, in the order given."""
        index, kept = self.saying(collection, wanted)
        rows, there = index.rows_of(ids)
        return ids[there & kept[rows]]

    def saying(self, collection: Collection, wanted: Filter) -> tuple[VectorIndex, np.ndarray]:
        """An index, and which of its rows (N,) have predictions that the filter keeps."""
        fitted = self.fitted(collection)
        kept, least = fitted.sure >= (wanted.min_probability or 0), wanted.min_probability or 0
        if wanted.predicted is not None:
            if wanted.predicted not in fitted.probe.classes:
                return fitted.index, np.zeros(len(kept), bool)
            at = fitted.probe.classes.index(wanted.predicted)
            kept = fitted.said[:, at] & (fitted.probabilities[:, at] >= least)
        return fitted.index, kept

    def store(self, collection: Collection, fitted: Fitted) -> None:
        """Keep the fitted probe in the catalog, where other programs, and the next start, find it."""
        values = {
            "last_action": fitted.key[1], "data": fitted.probe.to_bytes(), "quality": {"labels": fitted.labels},
            "created_at": now(),
        }  # fmt: skip
        here = (probes.c.collection_id == collection.id) & (probes.c.fingerprint == collection.active_model)
        with self.workspace.engine.begin() as connection:
            if not connection.execute(probes.update().where(here).values(**values)).rowcount:
                connection.execute(
                    probes.insert().values(collection_id=collection.id, fingerprint=collection.active_model, **values)
                )

    def _stored(self, collection: Collection) -> Probe | None:
        """The probe that an earlier process left: its strength and temperature serve until others are chosen."""
        here = (probes.c.collection_id == collection.id) & (probes.c.fingerprint == collection.active_model)
        with self.workspace.engine.connect() as connection:
            data = connection.execute(select(probes.c.data).where(here)).scalar()
        try:
            return None if data is None else Probe.from_bytes(bytes(data))
        except BadInput:
            return None

    def _follow(self, here: tuple[int, str], fitted: Fitted, collection: Collection) -> None:
        """Let cross-validation follow, unless one is under way: whoever asks next after it starts another."""
        with self._lock:
            if here in self._checking:
                return
            done = self._checking[here] = threading.Event()

        def work() -> None:
            try:
                probe = self._check(fitted).probe
                settled = replace(
                    fitted, probe=probe, probabilities=probe.probabilities(fitted.index.vectors), settled=True
                )
                now_held = self._fitted.get(here)
                if now_held is not None and now_held.key == fitted.key:
                    self._fitted[here] = settled
                elif now_held is not None and not now_held.settled and now_held.probe.several == probe.several:
                    # Labels came meanwhile: what was chosen a moment ago is still closer than what was chosen before.
                    self._fitted[here] = self._refitted(now_held, probe)
                self.store(collection, settled)
            except Exception:  # predictions stand without it; the next label, and not every request, tries again
                log.exception("cross-validation of collection %s failed", collection.id)
                failed = NotMeasured("Cross-validation failed, and the log says why: the next label tries again.")
                self._remember(fitted, Checked(fitted.probe, failed, {}))
                if self._fitted.get(here) is fitted:
                    self._fitted[here] = replace(fitted, settled=True)
            finally:
                with self._lock:
                    del self._checking[here]
                done.set()

        threading.Thread(target=work, daemon=True, name="cross-validation").start()

    def _refitted(self, held: Fitted, probe: Probe) -> Fitted:
        if held.answers is not None:
            choices = dict(zip(probe.classes, probe.choices, strict=True))
            fresh = fit_several(held.vectors, held.answers, choices, held.probe)
            return replace(held, probe=fresh, probabilities=fresh.probabilities(held.index.vectors))
        fresh = fit_probe(held.vectors, held.names, choice=_chosen(probe, held.names), start=held.probe)
        return replace(held, probe=fresh, probabilities=fresh.probabilities(held.index.vectors))

    def _check(self, fitted: Fitted) -> Checked:
        groups = groups_of(self.workspace.engine, fitted.ids.tolist(), fitted.names)
        check = cross_validate_apart if self.behind else cross_validate
        return self._remember(fitted, check(fitted.vectors, fitted.taught, groups))

    def _remember(self, fitted: Fitted, checked: Checked) -> Checked:
        self._checked[fitted.key] = checked
        while len(self._checked) > KEPT:
            self._checked.popitem(last=False)
        return checked


def _chosen(last: Probe | None, names: list[str]) -> Choice:
    """What was measured last, or what serves while nothing can be."""
    return last.choice if last is not None and last.measured else usual(len(names), len(set(names)))
