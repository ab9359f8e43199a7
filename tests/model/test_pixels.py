import numpy as np
import pytest
import torch
from PIL import Image

from model import pixels as pixels_module
from model.errors import BadInput, CannotDecode
from model.images import decode, square
from model.pixels import QUEUED, learning_side, load_pixels, native_side
from tests.pictures import encoded, jpeg, picture, write_folders


def photograph(width: int, height: int) -> Image.Image:
    """A large picture with detail down to single pixels, as a camera's have."""
    pixels = np.asarray(picture("gravel").resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = np.random.default_rng(0).integers(-12, 13, (height, width, 1), np.int16)
    return Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8))


def difference(pixels: torch.Tensor, data: bytes, fit: str) -> float:
    """Mean, in grey levels, between what was loaded (1, 3, side, side) and the picture decoded whole."""
    whole = square(decode(data, "whole"), pixels.shape[-1], fit)
    return float(np.abs(pixels[0].permute(1, 2, 0).numpy().astype(np.int16) - whole).mean())


def test_files_become_rows_in_their_order(tmp_path):
    paths = write_folders(tmp_path, ("cat", "brick"), 3, size=64)

    pixels = load_pixels(paths, 40)

    assert pixels.shape == (6, 3, 40, 40)
    assert pixels.dtype == torch.uint8
    for row, path in zip(pixels, paths, strict=True):
        expected = square(decode(path.read_bytes(), str(path)), 40)
        assert np.array_equal(row.permute(1, 2, 0).numpy(), expected)


def test_bytes_serve_as_well_as_files(tmp_path):
    paths = write_folders(tmp_path, ("cat",), 3, size=64)

    assert torch.equal(load_pixels([p.read_bytes() for p in paths], 32), load_pixels(paths, 32))


def test_a_picture_that_cannot_be_decoded_is_named_and_left_out(tmp_path):
    good = write_folders(tmp_path, ("cat",), 2, size=64)
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(jpeg()[:200])
    refused = []

    pixels = load_pixels([good[0], bad, tmp_path / "gone.jpg", good[1]], 32, refused=lambda *r: refused.append(r))

    assert torch.equal(pixels, load_pixels(good, 32))
    assert [position for position, _ in refused] == [1, 2]
    assert "bad.jpg" in str(refused[0][1])
    assert "gone.jpg" in str(refused[1][1])


def test_without_anyone_to_hear_of_it_a_bad_picture_is_an_error(tmp_path):
    with pytest.raises(CannotDecode, match="picture 2"):
        load_pixels([jpeg(), b"not a picture", jpeg()], 32)


def test_no_pictures_is_an_error():
    with pytest.raises(BadInput, match="no pictures"):
        load_pixels([], 32)


def test_progress_counts_to_the_end():
    heard = []

    load_pixels([jpeg()] * 3, 16, progress=lambda *p: heard.append(p))

    assert heard == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("fit", ["centre", "squeeze"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(1600, 1200), (1213, 1741)], ids=["even", "odd"])
def test_a_large_jpeg_held_in_any_way_is_read_at_a_smaller_scale_and_looks_as_if_decoded_whole(size, orientation, fit):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photograph(*size), "JPEG", quality=90, exif=exif)

    pixels = load_pixels([data], 96, fit)

    assert 0 < difference(pixels, data, fit) < 1.2  # pixels lost would show as 6, another way up as 20


@pytest.mark.parametrize(("format", "mode"), [("JPEG", "CMYK"), ("JPEG", "L"), ("MPO", "RGB")])
def test_every_kind_of_jpeg_is_read_at_a_smaller_scale(format, mode):
    image = photograph(1213, 1741)
    several = {"save_all": True, "append_images": [image]} if format == "MPO" else {}
    data = encoded(image.convert(mode), format, quality=90, **several)

    pixels = load_pixels([data], 96)

    assert 0 < difference(pixels, data, "centre") < 1.2


def test_a_large_jpeg_that_breaks_off_is_refused():
    data = encoded(photograph(1600, 1200), "JPEG")

    with pytest.raises(CannotDecode, match="truncated"):
        load_pixels([data[: len(data) // 2]], 96)


def test_pictures_that_memory_has_no_room_for_lie_in_a_file(tmp_path, monkeypatch):
    sources = [jpeg(), b"not a picture", jpeg("brick"), jpeg("coffee")]
    monkeypatch.setattr(pixels_module, "available_memory", lambda: 2 * 4 * 3 * 32 * 32 - 1)
    spill = tmp_path / "run" / "pixels"
    refused = []

    pixels = load_pixels(sources, 32, refused=lambda *r: refused.append(r), spill=spill)

    assert pixels.untyped_storage().filename == str(spill)
    assert torch.equal(pixels, load_pixels([sources[0], *sources[2:]], 32))
    assert len(refused) == 1
    assert spill.read_bytes()[: pixels.nbytes] == pixels.numpy().tobytes()


def test_what_a_killed_run_left_is_written_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(pixels_module, "available_memory", lambda: 0)
    spill = tmp_path / "pixels"
    spill.write_bytes(b"x" * 10_000)

    pixels = load_pixels([jpeg()], 16, spill=spill)

    assert torch.equal(pixels, load_pixels([jpeg()], 16))
    assert spill.stat().st_size == 3 * 16 * 16


def test_pictures_that_fit_in_memory_make_no_file(tmp_path):
    pixels = load_pixels([jpeg()], 16, spill=tmp_path / "pixels")

    assert pixels.untyped_storage().filename is None
    assert list(tmp_path.iterdir()) == []


def test_pictures_that_neither_memory_nor_disk_has_room_for_are_an_error_that_says_so(tmp_path):
    with pytest.raises(BadInput, match=r"300,000\.0 GB, too much for .*GB are free.*choose a smaller image size"):
        load_pixels([jpeg()], 10_000_000, spill=tmp_path / "pixels")

    assert list(tmp_path.iterdir()) == []


def test_more_pictures_than_are_handed_out_at_once_keep_their_order():
    colours = [encoded(Image.new("RGB", (2, 2), (n % 256, n // 256, 7)), "PNG") for n in range(QUEUED + 3)]
    colours[5] = colours[QUEUED] = b""

    pixels = load_pixels(colours, 1, refused=lambda *_: None)

    numbers = pixels[:, 0, 0, 0].int() + 256 * pixels[:, 1, 0, 0].int()
    assert numbers.tolist() == [n for n in range(QUEUED + 3) if n not in (5, QUEUED)]


@pytest.mark.parametrize(("image_size", "native", "side"), [(64, 320, 96), (64, 80, 80), (32, 32, 32), (128, 100, 100)])
def test_pictures_are_kept_somewhat_larger_than_a_view_but_never_enlarged(image_size, native, side):
    assert learning_side(image_size, native) == side


def test_one_odd_picture_does_not_decide_the_size_of_a_collection():
    assert native_side([32, 32, 32, 4000]) == 32
