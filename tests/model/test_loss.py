import math

import pytest
import torch

from model.loss import nt_xent


def reference(z, temperature):
    """Equation 1 of arXiv:2002.05709 letter by letter, in Python's own float64."""
    rows = [[float(value) for value in row] for row in z.detach()]
    half = len(rows) // 2

    def similarity(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))

    total = 0.0
    for i, row in enumerate(rows):
        partner = i + half if i < half else i - half
        others = [math.exp(similarity(row, rows[k]) / temperature) for k in range(len(rows)) if k != i]
        total += -math.log(math.exp(similarity(row, rows[partner]) / temperature) / sum(others))
    return total / len(rows)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("pictures", [2, 5, 17])
def test_it_equals_a_slow_reference(pictures, temperature):
    z = torch.randn(2 * pictures, 6, generator=torch.Generator().manual_seed(pictures), dtype=torch.float64)

    assert nt_xent(z, temperature).item() == pytest.approx(reference(z, temperature), rel=1e-5)


def test_the_example_of_the_documents_has_all_2n_minus_2_negatives():
    z = torch.tensor([[1.0, 2, 3], [7, 8, 9], [4, 5, 6], [10, 11, 12]])

    assert nt_xent(z, 0.5).item() == pytest.approx(1.084631, abs=1e-6)  # negatives of the other view alone: 0.680884


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize("pictures", [2, 8, 100])
def test_it_is_log_of_2n_minus_1_when_all_views_agree(pictures, temperature):
    z = torch.ones(2 * pictures, 16)

    assert nt_xent(z, temperature).item() == pytest.approx(math.log(2 * pictures - 1), abs=1e-5)


def test_only_directions_count():
    z = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    lengths = torch.arange(1.0, 9.0)[:, None]

    assert nt_xent(z * lengths, 0.5).item() == pytest.approx(nt_xent(z, 0.5).item(), abs=1e-6)


def test_its_gradient_is_that_of_the_formula():
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)

    nt_xent(z, 0.5).backward()

    step = 1e-4
    for row, column in ((0, 0), (2, 1), (5, 2)):
        nudge = torch.zeros(6, 3, dtype=torch.float64)
        nudge[row, column] = step
        slope = (reference(z.double() + nudge, 0.5) - reference(z.double() - nudge, 0.5)) / (2 * step)
        assert z.grad[row, column].item() == pytest.approx(slope, abs=1e-5)


def test_reduced_precision_around_it_does_not_reach_it():
    z = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = nt_xent(z, 0.1)

    assert inside.item() == nt_xent(z, 0.1).item()
