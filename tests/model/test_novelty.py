import numpy as np
import pytest

from model.novelty import novelty_of
from tests.model.test_probe import clusters


def test_pictures_of_no_labelled_class_are_called_novel_and_others_are_not():
    vectors, _ = clusters({"a": 40, "b": 40, "c": 1000}, noise=0.1)
    new, _ = clusters({"a": 500, "b": 500, "c": 0}, noise=0.1, seed=1)

    novelty = novelty_of(vectors[:80])  # labels of a and b alone

    assert novelty.fits(vectors[80:]).mean() < 0.05
    assert novelty.fits(new).mean() == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize(("labels", "some"), [(18, False), (19, True)])
def test_nothing_is_called_novel_before_nineteen_labels(labels, some):
    vectors, _ = clusters({"a": labels, "b": 50})

    novel = ~novelty_of(vectors[:labels]).fits(vectors[labels:])

    assert novel.any() == some


def test_the_threshold_is_the_distance_that_one_label_in_twenty_exceeds():
    vectors, _ = clusters({"a": 59}, noise=0.5)
    likeness = vectors @ vectors.T - 3 * np.eye(len(vectors))

    novelty = novelty_of(vectors)

    assert novelty.threshold == pytest.approx(sorted(likeness.max(axis=1))[2])  # 3 of 60


def test_nearest_is_the_largest_cosine():
    vectors, _ = clusters({"a": 30, "b": 30})

    nearest = novelty_of(vectors[:20]).nearest(vectors[20:])

    np.testing.assert_allclose(nearest, (vectors[20:] @ vectors[:20].T).max(axis=1), rtol=1e-6)
