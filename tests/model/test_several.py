"""Several classes a picture: each class is a logistic regression of its own, and what was not said is unknown."""

import numpy as np
import pytest

from model.errors import TooFewLabels
from model.interval import wilson
from model.probe import Probe
from model.several import (
    NO,
    UNKNOWN,
    YES,
    Answers,
    answers_from,
    assess_several,
    fit_several,
    several_figures,
)
from model.strength import Choice

CLASSES = ("cat", "dog", "sofa")


def world(n: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (n, 16) and their classes (n, 3) bools: each class has a direction, and any may be together."""
    rng = np.random.default_rng(seed)
    there = rng.random((n, 3)) < 0.4
    x = np.where(there, 1.0, -1.0) @ np.eye(3, 16) + 0.35 * rng.standard_normal((n, 16))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), there


def told(there: np.ndarray) -> Answers:
    return Answers(CLASSES, np.where(there, YES, NO).astype(np.int8))


def test_each_class_says_what_scikit_learn_says_of_it_alone():
    from sklearn.linear_model import LogisticRegression

    vectors, there = world()
    answers = told(there)
    answers.given[:100, 1] = UNKNOWN
    strength = 0.01

    probe = fit_several(vectors, answers, {name: Choice(strength, 1.0) for name in CLASSES})

    p = probe.probabilities(vectors)
    for column, known in enumerate([slice(None), slice(100, None), slice(None)]):
        x, y = vectors[known].astype(np.float64), there[known, column]
        spread = np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=1).mean())
        # Half the strength: a softmax over yes and no shares the weights between the two.
        reference = LogisticRegression(C=2 / strength, tol=1e-8, max_iter=10_000).fit((x - x.mean(axis=0)) / spread, y)
        expected = reference.predict_proba((vectors - x.mean(axis=0)) / spread)[:, 1]
        np.testing.assert_allclose(p[:, column], expected, atol=5e-3)


def test_classes_are_found_together_and_apart_on_pictures_it_has_not_seen():
    vectors, there = world(440)

    probe = fit_several(vectors[:200], told(there[:200]))

    said = probe.probabilities(vectors[200:]) >= 0.5
    assert (said == there[200:]).mean() > 0.95
    assert {0, 1, 2, 3} == set(said.sum(axis=1))


def test_what_is_unknown_of_a_class_does_not_move_it():
    vectors, there = world()
    answers = told(there)
    answers.given[50:, 0] = UNKNOWN

    probe = fit_several(vectors, answers)
    alone = fit_several(vectors[:50], Answers(CLASSES, answers.given[:50]))

    np.testing.assert_array_equal(probe.probabilities(vectors)[:, 0], alone.probabilities(vectors)[:, 0])


def test_a_class_without_a_no_is_not_learnt_and_none_at_all_says_what_to_do():
    vectors, there = world()
    answers = told(there)
    answers.given[answers.given[:, 0] == NO, 0] = UNKNOWN

    assert fit_several(vectors, answers).classes == ("dog", "sofa")
    with pytest.raises(TooFewLabels, match="not 'cat' \\(no\\)"):
        fit_several(vectors, Answers(("cat",), answers.given[:, :1]))


def test_none_of_these_is_a_no_to_every_class():
    said = [{"cat": True}, {"none of these": True}, {"dog": False}]

    answers = answers_from(said, ["dog", "cat"], "none of these")

    assert answers.classes == ("cat", "dog")
    assert answers.given.tolist() == [[YES, UNKNOWN], [NO, NO], [UNKNOWN, NO]]


def test_a_probe_of_several_classes_is_the_same_after_saving():
    vectors, there = world(60)
    probe = fit_several(vectors, told(there))

    again = Probe.from_bytes(probe.to_bytes())

    assert again.several
    assert again.choices == probe.choices
    np.testing.assert_array_equal(again.probabilities(vectors), probe.probabilities(vectors))


def test_classes_that_are_kept_are_taken_over_and_others_go_on_from_where_they_were():
    vectors, there = world(60)
    before = fit_several(vectors[:40], told(there[:40]))
    choices = dict(zip(before.classes, before.choices, strict=True))

    after = fit_several(vectors, told(there), choices, before, kept=["cat"])
    anew = fit_several(vectors, told(there), choices)

    np.testing.assert_array_equal(after.weights[0], before.weights[0])
    np.testing.assert_allclose(after.probabilities(vectors)[:, 1:], anew.probabilities(vectors)[:, 1:], atol=5e-3)


def test_the_figures_of_a_class_are_counts_of_answers_it_had_not_seen():
    vectors, there = world()
    answers = told(there)
    answers.given[:40, 2] = UNKNOWN

    quality = assess_several(vectors, answers)
    figures = several_figures(quality, np.array([0.5, 0.5, 0.9], np.float32))

    sofa = figures["per_class"][2]
    p = quality.unseen[40:, 2]
    hit = int(((p >= 0.9) & there[40:, 2]).sum())
    assert np.isnan(quality.unseen[:40, 2]).all()
    assert sofa["precision"] == hit / int((p >= 0.9).sum())
    assert sofa["recall"] == hit / int(there[40:, 2].sum())
    assert sofa["recall_interval"] == wilson(hit, int(there[40:, 2].sum()))
    assert sum(map(sum, sofa["confusion"])) == 200
    low, high = figures["interval"]
    assert 0.8 < low < figures["accuracy"] < high <= 1


def test_a_class_that_cannot_be_judged_says_what_is_missing_and_the_others_are():
    vectors, there = world()
    answers = told(there)
    answers.given[:, 0] = UNKNOWN
    answers.given[:3, 0] = [YES, NO, NO]

    quality = assess_several(vectors, answers)

    assert quality.lacking == {"cat": "To measure how good 'cat' is, label 1 more of it."}
    assert np.isnan(quality.unseen[:, 0]).all()
    assert not np.isnan(quality.unseen[:, 1:]).any()
