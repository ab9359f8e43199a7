"""What can go wrong, as a person would say it.

LikenessError            anything a person can act on; the message is written for that person
├── BadInput             a value or file given to us cannot be used as it is
│   └── CannotDecode     the bytes are not a picture we accept; the file is left untouched
├── DamagedModel         a model folder is incomplete, altered, or not ours; nothing in it was executed
├── WeightsUnavailable   pretrained weights could not be had (offline, or no such name)
├── DatasetUnavailable   a public data set could not be downloaded
├── TooFewImages         the collection is too small for what was asked
├── TooFewLabels         not enough labels yet; the message says how many are missing
├── TrainingFailed       the loss left the numbers, or the embeddings collapsed; the last good checkpoint stays
└── Cancelled            the person asked to stop; what was done until then is kept

`said` is the message by a name and values, where it has them, for whoever says it in another language.
`indexer.errors` adds what can go wrong on disk. `app.api` says in one place which HTTP status each becomes.
"""

from __future__ import annotations

from typing import Any

from model.progress import Line, said


class LikenessError(Exception):
    """Base of every error a person can act on; the message is written for that person."""

    @property
    def said(self) -> dict[str, Any] | None:
        return said(self.args[0]) if self.args else None


class BadInput(LikenessError):
    """A value or file given to us cannot be used as it is."""


class CannotDecode(BadInput):
    """The bytes are not a picture we accept. The file itself is left untouched."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(Line("about_file", "{file}: {why}", file=source, why=reason))
        self.source, self.reason = source, reason


class DamagedModel(LikenessError):
    """A model folder is incomplete, altered, or not ours. Nothing in it was executed."""


class WeightsUnavailable(LikenessError):
    """Pretrained weights could not be had: no network, or no such name."""


class DatasetUnavailable(LikenessError):
    """A public data set, or the demo's photographs, could not be had. Nothing half-downloaded is kept."""


class TooFewImages(LikenessError):
    """The collection is too small for what was asked."""


class TooFewLabels(LikenessError):
    """Not enough labels yet; the message says what is missing."""


class TrainingFailed(LikenessError):
    """The loss left the numbers, or the embeddings collapsed. The last good checkpoint stays."""


class Cancelled(LikenessError):
    """The person asked to stop; what was done until then is kept."""
