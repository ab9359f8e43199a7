"""Training with labels: the losses, the head that begins as the probe, and a run that goes on where it was."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.errors import BadInput, Cancelled
from model.probe import fit_probe
from model.resume import STATE
from model.step import Step
from model.taught import ClassHead, Taught, head_for, supervised_contrastive
from model.train import pretrain
from tests.model.runs import TINY, after, assert_same_run

SUPERVISED = replace(TINY, loss="supervised")
CROSS_ENTROPY = replace(TINY, loss="cross-entropy")


def taught(start, pixels) -> Taught:
    """Six cuts of each of six photographs: the photograph is the class, the first cut of each is kept out."""
    classes = np.repeat(np.arange(6), 6)
    step = Step(start, TINY, torch.device("cpu"))
    plain = step.pair(pixels, torch.Generator().manual_seed(0), 32)[: len(pixels)]
    vectors = torch.nn.functional.normalize(step.features(plain), dim=1).numpy()
    probe = fit_probe(vectors, [str(number) for number in classes])
    return Taught(torch.from_numpy(classes), torch.arange(0, 36, 6), probe.weights, probe.bias)


def reference(z, classes, temperature):
    """Equation 2 of arXiv:2004.11362 letter by letter, in Python's own float64."""
    rows = [[float(value) for value in row] for row in z]

    def s(i, j):
        a, b = rows[i], rows[j]
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b)) / temperature

    total = 0.0
    for i in range(len(rows)):
        others = [a for a in range(len(rows)) if a != i]
        partners = [p for p in others if classes[p] == classes[i]]
        below = sum(math.exp(s(i, a)) for a in others)
        total += -sum(math.log(math.exp(s(i, p)) / below) for p in partners) / len(partners)
    return total / len(rows)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_it_equals_a_slow_reference(temperature):
    z = torch.randn(10, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    classes = torch.tensor([0, 1, 0, 2, 2, 1, 0, 0, 2, 1])

    found = supervised_contrastive(z, classes, temperature).item()

    assert found == pytest.approx(reference(z, classes.tolist(), temperature), rel=1e-6)


def test_with_two_views_of_pictures_that_share_no_class_it_is_simclrs():
    z = torch.tensor([[1.0, 2, 3], [7, 8, 9], [4, 5, 6], [10, 11, 12]])  # the example of the documents

    assert supervised_contrastive(z, torch.tensor([0, 1, 0, 1]), 0.5).item() == pytest.approx(1.084631, abs=1e-6)


def test_the_head_begins_as_the_probe(start, pixels):
    lesson = taught(start, pixels)
    features = 5 * torch.randn(7, lesson.weights.shape[1], generator=torch.Generator().manual_seed(1))
    units = torch.nn.functional.normalize(features, dim=1).numpy()

    logits = ClassHead(lesson.weights, lesson.bias)(features).detach().numpy()

    np.testing.assert_allclose(logits, units @ lesson.weights.T + lesson.bias, atol=1e-4)


def test_a_loss_that_needs_labels_says_so_and_the_others_refuse_them(start, pixels):
    with pytest.raises(BadInput, match="supervised needs labels"):
        head_for(SUPERVISED, None)
    with pytest.raises(BadInput, match="nt-xent looks at no labels"):
        head_for(TINY, taught(start, pixels))


@pytest.mark.parametrize("settings", [SUPERVISED, CROSS_ENTROPY], ids=lambda s: s.loss)
def test_it_goes_on_exactly_where_it_was_and_not_with_other_labels(start, pixels, tmp_path, settings):
    lesson = taught(start, pixels)
    pretrain(pixels, start, settings, tmp_path / "whole", taught=lesson)

    with pytest.raises(Cancelled):
        pretrain(pixels, start, settings, tmp_path / "parts", stop=after(4), taught=lesson)
    assert (tmp_path / "parts" / STATE).exists()
    other = replace(lesson, classes=lesson.classes.roll(6))
    with pytest.raises(BadInput, match="labels"):
        pretrain(pixels, start, settings, tmp_path / "parts", taught=other)
    pretrain(pixels, start, settings, tmp_path / "parts", taught=lesson)

    assert_same_run(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("settings", [SUPERVISED, CROSS_ENTROPY], ids=lambda s: s.loss)
def test_what_is_kept_out_is_never_trained_on(start, pixels, tmp_path, settings):
    lesson = taught(start, pixels)
    changed = pixels.clone()
    changed[lesson.kept_out] = 255 - changed[lesson.kept_out]

    ours, theirs = (
        pretrain(p, start, settings, tmp_path / name, taught=lesson).backbone.state_dict()
        for name, p in (("as they are", pixels), ("changed", changed))
    )

    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("settings", [SUPERVISED, CROSS_ENTROPY], ids=lambda s: s.loss)
def test_the_loss_falls(start, pixels, tmp_path, settings):
    from tests.model.runs import lines

    pretrain(pixels, start, replace(settings, epochs=6), tmp_path, taught=taught(start, pixels))

    losses = [line["loss"] for line in lines(tmp_path)]
    assert losses[-1] < losses[0]
