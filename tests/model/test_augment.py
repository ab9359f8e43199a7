import dataclasses

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from scipy.stats import ks_2samp
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import ColorJitter, GaussianBlur, RandomResizedCrop

from model.augment import (
    UNIFORMS,
    Views,
    blend,
    blur_matrix,
    draw,
    luma,
    random_views,
    render,
    shift_hue,
)
from model.presets import PRESETS, Preset
from tests.pictures import NAMES, views

SIDE = 48
CLOSE = 1e-4  # of a range of 0 to 1: a fortieth of one step of an 8-bit value
STILL = Preset(crop=(1, 1), ratio=(1, 1), mirror=0, colour=0, grey=0, blur=0)  # changes nothing


@pytest.fixture(scope="module")
def pixels() -> torch.Tensor:
    """(8, 3, SIDE, SIDE) uint8 of eight photographs."""
    return torch.stack([torch.tensor(np.asarray(views(n, 1, SIDE)[0])).permute(2, 0, 1) for n in NAMES[:8]])


def uniforms(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(rows, UNIFORMS, generator=torch.Generator().manual_seed(seed))


def still(rows: int, size: int = SIDE) -> Views:
    return draw(uniforms(rows), STILL, SIDE, size)


def as_float(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.float() / 255


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert (ours - theirs).abs().max().item() < CLOSE


def test_nothing_drawn_changes_nothing(pixels):
    assert_close(render(pixels, still(8), SIDE), as_float(pixels))


@pytest.mark.parametrize("factor", [0.3, 0.8, 1.0, 1.7])
def test_brightness_is_torchvisions(pixels, factor):
    ours = render(pixels, dataclasses.replace(still(8), brightness=torch.full((8,), factor)), SIDE)

    assert_close(ours, tv.adjust_brightness(as_float(pixels), factor))


@pytest.mark.parametrize("factor", [0.3, 0.8, 1.0, 1.7])
def test_contrast_is_torchvisions(pixels, factor):
    ours = render(pixels, dataclasses.replace(still(8), contrast=torch.full((8,), factor)), SIDE)

    assert_close(ours, tv.adjust_contrast(as_float(pixels), factor))


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.7])
def test_saturation_is_torchvisions(pixels, factor):
    ours = render(pixels, dataclasses.replace(still(8), saturation=torch.full((8,), factor)), SIDE)

    assert_close(ours, tv.adjust_saturation(as_float(pixels), factor))


@pytest.mark.parametrize("shift", [-0.5, -0.1, 0.0, 0.07, 0.5])
def test_hue_is_torchvisions(pixels, shift):
    ours = render(pixels, dataclasses.replace(still(8), hue=torch.full((8,), shift)), SIDE)

    assert_close(ours, tv.adjust_hue(as_float(pixels), shift))


@pytest.mark.parametrize("colour", [(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)])
def test_hue_of_pure_colours_and_greys_is_torchvisions(colour):
    x = torch.tensor(colour, dtype=torch.float32).view(1, 3, 1, 1).expand(1, 3, 2, 2)

    assert_close(shift_hue(x, torch.tensor([0.21])), tv.adjust_hue(x, 0.21))


def test_grey_is_torchvisions(pixels):
    ours = render(pixels, dataclasses.replace(still(8), grey=torch.ones(8, dtype=torch.bool)), SIDE)

    assert_close(ours, tv.rgb_to_grayscale(as_float(pixels), num_output_channels=3))


@pytest.mark.parametrize("sigma", [0.3, 0.7, 1.5, 2.0])
def test_blur_is_torchvisions(pixels, sigma):
    ours = render(pixels, dataclasses.replace(still(8), sigma=torch.full((8,), sigma)), SIDE)

    assert_close(ours, tv.gaussian_blur(as_float(pixels), kernel_size=[27, 27], sigma=[sigma, sigma]))


@pytest.mark.parametrize("size", [16, 32, 48, 64])
@pytest.mark.parametrize("box", [(0, 0, 48, 48), (5, 9, 40, 24), (31, 2, 11, 46)], ids=["whole", "wide", "tall"])
def test_crop_and_resize_is_torchvisions(pixels, box, size):
    left, top, width, height = box
    values = {name: torch.full((8,), float(v)) for name, v in zip(("left", "top", "width", "height"), box, strict=True)}
    ours = render(pixels, dataclasses.replace(still(8, size), **values), size)

    theirs = tv.resized_crop(
        as_float(pixels), top, left, height, width, [size, size], InterpolationMode.BILINEAR, antialias=True
    )
    assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("field", "flipped"),
    [("mirrored", tv.horizontal_flip), ("upside_down", tv.vertical_flip), ("turned", lambda x: x.transpose(-1, -2))],
)
def test_flips_and_turns_are_exact(pixels, field, flipped):
    ours = render(pixels, dataclasses.replace(still(8), **{field: torch.ones(8, dtype=torch.bool)}), SIDE)

    assert_close(ours, flipped(as_float(pixels)))


def test_every_picture_gets_its_own_parameters(pixels):
    same = pixels[:1].repeat(64, 1, 1, 1)

    drawn = render(same, draw(uniforms(64), PRESETS["photo"], SIDE, 32), 32)

    assert len({tuple(view.flatten().tolist()) for view in drawn}) == 64


def test_a_view_depends_on_its_own_row_alone(pixels):
    numbers = uniforms(8)
    together = render(pixels, draw(numbers, PRESETS["photo"], SIDE, 32), 32)

    alone = render(pixels[3:4], draw(numbers[3:4], PRESETS["photo"], SIDE, 32), 32)

    assert_close(together[3:4], alone)


def test_random_views_show_the_same_picture_in_rows_i_and_i_plus_n(pixels):
    drawn = random_views(pixels, uniforms(16), STILL, SIDE)

    assert_close(drawn[:8], as_float(pixels))
    assert_close(drawn[8:], as_float(pixels))


@pytest.mark.parametrize("name", PRESETS)
def test_a_presets_draws_stay_within_what_it_says(name):
    preset, side, size = PRESETS[name], 96, 64
    v = draw(uniforms(4000), preset, side, size)

    assert (v.left >= 0).all()
    assert (v.top >= 0).all()
    assert (v.left + v.width <= side).all()
    assert (v.top + v.height <= side).all()
    area = v.width * v.height / side**2
    assert preset.crop[0] - 0.03 < area.min() < preset.crop[0] + 0.03
    assert area.max() <= 1
    for factor, strength in ((v.brightness, preset.brightness), (v.contrast, preset.contrast)):
        assert factor.min() >= 1 - strength
        assert factor.max() <= 1 + strength
    assert v.hue.abs().max() <= preset.hue
    assert v.grey.float().mean().item() == pytest.approx(preset.grey, abs=0.03)
    assert (v.sigma > 0).float().mean().item() == pytest.approx(preset.blur, abs=0.03)
    assert (v.brightness != 1).float().mean().item() == pytest.approx(preset.colour, abs=0.03)
    assert v.mirrored.float().mean().item() == pytest.approx(preset.mirror, abs=0.03)


def test_all_eight_orientations_are_equally_likely_where_no_way_is_up():
    v = draw(uniforms(8000), PRESETS["microscopy"], SIDE, SIDE)

    which = v.mirrored * 4 + v.upside_down * 2 + v.turned * 1
    assert (torch.bincount(which, minlength=8) / 8000 - 1 / 8).abs().max() < 0.02


def test_views_stay_between_0_and_1(pixels):
    strong = Preset(brightness=0.9, contrast=0.9, saturation=0.9, hue=0.5, colour=1)

    drawn = random_views(pixels, uniforms(16), strong, 32)

    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_blurring_keeps_the_mean_of_an_even_picture():
    assert (blur_matrix(torch.tensor([0.0, 0.5, 3.0]), 16).sum(dim=2) - 1).abs().max() < 1e-6


def test_blending_with_factor_1_is_the_picture_itself(pixels):
    x = as_float(pixels)

    assert_close(blend(x, luma(x), torch.ones(8)), x)


def test_it_traces_as_one_graph_without_a_break(pixels):
    """What torch.compile needs; tracing needs no C++ compiler, so it is tested everywhere."""
    traced = torch.compile(random_views, backend="eager", fullgraph=True)

    assert_close(
        traced(pixels, uniforms(16), PRESETS["microscopy"], 32),
        random_views(pixels, uniforms(16), PRESETS["microscopy"], 32),
    )


MANY = 6000


@pytest.mark.parametrize("name", ["photo", "fine-grained", "texture"])
def test_crops_are_spread_as_torchvisions_random_ones(name):
    """Where they lie, how large and how long they are, beside `RandomResizedCrop` on a picture of 192 px."""
    preset, side = PRESETS[name], 192
    ours = draw(uniforms(MANY), preset, side, 128)
    theirs = RandomResizedCrop(128, scale=preset.crop, ratio=preset.ratio)
    torch.manual_seed(1)
    drawn = [theirs.make_params([torch.empty(3, side, side)]) for _ in range(MANY)]

    for key in ("left", "top", "width", "height"):
        assert gap(getattr(ours, key), [params[key] for params in drawn]) < 0.03, key
    assert gap(ours.width * ours.height, [params["width"] * params["height"] for params in drawn]) < 0.03
    assert gap(ours.width / ours.height, [params["width"] / params["height"] for params in drawn]) < 0.03


def test_colours_change_as_under_torchvisions_random_changes():
    preset = PRESETS["photo"]
    ours = draw(uniforms(MANY), preset, 192, 128)
    theirs = ColorJitter(preset.brightness, preset.contrast, preset.saturation, preset.hue)
    torch.manual_seed(2)
    drawn = [theirs.make_params([]) for _ in range(MANY)]
    changed = ours.brightness != 1

    assert changed.float().mean() == pytest.approx(preset.colour, abs=0.02)
    for key in ("brightness", "contrast", "saturation", "hue"):
        assert gap(getattr(ours, key)[changed], [params[f"{key}_factor"] for params in drawn]) < 0.03, key
        assert ((getattr(ours, key) != (0 if key == "hue" else 1)) == changed).all()
    assert ours.grey.float().mean() == pytest.approx(preset.grey, abs=0.02)
    assert ours.mirrored.float().mean() == pytest.approx(preset.mirror, abs=0.02)


def test_blur_is_spread_as_torchvisions_random_one():
    preset, size = PRESETS["photo"], 128
    ours = draw(uniforms(MANY), preset, 192, size)
    low, high = (size * part for part in preset.blur_sigma)
    theirs = GaussianBlur(9, sigma=(low, high))
    torch.manual_seed(3)
    drawn = [theirs.make_params([])["sigma"][0] for _ in range(MANY)]

    assert (ours.sigma > 0).float().mean() == pytest.approx(preset.blur, abs=0.02)
    assert gap(ours.sigma[ours.sigma > 0], drawn) < 0.03


def gap(ours: torch.Tensor, theirs: list[float]) -> float:
    """The largest distance between two samples' distribution functions (Kolmogorov-Smirnov)."""
    return float(ks_2samp(ours.numpy(), np.asarray(theirs, dtype=np.float32)).statistic)
