import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from model.augment import UNIFORMS, random_views
from model.presets import PRESETS, preset_named
from model.suits import is_grey, is_page, misfits
from tests.pictures import NAMES, picture, views

GREY = ("brick", "grass", "gravel", "coins", "moon")
COLOURED = ("astronaut", "cat", "coffee", "retina", "tissue", "motorcycle", "flower")


def cuts(names, count=3, size=160):
    return [np.asarray(view) for name in names for view in views(name, count, size)]


def scan(name):
    """One of the pages that travel with scikit-image: a printed one, unevenly lit, and one by hand, at a slant."""
    from importlib.util import find_spec
    from pathlib import Path

    file = Path(str(find_spec("skimage").origin)).parent / "data" / name
    return np.asarray(Image.open(file).convert("RGB"))


def page(size=12):
    """A page of print, its letters `size` px tall."""
    image = Image.new("RGB", (320, 420), (250, 250, 245))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size)
    for line, top in enumerate(range(15, 400, size * 3 // 2)):
        draw.text((15, top), "the quick brown fox jumps over a lazy dog"[line % 7 :][: 560 // size], (20, 20, 30), font)
    return np.asarray(image)


def drawing():
    """A few shapes in outline."""
    image = Image.new("RGB", (320, 320), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((40, 60, 200, 250), outline="black", width=3)
    draw.ellipse((120, 100, 290, 280), outline="black", width=3)
    draw.line((10, 300, 310, 20), fill="black", width=3)
    return np.asarray(image)


@pytest.mark.parametrize("preset", PRESETS)
def test_photographs_suit_every_preset(preset):
    assert misfits(cuts(NAMES), preset) == []


def test_no_photograph_is_taken_for_a_page():
    whole = [np.asarray(picture(name, 320)) for name in NAMES]

    assert [is_page(one) for one in (*whole, *cuts(NAMES, 6), drawing())] == [False] * (7 * len(NAMES) + 1)


@pytest.mark.parametrize("size", [9, 12, 24])
def test_a_page_of_print_is_seen_as_one(size):
    assert is_page(page(size))


@pytest.mark.parametrize("name", ["page.png", "text.png"])
def test_a_page_that_was_photographed_is_seen_as_one(name):
    assert is_page(scan(name))


def test_a_grey_picture_is_grey_also_when_a_jpeg_has_been_made_of_it():
    assert all(is_grey(one) for one in cuts(GREY))
    assert not any(is_grey(np.asarray(picture(name, 160))) for name in COLOURED)


@pytest.mark.parametrize("preset", ["photo", "fine-grained", "product"])
def test_grey_pictures_and_a_preset_for_colour_are_one_sentence_that_says_what_to_choose(preset):
    [sentence] = misfits(cuts((*GREY, "cat")), preset)

    assert sentence.startswith("83% of the pictures are grey")
    assert "texture" in sentence
    [instead] = [word for word in sentence.split() if word.startswith(f"{preset},")]
    assert misfits(cuts(GREY), instead) == []
    assert sentence.count(".") == 1


@pytest.mark.parametrize("preset", ["texture", "surface", "microscopy", "satellite", "drawing"])
def test_grey_pictures_suit_a_preset_that_is_made_for_them(preset):
    assert misfits(cuts(GREY), preset) == []


@pytest.mark.parametrize("preset", ["photo", "drawing", "microscopy"])
def test_pages_that_would_be_mirrored_are_one_sentence_and_what_it_says_to_choose_is_quiet(preset):
    pages = [page(size) for size in (9, 12, 24)]

    [sentence] = misfits(pages, preset)

    instead = sentence.split("choose ")[1].split(", so")[0]
    assert preset_named(instead).mirror == 0
    assert not preset_named(instead).any_way_up
    assert misfits(pages, instead) == []


def test_half_a_page_among_photographs_is_nothing_to_say():
    assert misfits([page(), *cuts(("cat", "coffee"))], "photo") == []


def test_blur_leaves_a_small_picture_as_it_is():
    import torch

    pixels = torch.from_numpy(np.stack(cuts(NAMES, 1, 32)).transpose(0, 3, 1, 2).copy())
    uniforms = torch.rand(len(pixels), UNIFORMS, generator=torch.Generator().manual_seed(0))
    sharp, blurred = (
        random_views(pixels, uniforms, preset_named(f"photo,colour=0,grey=0,blur={blur}"), 32) for blur in (0, 1)
    )

    assert 0 < float((sharp - blurred).abs().max()) * 255 < 1.5
