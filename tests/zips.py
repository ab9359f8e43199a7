"""Zips as large ones are: sizes and places in 64 bits, photographs stored as they are."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@contextmanager
def in_64_bits() -> Iterator[None]:
    """What is written inside has the structure of a zip beyond 4 GiB, however small it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", 0)
        patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 0)
        yield


def write_zip64(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    with in_64_bits(), zipfile.ZipFile(path, "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def photographs(total: int, each: int) -> Iterator[bytes]:
    """JPEGs of `each` bytes, roughly, until there are `total`; a number in its comment makes each another."""
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (max(16, each // 2500), 1600, 3), np.uint8)  # noise hardly packs
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90, subsampling=0)
    data, made, number = buffer.getvalue(), 0, 0
    while made < total:
        comment = f"{number:08}".encode()
        yield data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]
        made, number = made + len(data), number + 1
