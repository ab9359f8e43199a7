"""Landmarks: places that are known again, and pictures in which they lie alike."""

import numpy as np
import pytest
from PIL import Image

from indexer.crops import BEST, FILLED, OF_EACH, SMALL, LandmarkIndex
from model.alike import Fit, fit
from model.landmarks import CODE, MOST, SMOOTH, Landmarks, landmarks, scaled
from tests.pictures import NAMES, picture


def of(image):
    return landmarks(scaled(image))


@pytest.fixture(scope="module")
def known():
    return {number: of(picture(name, 320)) for number, name in enumerate(NAMES)}


@pytest.fixture
def index(known):
    made = LandmarkIndex.like(known, len(known))
    made.add(known)
    return made


def corner(name):
    whole = picture(name, 320)
    return whole.crop((whole.width // 4, whole.height // 4, whole.width, whole.height))


def test_codes_are_turned_along_axes_at_right_angles_and_fit_into_bytes(known):
    codes = np.concatenate([each.codes for each in known.values()])

    np.testing.assert_allclose(SMOOTH.T @ SMOOTH, np.eye(CODE), atol=1e-6)
    assert np.mean(np.abs(codes.astype(int)) >= 127) < 0.05
    assert codes.std(axis=0).min() > 3


def test_landmarks_are_kept_whole_and_the_strongest_come_first(known):
    grey = scaled(picture("cat", 320))
    first = landmarks(grey)
    fainter = landmarks((grey // 3 + 80).astype(np.uint8))  # at a third of the contrast the faint ones are gone

    again = Landmarks.unpacked(first.packed())

    np.testing.assert_array_equal(again.places, first.places)
    np.testing.assert_array_equal(again.codes, first.codes)
    assert len(first.codes) == MOST
    assert len(fainter.codes) > 0


def test_a_flat_picture_has_no_landmarks_and_fits_nowhere(known, index):
    flat = of(Image.new("RGB", (60, 40), (10, 20, 30)))

    assert len(flat.codes) == 0
    assert fit(flat, known[0]) is None
    assert len(index.candidates({99: flat}, np.array([*known, 99]))) == 0


def test_landmarks_say_where_a_crop_lies(known):
    cat = NAMES.index("cat")
    height, width = scaled(picture("cat", 320)).shape

    where = fit(of(corner("cat")), known[cat])

    assert isinstance(where, Fit)
    assert where.scale == pytest.approx(0.75, abs=0.02)
    assert (where.x, where.y) == (pytest.approx(width / 4, abs=2), pytest.approx(height / 4, abs=2))


def test_a_picture_turned_upside_down_fits_nowhere(known):
    assert fit(of(picture("cat", 320).rotate(180)), known[NAMES.index("cat")]) is None


def test_landmarks_that_all_lie_in_one_place_fit_nowhere(known):
    heap = Landmarks(np.repeat(known[0].places[:1], len(known[0].codes), axis=0), known[0].codes)

    assert fit(known[0], heap) is None
    assert fit(heap, known[0]) is None


@pytest.mark.parametrize("name", ["cat", "rocket", "coffee", "temple"])
def test_a_crop_asks_for_the_picture_it_is_of(index, known, name):
    found = index.candidates({99: of(corner(name))}, np.array(list(known)))

    assert found[0].tolist() == [99, NAMES.index(name)]
    assert len(found) <= BEST


def test_an_image_that_is_gone_is_no_candidate(index, known):
    cat = NAMES.index("cat")

    found = index.candidates({99: of(corner("cat"))}, np.array([i for i in known if i != cat]))

    assert cat not in found[:, 1]


def test_an_index_is_the_same_when_it_is_read_again_and_says_when_it_is_full(index, known):
    asked = {99: of(corner("cat"))}

    again = LandmarkIndex.unpacked(index.packed())
    full_before = again.is_full
    for more in range(1, 2 + 2 * FILLED // len(known)):
        again.add({100 * more + number: each for number, each in known.items()})

    np.testing.assert_array_equal(
        LandmarkIndex.unpacked(index.packed()).candidates(asked, np.array(list(known))),
        index.candidates(asked, np.array(list(known))),
    )
    assert len(index.owners) == sum(len(each.codes) for each in known.values())
    assert (full_before, again.is_full) == (False, True)


def test_of_a_large_collection_the_strongest_landmarks_are_kept_and_find_crops_too(known):
    index = LandmarkIndex.like(known, SMALL + 1)
    index.add(known)

    found = index.candidates({99: of(corner("cat"))}, np.array(list(known)))

    assert found[0].tolist() == [99, NAMES.index("cat")]
    assert len(index.owners) == sum(min(OF_EACH, len(each.codes)) for each in known.values())
