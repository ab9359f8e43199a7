"""A JPEG without what is beside its pixels, byte for byte: no EXIF, no comment, no thumbnail, nothing behind its end.

What the segments are: ITU-T T.81, annex B; JFIF: T.871; the colour transform in Adobe's segment: T.872, 6.5.3.
"""

from __future__ import annotations

import re

_START, _END = b"\xff\xd8", b"\xff\xd9"
_SCAN = 0xDA
_FRAMES = (
    0xC0,
    0xC1,
)  # baseline and extended, Huffman: decoded in one pass; others are many times slower to read again
_TABLES = (0xC4, 0xDB, 0xDD)  # Huffman and quantisation tables, restart interval
_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"  # what it says, without a thumbnail
_AFTER = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # what is no pixel: within a scan FF goes before 0 or a restart's number


def pixels_alone(data: bytes) -> bytes | None:
    """The JPEG in `data` with only what its pixels and colours need; they decode to the same. None where it is unusual.

    Taken are the tables, the frame, its one scan, colour profile and colour transform. Unusual are progressive and
    arithmetic ones, several scans, and whatever does not follow the rules: those are for a decoder to judge.
    """
    if not data.startswith(_START):
        return None
    kept, at, components = [_START], 2, 0
    while True:
        if data[at : at + 1] != b"\xff" or len(data) < at + 4:
            return None
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at : at + 2 + size]
        if size < 2 or len(segment) < 2 + size:
            return None
        body = segment[4:]
        if marker == _SCAN:
            break
        if marker in _FRAMES and not components:
            components = body[5] if len(body) > 5 else 0
        elif marker == 0xE0:
            segment = _JFIF if body.startswith(b"JFIF\x00") else b""
        elif 0xE0 < marker <= 0xEF or marker == 0xFE:
            profile = marker == 0xE2 and body.startswith(b"ICC_PROFILE\x00")
            colours = marker == 0xEE and body.startswith(b"Adobe") and len(body) == 12
            segment = segment if profile or colours else b""
        elif marker not in _TABLES:
            return None
        kept.append(segment)
        at += 2 + size
    after = _AFTER.search(data, at + 2 + size)
    if not components or body[:1] != bytes([components]) or after is None or after[0] != _END:
        return None
    return b"".join([*kept, data[at : after.end()]])
