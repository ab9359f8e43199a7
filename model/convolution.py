"""Convolutions whose weights' gradient is a plain matrix product, for training on a CPU.

oneDNN's own kernel for that gradient falls far behind a matrix product over the same numbers where a layer has many
channels and few positions, such as the last stage of a ResNet-18 at 64 px: 512 channels on 2 x 2 positions. There the
pictures' patches are small enough to be written out (im2col).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

# Positions of an output, per picture: beyond, writing the patches out costs more than is won.
MOST_POSITIONS = {torch.float32: 16, torch.bfloat16: 4}
FORWARD_POSITIONS = 4  # the forward pass has less to win
FEWEST_CHANNELS = 64


class MatrixConvolutions(TorchFunctionMode):
    """Within it, the convolutions that gain are computed this way; results differ by rounding alone."""

    def __torch_function__(
        self, function: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function is F.conv2d and not kwargs and _gains(*args):
            image, weight, _, stride, padding = args[:5]
            # Under autocast the layer before has left bfloat16, and this one's weights are to follow.
            return _Convolution.apply(image, weight.to(image.dtype), _pair(stride)[0], _pair(padding)[0])
        return function(*args, **(kwargs or {}))


def _gains(
    image: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> bool:
    if bias is not None or groups != 1 or not weight.requires_grad or image.dtype not in MOST_POSITIONS:
        return False
    if image.dtype != weight.dtype and not torch.is_autocast_enabled("cpu"):
        return False
    if isinstance(padding, str) or any(len(set(_pair(x))) > 1 for x in (stride, padding)) or _pair(dilation) != (1, 1):
        return False
    height, width = (_positions(n, k, _pair(stride)[0], _pair(padding)[0]) for n, k in _sides(image, weight))
    return 0 < height * width <= MOST_POSITIONS[image.dtype] and min(weight.shape[:2]) >= FEWEST_CHANNELS


class _Convolution(torch.autograd.Function):
    """(B, C, H, W) by (D, C, k, l) to (B, D, H', W'), channels last."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.stride, ctx.padding = stride, padding
        height, width = (_positions(n, k, stride, padding) for n, k in _sides(image, weight))
        if height * width > FORWARD_POSITIONS:
            return torch.conv2d(image, weight, None, stride, padding)
        patches = _patches(image, weight, stride, padding)
        out = patches @ weight.permute(0, 2, 3, 1).flatten(1).T  # (B H' W', D)
        return out.view(len(image), height, width, len(weight)).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        image, weight = ctx.saved_tensors
        (gradient,) = gradients
        to_image = None
        if ctx.needs_input_grad[0]:
            both = [ctx.stride] * 2, [ctx.padding] * 2
            to_image = torch.ops.aten.convolution_backward(
                gradient, image, weight, None, *both, [1, 1], False, [0, 0], 1, [True, False, False]
            )[0]
        patches = _patches(image, weight, ctx.stride, ctx.padding)
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, len(weight))  # (B H' W', D)
        to_weight = (rows.T @ patches).view(len(weight), *weight.shape[2:], -1).permute(0, 3, 1, 2)
        return to_image, to_weight, None, None


def _patches(image: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """What each output position sees: (B H' W', k l C)."""
    image = F.pad(image.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))  # (B, H, W, C)
    windows = image.unfold(1, weight.shape[2], stride).unfold(2, weight.shape[3], stride)  # (B, H', W', C, k, l)
    return windows.permute(0, 1, 2, 4, 5, 3).reshape(windows.shape[:3].numel(), -1)


def _sides(image: Tensor, weight: Tensor) -> zip[tuple[int, int]]:
    return zip(image.shape[2:], weight.shape[2:], strict=True)


def _positions(length: int, kernel: int, stride: int, padding: int) -> int:
    return (length + 2 * padding - kernel) // stride + 1


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])
