import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from model import linear
from model.errors import Cancelled, TooFewLabels
from model.evaluate import knn_accuracy
from model.linear import STRENGTHS, linear_accuracy, linear_accuracy_on


def clusters(count: int, dim: int = 24, classes: int = 3, apart: float = 1.0, seed: int = 0):
    """Unit vectors (count, dim) of `classes` overlapping clusters whose places do not depend on the seed; labels."""
    centres = np.random.default_rng(99).normal(size=(classes, dim)) * apart
    rng = np.random.default_rng(seed)
    y = np.arange(count) % classes
    vectors = (centres[y] + 2.5 * rng.normal(size=(count, dim))).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), [f"c{n}" for n in y]


def test_the_grid_is_that_of_the_paper():
    assert len(STRENGTHS) == 45
    assert (STRENGTHS[0], STRENGTHS[-1]) == pytest.approx((1e-6, 1e5))


def test_it_is_as_right_as_the_best_of_all_45_strengths():
    (x, y), (asked, truth) = clusters(120), clusters(600, seed=1)
    centre, scale = x.mean(axis=0), (x - x.mean(axis=0)).std()

    got = linear_accuracy_on(x, y, asked, truth)

    each = [
        LogisticRegression(C=1 / strength, max_iter=2000).fit((x - centre) / scale, y)
        for strength in STRENGTHS  # each judged on the very pictures that a fair choice may not see
    ]
    scores = [model.score((asked - centre) / scale, truth) for model in each]
    assert max(scores) - min(scores) > 0.1  # the strength matters here
    assert got.accuracy > max(scores) - 0.03


def test_labels_that_are_judged_on_decide_nothing():
    (x, y), (asked, truth) = clusters(90), clusters(90, seed=1)

    honest = linear_accuracy_on(x, y, asked, truth)
    others = linear_accuracy_on(x, y, asked, truth[1:] + truth[:1])

    assert honest.strengths == others.strengths
    assert honest.accuracy > others.accuracy + 0.3


def test_every_fold_chooses_its_own_strength():
    measured = linear_accuracy(*clusters(60), folds=3)

    assert measured.folds == len(measured.strengths) == 3
    assert set(measured.strengths) <= set(STRENGTHS.tolist())
    assert measured.interval[0] < measured.accuracy < measured.interval[1]


def test_folds_are_no_more_than_the_smallest_class_has_pictures():
    x, y = clusters(40)
    y = [*y[:-2], "rare", "rare"]

    assert linear_accuracy(x, y).folds == 2


def test_a_class_of_one_picture_cannot_be_cut_into_folds_but_can_be_learnt_from():
    x, y = clusters(40)
    y = [*y[:-1], "rare"]

    with pytest.raises(TooFewLabels, match="1 more of 'rare'"):
        linear_accuracy(x, y)
    assert linear_accuracy_on(x, y, *clusters(40, seed=1)).accuracy > 0.5


def test_one_picture_of_each_class_is_enough_to_fit():
    x, y = clusters(3, apart=9)

    measured = linear_accuracy_on(x, y, *clusters(60, apart=9, seed=1))

    assert measured.accuracy > 0.9
    assert measured.strengths == (1.0,)


def test_a_class_it_has_not_seen_is_counted_as_wrong():
    (x, y), (asked, truth) = clusters(60, apart=9), clusters(60, apart=9, seed=1)

    seen = linear_accuracy_on(x, y, asked, truth)
    half = linear_accuracy_on(x, y, asked, [*truth[:30], *["unheard of"] * 30])

    assert (seen.accuracy, half.accuracy) == (1.0, 0.5)


def test_vectors_that_are_all_the_same_are_as_good_as_chance():
    same = np.ones((60, 8), np.float32) / np.sqrt(8).astype(np.float32)

    assert linear_accuracy(same, [f"c{n % 3}" for n in range(60)]).accuracy == pytest.approx(1 / 3, abs=0.02)


def test_with_very_many_pictures_a_part_of_them_chooses_the_strength(monkeypatch):
    (x, y), judged = clusters(400), clusters(200, seed=1)
    whole = linear_accuracy_on(x, y, *judged)
    fits = []
    monkeypatch.setattr(linear, "SELECTION", 100)
    monkeypatch.setattr(linear, "ENOUGH", 50)

    part = linear_accuracy_on(x, y, *judged, on_fit=lambda: fits.append(1))
    with_a_rare_class = linear_accuracy_on(x, ["rare", *y[1:]], *judged)

    assert len(fits) <= 14  # 13 strengths on one part, and the classifier itself
    assert part.accuracy == pytest.approx(whole.accuracy, abs=0.05)
    assert with_a_rare_class.accuracy == pytest.approx(whole.accuracy, abs=0.05)


def test_it_can_be_stopped_between_two_fits():
    def stop():
        raise Cancelled("enough")

    with pytest.raises(Cancelled, match="enough"):
        linear_accuracy(*clusters(30), on_fit=stop)


def test_neighbours_can_be_asked_for_among_other_pictures():
    angles = np.radians([0, 10, 80, 90])
    known = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    labels = ["flat", "flat", "steep", "steep"]
    steps = np.radians([5, 30, 60, 85])
    asked = np.stack([np.cos(steps), np.sin(steps)], axis=1).astype(np.float32)

    assert knn_accuracy(known, labels, k=2, asked=(asked, ["flat", "flat", "steep", "steep"])) == 1
    assert knn_accuracy(known, labels, k=2, asked=(asked, ["flat", "steep", "flat", "steep"])) == 0.5
    # Equal to itself a picture may be found again, which leaving one out forbids.
    assert knn_accuracy(known[[0, 2]], ["flat", "steep"], k=1, asked=(known[[0, 2]], ["flat", "steep"])) == 1
    assert knn_accuracy(known[[0, 2]], ["flat", "steep"], k=1) == 0
