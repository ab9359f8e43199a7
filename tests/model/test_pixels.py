import numpy as np
import pytest
import torch

from model.errors import BadInput, CannotDecode
from model.images import decode, square
from model.pixels import learning_side, load_pixels, native_side
from tests.pictures import jpeg, write_folders


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


@pytest.mark.parametrize(("image_size", "native", "side"), [(64, 320, 96), (64, 80, 80), (32, 32, 32), (128, 100, 100)])
def test_pictures_are_kept_somewhat_larger_than_a_view_but_never_enlarged(image_size, native, side):
    assert learning_side(image_size, native) == side


def test_one_odd_picture_does_not_decide_the_size_of_a_collection():
    assert native_side([32, 32, 32, 4000]) == 32
