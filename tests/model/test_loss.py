import math

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

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


def pairwise(z, temperature, views, decoupled):
    """The formula of `nt_xent` letter by letter, in Python's own float64."""
    rows = [[float(value) for value in row] for row in z.detach()]
    pictures = len(rows) // views

    def exponential(a, b):
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return math.exp(dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b)) / temperature)

    terms = []
    for i, row in enumerate(rows):
        negatives = sum(exponential(row, rows[j]) for j in range(len(rows)) if j % pictures != i % pictures)
        for partner in range(i % pictures, len(rows), pictures):
            if partner != i:
                pair = exponential(row, rows[partner])
                terms.append(-math.log(pair / (negatives + (0 if decoupled else pair))))
    return sum(terms) / len(terms)


@pytest.mark.parametrize("decoupled", [False, True], ids=["nt-xent", "decoupled"])
@pytest.mark.parametrize("views", [2, 3, 4])
@pytest.mark.parametrize("pictures", [2, 5])
def test_with_more_views_and_decoupled_it_equals_a_slow_reference(views, pictures, decoupled):
    z = torch.randn(views * pictures, 6, generator=torch.Generator().manual_seed(pictures), dtype=torch.float64)

    for temperature in (0.07, 0.5):
        expected = pairwise(z, temperature, views, decoupled)
        assert nt_xent(z, temperature, views, decoupled).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
@pytest.mark.parametrize(("views", "pictures"), [(2, 8), (3, 5), (4, 100)])
def test_when_all_views_agree_it_is_the_logarithm_of_how_many_it_is_asked_among(views, pictures, temperature):
    z = torch.ones(views * pictures, 16)
    negatives = views * (pictures - 1)

    assert nt_xent(z, temperature, views).item() == pytest.approx(math.log(negatives + 1), abs=1e-5)
    assert nt_xent(z, temperature, views, decoupled=True).item() == pytest.approx(math.log(negatives), abs=1e-5)


@pytest.mark.parametrize("views", [2, 3, 4])
def test_when_pictures_are_at_right_angles_and_their_views_agree_it_is_a_closed_form(views):
    z = torch.eye(7).repeat(views, 1)
    negatives = views * 6  # of similarity 0; the partners' is 1

    assert nt_xent(z, 0.5, views).item() == pytest.approx(math.log(math.exp(2) + negatives) - 2, abs=1e-6)
    assert nt_xent(z, 0.5, views, decoupled=True).item() == pytest.approx(math.log(negatives) - 2, abs=1e-6)


@pytest.mark.parametrize("decoupled", [False, True], ids=["nt-xent", "decoupled"])
@pytest.mark.parametrize("views", [2, 3])
def test_its_gradient_is_that_of_its_value_in_every_form(views, decoupled):
    z = torch.randn(views * 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(lambda z: nt_xent(z, 0.2, views, decoupled), z)


def test_the_order_of_pictures_and_views_does_not_matter():
    z = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)  # (V, N, P)

    shuffled = z[[2, 0, 1]][:, [3, 1, 4, 0, 2]]

    assert nt_xent(shuffled.flatten(0, 1), 0.2, 3).item() == pytest.approx(nt_xent(z.flatten(0, 1), 0.2, 3).item())


def test_a_large_similarity_over_a_small_temperature_does_not_overflow():
    z = torch.eye(4).repeat(2, 1).requires_grad_()

    loss = nt_xent(z, 0.005)  # exp(200) is beyond float32
    loss.backward()

    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert z.grad.isfinite().all()


def test_of_all_similarities_it_keeps_one_matrix():
    rows = 512
    z = torch.randn(rows, 8, requires_grad=True)

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        nt_xent(z, 0.2).backward()

    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    assert rows * rows * 4 <= peak < 1.5 * rows * rows * 4
