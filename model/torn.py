"""A JPEG whose end was torn off, by a broken copy or a full card: as good as whole, or cut short in the picture.

A decoder that runs out of data paints the rest grey. How much that is shows when something else is put behind the
data: rows that are there do not change by it. Segments and scans: ITU-T T.81, annexes B and G.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field

from PIL import Image, ImageChops

FILLED = 16  # zero bytes that nobody wrote; codes may end in one or two
ROWS = 0.95  # of a picture's rows, from which on it comes in without the rest

_END, _SCAN = 0xD9, 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # within a scan FF goes before 0, a restart's number or another FF
_PIXELS = bytes(range(1, 250))  # what could be some
# A decoder that stands at the end of a restart interval skips all up to the number it waits for: behind each there are.
_OTHERS = _PIXELS + b"".join(bytes((0xFF, 0xD0 + number)) + _PIXELS for number in range(8))


@dataclass
class _Read:
    """What was found on the way through the segments."""

    ended: bool = False
    progressive: bool = False
    components: tuple[int, ...] = ()
    missing: dict[tuple[int, int], int] = field(default_factory=dict)  # (component, frequency) → bits yet to come


def mended(data: bytes) -> bytes | None:
    """What is to be decoded of a JPEG that was torn; None of one that has its end.

    With an end where the decoder makes at least `ROWS`, else without, so that the decoder refuses it. The zeros that a
    file system leaves where it had not written yet are cut off: as codes they would be pixels.
    """
    if data.endswith(b"\xff\xd9"):
        return None
    read = _read(data)
    if read.ended or not read.components:
        return None
    if data.endswith(bytes(FILLED)):
        data = data.rstrip(b"\0") + b"\0\0"  # the last codes may be zeros
    data, ends = data.rstrip(b"\xff"), bytes((0xFF, _END))  # half a marker would make one of what comes behind it
    if any(read.missing.values()):
        return data
    try:
        one, other = (_decoded(data + more + ends, read.progressive) for more in (b"", _OTHERS))
    except Exception:  # whatever Pillow raises; whoever opens the picture as it is will say so
        return data
    changed = ImageChops.difference(one, other).getbbox()
    return data + ends if changed is None or changed[1] >= ROWS * one.height else data


def _decoded(data: bytes, progressive: bool) -> Image.Image:
    """All of its rows, in little memory: grey where the last scan is of details, else at an eighth of the size."""
    image = Image.open(io.BytesIO(data), formats=("JPEG",))
    image.draft("L" if progressive else None, image.size if progressive else (1, 1))
    image.load()
    return image


def _read(data: bytes) -> _Read:
    """Go through the segments as far as they are there."""
    found, at = _Read(), 2
    while (next_marker := _MARKER.search(data, at)) is not None:
        marker, at = data[next_marker.start() + 1], next_marker.end()
        if marker == _END:
            found.ended = True
            break
        size = int.from_bytes(data[at : at + 2], "big")
        body = data[at + 2 : at + size]
        if size < 2 or len(body) < size - 2:
            break
        at += size
        if marker in _FRAMES and len(body) > 5:
            found.progressive = marker in _PROGRESSIVE
            found.components = tuple(body[6::3][: body[5]])
            found.missing = {(each, k): 1 for each in found.components for k in range(64)}
        elif marker == _SCAN and len(body) >= 4:
            first, last, bits = (body[-3], body[-2], body[-1] & 15) if found.progressive else (0, 63, 0)
            for each in body[1:-3:2]:
                found.missing |= {(each, k): bits for k in range(first, last + 1)}
    return found
