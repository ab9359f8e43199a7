"""How far long work is, in words: English, with a name and values for whoever says it in another language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Progress = Callable[[float, str], None]  # share done (0..1), one sentence


class Line(str):
    """An English sentence that knows its name and its values; `ui/languages` has the sentences of that name.

    `{left}` is a time in seconds, and a value may itself be such a line.
    """

    name: str
    values: dict[str, Any]

    def __new__(cls, name: str, english: str, **values: Any) -> Line:
        shown = {key: duration(value) if key == "left" else value for key, value in values.items()}
        line = super().__new__(cls, english.format(**shown))
        line.name, line.values = name, values
        return line

    def __reduce__(self) -> tuple[Any, ...]:
        return recalled, (str(self), self.said)  # to be copied and pickled

    @property
    def said(self) -> dict[str, Any]:
        """The name and the values, JSON-able."""
        values = {key: value.said if isinstance(value, Line) else value for key, value in self.values.items()}
        return {"name": self.name, "values": values}


def recalled(text: str, said: dict[str, Any] | None) -> str:
    """A sentence that was written down with its name and values."""
    if said is None:
        return text
    line = str.__new__(Line, text)
    line.name, line.values = said["name"], said["values"]
    return line


def said(message: object) -> dict[str, Any] | None:
    """The name and the values of a sentence that has them."""
    return message.said if isinstance(message, Line) else None


def rate_line(done: int, total: int, seconds: float, what: str = "pictures") -> Line:
    """'128 of 600 pictures, 64 a second, 7 s left'."""
    rate = done / max(seconds, 1e-9)
    left = (total - done) / max(rate, 1e-9)
    english = f"{{done:,}} of {{total:,}} {what}, {{rate}} a second, {{left}} left"
    return Line(f"rate_{what}", english, done=done, total=total, rate=round(rate), left=round(left, 3))


def duration(seconds: float) -> str:
    """'42 s', '3 min', '1 h 20 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
