"""Why a picture is asked about, where it is said of one class a picture and of several."""

from __future__ import annotations

from model.progress import Line

NOVEL = Line("why_novel", "like nothing labelled so far")
AUDIT = Line("why_audit", "drawn at random, to see how good the predictions are")


def rare_line(name: str, labels: int) -> Line:
    return Line("why_rare", "may be {what}, which has only {n} labels", what=name, n=labels)
