"""How far long work is, in words: the same sentence for import, encoding and training."""

from collections.abc import Callable

Progress = Callable[[float, str], None]  # share done (0..1), one sentence


def rate_line(done: int, total: int, seconds: float, what: str = "pictures") -> str:
    """'128 of 600 pictures, 64 a second, 7 s left'."""
    rate = done / max(seconds, 1e-9)
    return f"{done:,} of {total:,} {what}, {rate:.0f} a second, {duration((total - done) / max(rate, 1e-9))} left"


def duration(seconds: float) -> str:
    """'42 s', '3 min', '1 h 20 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
