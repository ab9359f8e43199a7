import numpy as np
import torch

from model.augment import UNIFORMS, random_views
from model.pairs import ACROSS, sheet, view
from model.presets import preset_named
from tests.pictures import views


def square(size=96):
    return np.asarray(views("cat", 1, size)[0])


def test_a_view_is_what_training_draws_from_the_same_numbers():
    numbers = torch.from_numpy(np.random.default_rng((3, 7, 1)).random((1, UNIFORMS), np.float32))
    pixels = torch.from_numpy(square().copy()).permute(2, 0, 1)[None]

    made = random_views(pixels, numbers, preset_named("texture"), 64)[0].permute(1, 2, 0).numpy()

    assert np.array_equal(view(square(), "texture", 64, (3, 7, 1)), (made * 255).round().astype(np.uint8))


def test_a_view_is_decided_by_its_key():
    first, again, other = (view(square(), "photo", 64, key) for key in ((0, 1, 0), (0, 1, 0), (0, 1, 1)))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_where_nothing_may_change_the_views_are_the_original():
    still = "photo,mirror=0,colour=0,grey=0,blur=0"

    seen = view(np.full((96, 96, 3), (200, 30, 90), np.uint8), still, 64, (0, 1, 0))

    assert np.array_equal(seen, np.full((64, 64, 3), (200, 30, 90), np.uint8))


def test_a_sheet_shows_every_pair_in_its_colours():
    pairs = [[np.full((64, 64, 3), 20 * n + tile, np.uint8) for tile in (0, 5, 10)] for n in range(ACROSS + 1)]

    shown = {colour[0] for _, colour in sheet(pairs, "").getcolors(1 << 20)}

    assert shown == {20 * n + tile for n in range(ACROSS + 1) for tile in (0, 5, 10)} | {255}
