"""Two random views of a batch of pictures: crop, flip, blur, colour, grey; other parameters for every picture.

Everything runs on the whole batch at once, on the device where the pixels are, without a loop, a branch or a host
synchronisation, so that torch.compile makes one function of it. All randomness comes in as one table of uniforms.

Cropping, resizing, flipping and blurring are each separable and linear: one matrix per picture and axis. Their product
is applied with two matrix multiplications, the operation a GPU is built for, and the resize is antialiased for free.
So blur comes before colour here, where the paper has it after: the two commute but for values clipped at 0 and 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

UNIFORMS = 14  # random numbers that one view uses up
GREY = (0.2989, 0.587, 0.114)  # ITU-R 601 luma, as torchvision has it


@dataclass(frozen=True)
class Preset:
    """What may change without a picture becoming another thing: it differs by domain."""

    crop: tuple[float, float] = (0.2, 1.0)  # part of the area kept
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width : height of the crop
    mirror: float = 0.5  # probability of a left-right flip
    any_way_up: bool = False  # also flip upside down and turn by a quarter: all eight orientations alike
    brightness: float = 0.4  # factors are drawn from 1 - b to 1 + b
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1  # shift of at most this part of the colour circle
    colour: float = 0.8  # probability that the four above happen
    grey: float = 0.2  # probability of losing all colour
    blur: float = 0.5  # probability of a Gaussian blur ...
    blur_sigma: tuple[float, float] = (0.0005, 0.009)  # ... of this standard deviation, as a part of the view's side


PRESETS = {
    # Objects and scenes: SimCLR's recipe at colour strength 0.5; its blur, 0.1 to 2 px at 224, as a part of the side.
    "photo": Preset(),
    # Species, breeds, car models: colour and small parts tell them apart, so keep more of both.
    "fine-grained": Preset(
        crop=(0.35, 1.0), brightness=0.3, contrast=0.3, saturation=0.2, hue=0.03, grey=0.05, blur=0.2
    ),
    # Cells, tissue, satellites: no way is up, and stain varies between slides; size is meaningful, so crops vary less.
    "microscopy": Preset(crop=(0.4, 1.0), any_way_up=True, hue=0.08, grey=0.1, blur=0.3),
    # Surfaces and materials: the pattern repeats, so a small piece is enough; blur would erase the grain itself.
    "texture": Preset(crop=(0.2, 1.0), any_way_up=True, hue=0.05, grey=0.2, blur=0.1),
    # Things on a plain ground: shape, colour and print are what is sold; only the light of the shot may change.
    "product": Preset(crop=(0.3, 1.0), saturation=0.2, hue=0.02, grey=0.05, blur=0.3),
    # Drawings, maps, diagrams: lines carry it all, so little blur; ink and paper colour do not matter.
    "drawing": Preset(crop=(0.35, 1.0), brightness=0.3, contrast=0.5, hue=0.3, grey=0.4, blur=0.1),
}


@dataclass
class Views:
    """The parameters of B views; one value per view, on the device."""

    left: Tensor  # (B,) the crop in whole pixels of the source
    top: Tensor
    width: Tensor
    height: Tensor
    mirrored: Tensor  # (B,) bool
    upside_down: Tensor
    turned: Tensor  # (B,) bool: rows become columns
    sigma: Tensor  # (B,) blur in pixels of the view; 0 for none
    brightness: Tensor  # (B,) factors; 1 for none
    contrast: Tensor
    saturation: Tensor
    hue: Tensor  # (B,) shift in turns of the colour circle; 0 for none
    grey: Tensor  # (B,) bool


def draw(uniforms: Tensor, preset: Preset, side: int, size: int) -> Views:
    """Turn (B, UNIFORMS) numbers from [0, 1) into parameters for views of `size` px from pictures of `side` px.

    Where torchvision draws a crop again when it does not fit, the longer side is cut to the picture's.
    """
    u = uniforms.unbind(1)
    area = preset.crop[0] + (preset.crop[1] - preset.crop[0]) * u[0]
    low, high = math.log(preset.ratio[0]), math.log(preset.ratio[1])
    half_ratio = torch.exp((low + (high - low) * u[1]) / 2)
    width = (side * area.sqrt() * half_ratio).round().clamp(1, side)
    height = (side * area.sqrt() / half_ratio).round().clamp(1, side)
    coloured = u[6] < preset.colour

    def factor(uniform: Tensor, strength: float) -> Tensor:
        return torch.where(coloured, 1 + strength * (2 * uniform - 1), 1.0)

    sigma = size * (preset.blur_sigma[0] + (preset.blur_sigma[1] - preset.blur_sigma[0]) * u[5])
    blurred = u[4] < preset.blur
    return Views(
        left=(u[2] * (side - width + 1)).floor(),
        top=(u[3] * (side - height + 1)).floor(),
        width=width,
        height=height,
        mirrored=u[7] < preset.mirror,
        # One number serves both: its first bit turns the picture upside down, its second by a quarter.
        upside_down=(u[8] < 0.5) & preset.any_way_up,
        turned=((u[8] * 2) % 1 < 0.5) & preset.any_way_up,
        sigma=torch.where(blurred, sigma, 0.0),
        brightness=factor(u[9], preset.brightness),
        contrast=factor(u[10], preset.contrast),
        saturation=factor(u[11], preset.saturation),
        hue=torch.where(coloured, preset.hue * (2 * u[12] - 1), 0.0),
        grey=u[13] < preset.grey,
    )


def render(pixels: Tensor, views: Views, size: int) -> Tensor:
    """Pictures (B, 3, H, W) uint8 to views (B, 3, size, size) float32 from 0 to 1."""
    height, width = pixels.shape[-2:]
    blur = blur_matrix(views.sigma, size)
    rows = blur @ crop_matrix(views.top, views.height, views.upside_down, height, size)  # (B, size, H)
    columns = blur @ crop_matrix(views.left, views.width, views.mirrored, width, size)  # (B, size, W)
    x = pixels.float() / 255
    x = rows[:, None] @ x @ columns[:, None].transpose(2, 3)  # (B, 3, size, size)
    x = torch.where(_each(views.turned), x.transpose(2, 3), x)
    x = blend(x, torch.zeros_like(x[:, :1]), views.brightness)
    x = blend(x, luma(x).mean(dim=(2, 3), keepdim=True), views.contrast)
    x = blend(x, luma(x), views.saturation)
    x = shift_hue(x, views.hue)
    return torch.where(_each(views.grey), luma(x), x)


def two_views(pixels: Tensor, uniforms: Tensor, preset: Preset, size: int) -> Tensor:
    """Pictures (N, 3, H, H) uint8 to (2N, 3, size, size), by (2N, UNIFORMS) numbers; rows i, i + N show picture i."""
    return render(pixels.repeat(2, 1, 1, 1), draw(uniforms, preset, pixels.shape[-1], size), size)


def crop_matrix(start: Tensor, length: Tensor, flipped: Tensor, source: int, size: int) -> Tensor:
    """(B, size, source): resize `length` pixels from `start` to `size`, bilinear with antialiasing as torchvision does.

    Each output pixel is the mean of the crop under a triangle around its centre, as wide as one output pixel or one
    input pixel, whichever is larger.
    """
    out = torch.arange(size, device=start.device, dtype=torch.float32)[None, :]  # (1, size)
    out = torch.where(flipped[:, None], size - 1 - out, out)
    scale = (length / size)[:, None]
    centre = (out + 0.5) * scale  # (B, size) in pixels from the crop's edge
    pixel = torch.arange(source, device=start.device, dtype=torch.float32)[None, :] - start[:, None]  # (B, source)
    inside = (pixel >= 0) & (pixel < length[:, None])
    distance = (pixel[:, None, :] + 0.5 - centre[:, :, None]).abs() / scale.clamp(min=1)[:, :, None]
    weight = (1 - distance).clamp(min=0) * inside[:, None, :]
    return weight / weight.sum(dim=2, keepdim=True)


def blur_matrix(sigma: Tensor, size: int) -> Tensor:
    """(B, size, size): Gaussian blur of `sigma` pixels, mirrored at the borders; the identity where `sigma` is 0."""
    i = torch.arange(size, device=sigma.device)
    i, j, last = i[:, None], i[None, :], size - 1
    distance = torch.arange(2 * size - 1, device=sigma.device)
    # Far below a tenth of a pixel a Gaussian is the identity; below e^-80 it is nothing, and denormals are slow.
    exponent = 0.5 * (distance / sigma[:, None].clamp(min=1e-2)) ** 2  # (B, 2 size - 1)
    gaussian = torch.exp(-exponent.clamp(max=80))
    # Pixel j and its mirror images beyond the first and the last pixel, which are their own images.
    weight = gaussian[:, (i - j).abs()]  # (B, size, size)
    weight = weight + gaussian[:, i + j] * (j > 0) + gaussian[:, 2 * last - i - j] * (j < last)
    return weight / weight.sum(dim=2, keepdim=True)


def luma(x: Tensor) -> Tensor:
    """(B, 3, S, S) to (B, 1, S, S)."""
    return GREY[0] * x[:, 0:1] + GREY[1] * x[:, 1:2] + GREY[2] * x[:, 2:3]


def blend(x: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """`other` at factor 0, `x` at 1, beyond `x` above; (B,) factors."""
    return (other + (x - other) * _each(factor)).clamp(0, 1)


def shift_hue(x: Tensor, shift: Tensor) -> Tensor:
    """Turn every colour by `shift` (B,) around the circle of HSV: value and saturation stay."""
    red, green, blue = x.unbind(1)  # each (B, S, S)
    value = x.amax(dim=1)
    chroma = value - x.amin(dim=1)
    safe = torch.where(chroma > 0, chroma, 1.0)
    sextant = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    turned = sextant + 6 * shift[:, None, None]
    # HSV back to RGB in closed form: channel n falls from `value` by `chroma` times a trapezoid of the hue.
    k = torch.stack([(n + turned) % 6 for n in (5, 3, 1)], dim=1)  # (B, 3, S, S)
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def _each(value: Tensor) -> Tensor:
    """(B,) to (B, 1, 1, 1), to meet pictures."""
    return value[:, None, None, None]
