"""Pictures beyond the pixel limit: TIFFs come in as tiles, of which each is read by itself."""

import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image

from indexer.columns import select_ids
from indexer.filters import Filter
from indexer.images import get_images, read_original, read_preview
from indexer.importer import import_sources
from indexer.parts import Cutting
from indexer.sources import NAMES, scan, scan_upload
from model.errors import CannotDecode
from model.images import decode
from model.parts import cut_from_slide, is_slide, previews_of_slide
from model.tiff import opened_tiff
from tests.indexer.test_deep import colours, shown_of, tiff
from tests.pictures import encoded, picture

WIDTH, HEIGHT, PIECE = 12_288, 10_240, 1024  # 126 million pixels
GIGABYTE = 1 << 30


def pieces(deep: bool = False):
    """The tiles of a slide, row by row: a photograph, each time in another shade."""
    sight = np.asarray(picture("tissue").crop((0, 0, 512, 512)).resize((PIECE, PIECE)))
    for number in range(WIDTH // PIECE * (HEIGHT // PIECE)):
        piece = sight // 2 + np.uint8(number)
        yield piece.astype(np.uint16) * 9 if deep else piece


def write_slide(path, deep: bool = False, **how):
    path.parent.mkdir(exist_ok=True)
    kind = {"shape": (HEIGHT, WIDTH, 3), "dtype": "uint16" if deep else "uint8", "photometric": "rgb"}
    if "rowsperstrip" not in how:
        how["tile"] = (PIECE, PIECE)
    tifffile.imwrite(path, pieces(deep), compression="zlib", compressionargs={"level": 1}, **kind, **how)
    return path


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("slides") / "slide.tif")


def piece_at(x: int, y: int, deep: bool = False) -> np.ndarray:
    number = y // PIECE * (WIDTH // PIECE) + x // PIECE
    return next(piece for at, piece in enumerate(pieces(deep)) if at == number)


def test_a_slide_is_refused_with_the_advice_to_tile_it_and_then_comes_in_by_tiles(engine, home, photos, bring, slide):
    whole = bring(slide)
    again = bring(slide)
    cut = bring(slide, cutting=Cutting(tile=4096))
    known = bring(slide, cutting=Cutting(tile=4096))

    reason = f"{WIDTH}x{HEIGHT} is more than 120,000,000 pixels: import it with --tile (on the page: Options)"
    assert [item["reason"] for item in (*whole.refused, *again.refused)] == [reason] * 2
    assert (cut.added_total, cut.refused, known.added_total, known.known) == (9, [], 0, 1)
    found = get_images(engine, select_ids(engine, photos, Filter()).tolist())
    assert {image.parent_sha256 for image in found} == {found[0].parent_sha256}
    assert found[0].parent_sha256 is not None
    assert [image.part["box"][:2] for image in found[:4]] == [[0, 0], [4096, 0], [8192, 0], [0, 4096]]
    assert {(image.width, image.height) for image in found} == {(4096, 4096)}
    image = found[4]
    x0, y0, _, _ = image.part["box"]
    original = np.asarray(Image.open(io.BytesIO(read_original(engine, home, image))))
    assert original.shape == (4096, 4096, 3)
    assert np.array_equal(original[:PIECE, :PIECE], piece_at(x0, y0))
    preview = np.asarray(decode(read_preview(home, image), "x"), np.float32)
    small = np.asarray(Image.fromarray(original).resize((320, 320), Image.Resampling.LANCZOS), np.float32)
    assert np.abs(preview - small).mean() < 3


@pytest.mark.parametrize("packed", [False, True], ids=["by itself", "in a zip"])
def test_an_uploaded_slide_comes_in_by_tiles_and_is_kept_so_that_these_can_be_opened(
    engine, home, photos, slide, tmp_path, packed
):
    sent = tmp_path / "000000"
    if packed:
        with zipfile.ZipFile(sent, "w") as archive:
            archive.write(slide, "slide.tif")
    else:
        os.link(slide, sent)
    (tmp_path / NAMES).write_text(json.dumps({sent.name: "sent.zip" if packed else "slide.tif"}))

    result = import_sources(engine, home, photos, scan_upload(tmp_path), cutting=Cutting(tile=4096), workers=1)
    sent.unlink()

    assert (result.added_total, result.refused) == (9, [])
    image = get_images(engine, select_ids(engine, photos, Filter()).tolist())[4]
    assert decode(read_original(engine, home, image), "x").size == (4096, 4096)
    assert sorted(home.original(image.parent_sha256).parent.iterdir()) == [home.original(image.parent_sha256)]


def test_a_slide_of_deep_samples_is_stretched_alike_in_every_tile(tmp_path):
    path = write_slide(tmp_path / "in" / "deep.tif", deep=True)

    with open(path, "rb") as file:
        assert is_slide(file, "x", GIGABYTE)
        parts = list(previews_of_slide(file, "x", 64, 4096, False))
        original = decode(cut_from_slide(file, "x", parts[0][0]), "x")

    means = [np.asarray(decode(preview.data, "x"), np.float32).mean() for _, preview in parts]
    pixels = np.asarray(original, np.float32)[:PIECE, :PIECE]
    assert means[0] < means[1] < means[2]
    assert np.corrcoef(pixels.ravel(), piece_at(0, 0).ravel())[0, 1] > 0.99
    assert pixels.max() < 255
    assert np.percentile(pixels, 99) - np.percentile(pixels, 1) > 50


def test_tiles_of_a_slide_take_bounded_memory(home, slide):
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from indexer.catalog import ensure_collection, open_catalog; from indexer.parts import Cutting\n"
        "from indexer.home import Home; from indexer.importer import import_sources; from indexer.sources import scan\n"
        "home = Home(Path(sys.argv[1])); engine = open_catalog(home); photos = ensure_collection(engine, 'photos')\n"
        "found = scan([Path(sys.argv[2])])\n"
        "print(import_sources(engine, home, photos, found, cutting=Cutting(tile=512), workers=1).added_total)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
    )

    command = [sys.executable, "-c", program, str(home.root), str(slide)]
    added, megabytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert int(added) == WIDTH // 512 * (HEIGHT // 512)
    assert int(megabytes) < 450  # its pixels are 377 MB as RGB, and Pillow takes four bytes for each


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"rowsperstrip": 7, "compression": "lzw"},
        {"tile": (16, 32), "compression": "zlib", "predictor": True},
        {"tile": (16, 16), "planarconfig": "separate", "compression": "lzw"},
        {"planarconfig": "separate"},
        {"byteorder": ">", "rowsperstrip": 11},
    ],
    ids=["plain", "strips", "tiles", "planes in tiles", "planes", "big-endian strips"],
)
def test_any_region_is_what_lies_there_however_the_file_is_laid_out(how):
    values = colours()
    data = tiff(np.moveaxis(values, -1, 0) if "planarconfig" in how else values, **how)

    with opened_tiff(io.BytesIO(data), "x") as opened:
        for box in ((0, 0, 90, 60), (3, 5, 40, 41), (64, 32, 90, 60), (89, 59, 90, 60)):
            x0, y0, x1, y1 = box
            found = np.asarray(opened.region(box), np.float32)
            assert np.abs(found - shown_of(values)[y0:y1, x0:x1]).max() <= 1


def eight_bit(**how) -> tuple[bytes, np.ndarray]:
    sight = np.asarray(picture("tissue", 96).crop((0, 0, 96, 96)))
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, sight, photometric="rgb", **how)
    return buffer.getvalue(), sight


@pytest.mark.parametrize("how", [{}, {"compression": "jpeg"}, {"compression": "jpeg2000"}, {"compression": "webp"}])
def test_eight_bits_are_left_as_they_are_whatever_packed_them(how):
    data, sight = eight_bit(tile=(32, 32), **how)

    with opened_tiff(io.BytesIO(data), "x") as opened:
        found = np.asarray(opened.region((16, 16, 80, 80)), np.float32)

    assert np.abs(found - sight[16:80, 16:80]).mean() < (6 if how else 1e-9)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "LA", "RGBA"])
def test_tiles_of_every_kind_of_picture_look_as_pillow_shows_it(mode):
    image = picture("cat", 80).convert(mode)
    data = encoded(image, "TIFF", compression=None if mode != "1" else "group4")

    with opened_tiff(io.BytesIO(data), "x") as opened:
        found = np.asarray(opened.region((10, 20, 70, 75)), np.float32)

    shown = np.asarray(decode(data, "x"), np.float32)[20:75, 10:70]
    assert np.abs(found - shown).max() <= 1


def test_a_slide_in_one_piece_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr("model.tiff.MOST_IN_A_PIECE", 10_000)
    data, _ = eight_bit(compression="zlib", rowsperstrip=96)

    with opened_tiff(io.BytesIO(data), "x") as opened:
        assert np.asarray(opened.upright()).shape == (96, 96, 3)
        with pytest.raises(CannotDecode, match=r"is packed in pieces of .* save it in tiles or narrow strips"):
            opened.region((0, 0, 16, 16))


def test_what_is_above_the_limit_and_no_tiff_is_refused_with_or_without_tiles(bring, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "wide.png").write_bytes(encoded(Image.new("1", (15_000, 9_000)), "PNG"))

    results = [bring(tmp_path / "in"), bring(tmp_path / "in", cutting=Cutting(tile=512))]

    for result in results:
        assert [item["reason"] for item in result.refused] == ["15000x9000 is more than 120,000,000 pixels"]


def test_a_file_of_more_than_a_gigabyte_is_refused_unless_it_is_a_tiff_in_tiles(bring, engine, home, photos, tmp_path):
    (tmp_path / "in").mkdir()
    with open(tmp_path / "in" / "huge.jpg", "wb") as file:
        file.truncate(GIGABYTE + 1)
    with open(tmp_path / "in" / "huge.tif", "wb") as file:  # its pixels are a hole in the file
        header = encoded(Image.new("RGB", (64, 64)), "TIFF")
        file.write(header)
        file.truncate(GIGABYTE + 1)

    whole = bring(tmp_path / "in")
    cut = import_sources(engine, home, photos, scan([tmp_path / "in"]), cutting=Cutting(tile=32), workers=1)

    advice = "is larger than 1 GB: import it with --tile (on the page: Options)"
    assert {item["name"]: item["reason"] for item in whole.refused} == {
        "huge.jpg": "is larger than 1 GB", "huge.tif": advice,
    }  # fmt: skip
    assert (cut.added_total, [item["name"] for item in cut.refused]) == (4, ["huge.jpg"])


def test_a_slide_cut_short_is_refused_and_says_why(slide, tmp_path, bring):
    data = slide.read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[: len(data) * 2 // 3])

    result = bring(tmp_path / "cut.tif", cutting=Cutting(tile=4096))

    assert result.added_total == 0
    assert [item["name"] for item in result.refused] == ["cut.tif"]
    assert "damaged" in result.refused[0]["reason"] or "more than" in result.refused[0]["reason"]
