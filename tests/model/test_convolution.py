import pytest
import torch
from torch import nn

from model.convolution import MatrixConvolutions, _Convolution


def passed(layer: nn.Module, image: torch.Tensor, quick: bool) -> list[torch.Tensor]:
    """The output, and the gradients of image and weights of an uneven sum of it."""
    image = image.clone().requires_grad_()
    layer.zero_grad()
    if quick:
        with MatrixConvolutions():
            out = layer(image)
    else:
        out = layer(image)
    torch.manual_seed(1)
    (out * torch.randn(out.shape)).sum().backward()
    return [out.detach(), image.grad, *(p.grad.clone() for p in layer.parameters())]


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "side"),
    [(3, 1, 1, 2), (3, 1, 1, 4), (3, 2, 1, 4), (3, 2, 1, 3), (1, 2, 0, 4), (1, 1, 0, 1), (3, 1, 1, 1), (2, 2, 0, 5)],
)
def test_output_and_gradients_are_those_of_the_ordinary_convolution(kernel, stride, padding, side, layout):
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 96, kernel, stride, padding, bias=False).to(memory_format=layout)
    image = torch.randn(5, 64, side, side).to(memory_format=layout)

    for ours, theirs in zip(passed(layer, image, True), passed(layer, image, False), strict=True):
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max() + 1e-6


def test_in_bfloat16_they_are_so_within_its_rounding():
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 96, 3, padding=1, bias=False)
    image = torch.randn(5, 64, 2, 2).bfloat16()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = passed(layer, image, True)
    theirs = passed(layer, image.float(), False)

    assert [x.dtype for x in ours] == [torch.bfloat16, torch.bfloat16, torch.float32]  # the weights' gradient is theirs
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).abs().max() < 2e-2 * other.abs().max()


@pytest.mark.parametrize(
    ("layer", "side", "quick"),
    [
        (nn.Conv2d(64, 64, 3, padding=1, bias=False), 2, True),
        (nn.Conv2d(64, 64, 3, padding=1, bias=False), 5, False),  # many positions
        (nn.Conv2d(64, 64, 3, padding=1), 2, False),  # a bias
        (nn.Conv2d(64, 64, 3, padding=1, bias=False, groups=2), 2, False),
        (nn.Conv2d(64, 64, 3, padding=2, bias=False, dilation=2), 2, False),
        (nn.Conv2d(64, 64, (3, 1), bias=False), 4, True),
        (nn.Conv2d(64, 64, 3, padding=(1, 0), bias=False), 4, False),  # not the same both ways
        (nn.Conv2d(64, 64, 3, padding="same", bias=False), 2, False),
        (nn.Conv2d(3, 64, 3, padding=1, bias=False), 2, False),  # few channels
        (nn.Conv2d(64, 64, 3, padding=1, bias=False).requires_grad_(False), 2, False),
        (nn.Conv2d(64, 64, 3, padding=1, bias=False).double(), 2, False),
        (nn.Conv2d(64, 64, 3, padding=1, bias=False).bfloat16(), 2, True),
        (nn.Conv2d(64, 64, 3, padding=1, bias=False).bfloat16(), 4, False),  # fewer positions gain there
    ],
)
def test_only_what_gains_is_computed_so(monkeypatch, layer, side, quick):
    used: list[bool] = []
    real = _Convolution.apply
    monkeypatch.setattr(_Convolution, "apply", lambda *arguments: used.append(True) or real(*arguments))
    image = torch.randn(2, layer.in_channels, side, side, dtype=layer.weight.dtype)

    with MatrixConvolutions():
        out = layer(image)

    assert bool(used) is quick
    assert (out - layer(image)).abs().max() < (0.02 if out.dtype == torch.bfloat16 else 1e-4)


def test_without_it_nothing_changes(monkeypatch):
    monkeypatch.setattr(_Convolution, "apply", lambda *arguments: pytest.fail("not asked for"))

    nn.Conv2d(64, 64, 3, padding=1, bias=False)(torch.randn(2, 64, 2, 2))
