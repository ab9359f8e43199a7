"""What a camera wrote into a file: when, with what, where. Read for filters; never written into a preview.

EXIF is written by thousands of programs: whatever is deformed is as if it were not there.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, NamedTuple

from PIL import Image

ORIENTATION = 0x0112
_MAKE, _MODEL, _DATE, _EXIF_IFD, _DATE_ORIGINAL, _GPS_IFD = 0x010F, 0x0110, 0x0132, 0x8769, 0x9003, 0x8825


class Tags(NamedTuple):
    """What can be filtered by and is no pixel."""

    taken_at: str | None  # ISO 8601 local time, as the camera wrote it
    camera: str | None
    position: tuple[float, float] | None  # (latitude, longitude) in degrees: for filters, never in a preview


def tags(exif: Image.Exif) -> Tags:
    """When, with what, where."""
    return Tags(taken_at(exif), camera(exif), position(exif))


def taken_at(exif: Image.Exif) -> str | None:
    """ISO 8601 local time, as the camera wrote it."""
    try:
        text = str(exif.get_ifd(_EXIF_IFD).get(_DATE_ORIGINAL) or exif.get(_DATE) or "")
        return datetime.strptime(text.strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S").isoformat()
    except Exception:
        return None


def camera(exif: Image.Exif) -> str | None:
    """Make and model, without saying the make twice."""
    try:
        make, name = (str(exif.get(tag) or "").strip("\0 ") for tag in (_MAKE, _MODEL))
        text = name if name.startswith(make) else f"{make} {name}"
        return "".join(c for c in text if c.isprintable()).strip()[:100] or None
    except Exception:
        return None


def position(exif: Image.Exif) -> tuple[float, float] | None:
    """(latitude, longitude) in degrees, north and east positive."""
    try:
        gps = exif.get_ifd(_GPS_IFD)
        latitude, longitude = _degrees(gps[2], gps[1], "S"), _degrees(gps[4], gps[3], "W")
    except Exception:
        return None
    sound = abs(latitude) <= 90 and abs(longitude) <= 180 and (latitude, longitude) != (0.0, 0.0)  # 0, 0: no fix
    return (latitude, longitude) if sound else None


def _degrees(parts: Any, side: Any, negative: str) -> float:
    degrees, minutes, seconds = (float(part) for part in (*parts, 0, 0)[:3])
    value = degrees + minutes / 60 + seconds / 3600
    if not math.isfinite(value):
        raise ValueError("not a number")
    text = side.decode("ascii") if isinstance(side, bytes) else str(side)
    return round(-value if text.strip("\0 ").upper() == negative else value, 7)
