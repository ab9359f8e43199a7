"""Random views of a batch of pictures: crop, flip, blur, colour, grey; other parameters for every picture.

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

from model.presets import Preset

CROPS = 3  # a crop that does not fit is drawn again, and again; five in six fit at once
UNIFORMS = 12 + 2 * CROPS  # random numbers that one view uses up
GREY = (0.2989, 0.587, 0.114)  # ITU-R 601 luma, as torchvision has it


@dataclass
class Views:
    """The parameters of B views; one value per view, on the device."""

    left: Tensor  # (B,) the crop in whole pixels of the source
    top: Tensor
    width: Tensor
    height: Tensor
    mirrored: Tensor  # (B,) bool
    upside_down: Tensor
    turned: Tensor | None  # (B,) bool: rows become columns; None for none
    sigma: Tensor  # (B,) blur in pixels of the view; 0 for none
    brightness: Tensor  # (B,) factors; 1 for none
    contrast: Tensor
    saturation: Tensor
    hue: Tensor  # (B,) shift in turns of the colour circle; 0 for none
    grey: Tensor  # (B,) bool


def draw(uniforms: Tensor, preset: Preset, side: int, size: int) -> Views:
    """Turn (B, UNIFORMS) numbers from [0, 1) into parameters for views of `size` px from pictures of `side` px.

    As in torchvision, a crop that does not fit is drawn again; the last one's longer side is cut to the picture's.
    """
    u = uniforms.unbind(1)
    area = preset.crop[0] + (preset.crop[1] - preset.crop[0]) * uniforms[:, -2 * CROPS : -CROPS]  # (B, CROPS)
    low, high = math.log(preset.ratio[0]), math.log(preset.ratio[1])
    half_ratio = torch.exp((low + (high - low) * uniforms[:, -CROPS:]) / 2)
    sides = side * area.sqrt() * torch.stack([half_ratio, 1 / half_ratio])  # (2, B, CROPS)
    first = (sides.round() <= side).all(dim=0).byte().argmax(dim=1)  # 0 where none fits
    width, height = sides.gather(2, first.expand(2, -1)[..., None])[..., 0].round().clamp(1, side)
    coloured = u[4] < preset.colour

    def factor(uniform: Tensor, strength: float) -> Tensor:
        return torch.where(coloured, 1 + strength * (2 * uniform - 1), 1.0)

    sigma = size * (preset.blur_sigma[0] + (preset.blur_sigma[1] - preset.blur_sigma[0]) * u[3])
    blurred = u[2] < preset.blur
    return Views(
        left=(u[0] * (side - width + 1)).floor(),
        top=(u[1] * (side - height + 1)).floor(),
        width=width,
        height=height,
        mirrored=u[5] < preset.mirror,
        # One number serves both: its first bit turns the picture upside down, its second by a quarter.
        upside_down=(u[6] < 0.5) & preset.any_way_up,
        turned=(u[6] * 2) % 1 < 0.5 if preset.any_way_up else None,
        sigma=torch.where(blurred, sigma, 0.0),
        brightness=factor(u[7], preset.brightness),
        contrast=factor(u[8], preset.contrast),
        saturation=factor(u[9], preset.saturation),
        hue=torch.where(coloured, preset.hue * (2 * u[10] - 1), 0.0),
        grey=u[11] < preset.grey,
    )


def render(pixels: Tensor, views: Views, size: int) -> Tensor:
    """Pictures (N, 3, H, W) uint8 to views (V N, 3, size, size) float32 from 0 to 1; V = 1 or more of each."""
    height, width = pixels.shape[-2:]
    blur = blur_matrix(views.sigma, size)
    rows = blur @ crop_matrix(views.top, views.height, views.upside_down, height, size)  # (V N, size, H)
    columns = blur @ crop_matrix(views.left, views.width, views.mirrored, width, size)  # (V N, size, W)
    # (N, H, 3 W): with rows of all three colours side by side, two products of matrices do a picture.
    x = pixels.permute(0, 2, 1, 3).float().div_(255).flatten(2)
    x = torch.cat(
        [
            (r @ x).view(-1, size * 3, width) @ c.transpose(1, 2)  # (N, size 3, size)
            for r, c in zip(rows.split(len(pixels)), columns.split(len(pixels)), strict=True)
        ]
    )
    x = x.view(-1, size, 3, size).transpose(1, 2)  # (V N, 3, size, size)
    if views.turned is not None:
        x = choose(x.transpose(2, 3), x, _each(views.turned))
    x = blend(x, torch.zeros_like(x[:, :1]), views.brightness)
    x = blend(x, luma(x).mean(dim=(2, 3), keepdim=True), views.contrast)
    x = blend(x, luma(x), views.saturation)
    x = shift_hue(x, views.hue)
    return choose(luma(x).expand_as(x), x, _each(views.grey))


def random_views(pixels: Tensor, uniforms: Tensor, preset: Preset, size: int) -> Tensor:
    """Pictures (N, 3, H, H) uint8 to (V N, 3, size, size), by (V N, UNIFORMS) numbers.

    Rows i, i + N, i + 2 N, ... show picture i.
    """
    return render(pixels, draw(uniforms, preset, pixels.shape[-1], size), size)


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
    distance = torch.arange(2 * size - 1, device=sigma.device)
    # Far below a tenth of a pixel a Gaussian is the identity; below e^-80 it is nothing, and denormals are slow.
    exponent = 0.5 * (distance / sigma[:, None].clamp(min=1e-2)) ** 2  # (B, 2 size - 1)
    gaussian = torch.exp(-exponent.clamp(max=80))
    # Pixel j and its mirror images beyond the first and the last pixel, which are their own images: the distances are
    # |i - j|, i + j and 2 (size - 1) - i - j, so rows of the three parts are windows that slide over one vector.
    j = torch.arange(size, device=sigma.device)
    around = torch.cat([gaussian[:, 1:size].flip(1), gaussian[:, :size]], dim=1)  # by j - i, from 1 - size to size - 1
    weight = around.unfold(1, size, 1).flip(1)  # (B, size, size)
    weight = weight + gaussian.unfold(1, size, 1) * (j > 0) + gaussian.flip(1).unfold(1, size, 1) * (j < size - 1)
    return weight / weight.sum(dim=2, keepdim=True)


def luma(x: Tensor) -> Tensor:
    """(B, 3, S, S) to (B, 1, S, S)."""
    return (GREY[0] * x[:, 0:1]).add_(x[:, 1:2], alpha=GREY[1]).add_(x[:, 2:3], alpha=GREY[2])


def blend(x: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """`other` at factor 0, `x` at 1, beyond `x` above; (B,) factors."""
    return torch.lerp(other.expand_as(x), x, _each(factor)).clamp_(0, 1)


def shift_hue(x: Tensor, shift: Tensor) -> Tensor:
    """Turn every colour by `shift` (B,) around the circle of HSV: value and saturation stay."""
    red, green, blue = x.unbind(1)  # each (B, S, S)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    not_red, not_green = (value - red).sign(), (value - green).sign()  # 1 where another colour is the most
    hue = torch.lerp(green - blue, torch.lerp(blue - red, red - green, not_green), not_red)
    hue.div_(chroma.clamp(min=1e-12)).add_(not_green.add_(1).mul_(not_red), alpha=2)  # sextants from red
    hue.add_(6 * shift[:, None, None]).remainder_(6)
    # HSV back to RGB in closed form: a channel is `value` but for one third of the circle, centred at its opposite
    # (cyan for red), where it falls by `chroma`, with a slope of a sixth on either side: so for a distance d from the
    # opposite, which is 6 - d the other way around, by 2 - min(d, 6 - d) = |3 - d| - 1.
    opposite = (torch.arange(2, 7, 2, device=x.device) % 6 + 1).view(3, 1, 1)  # 3, 5, 1; made there, not copied there
    fall = (hue[:, None] - opposite).abs_().sub_(3).abs_().sub_(1).clamp_(0, 1)  # (B, 3, S, S)
    return torch.addcmul(value[:, None], chroma[:, None], fall, value=-1)


def choose(this: Tensor, that: Tensor, is_this: Tensor) -> Tensor:
    """As torch.where(is_this, this, that), which on a CPU takes far longer."""
    return torch.lerp(that, this, is_this.to(that.dtype))


def _each(value: Tensor) -> Tensor:
    """(B,) to (B, 1, 1, 1), to meet pictures."""
    return value[:, None, None, None]
