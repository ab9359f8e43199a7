import numpy as np
import pytest

from model.choosing import covering, typical, typical_in_turn, unsureness
from tests.model.test_probe import clusters

COUNTS = {"large": 60, "middle": 30, "small": 10}


def test_typical_pictures_come_from_different_groups_the_largest_first():
    vectors, labels = clusters(COUNTS)

    chosen = typical(vectors, np.zeros((0, vectors.shape[1]), np.float32), 3)

    assert [labels[i] for i in chosen] == ["large", "middle", "small"]


def test_the_first_typical_ones_are_the_same_however_many_are_asked_for():
    vectors, labels = clusters({str(number): 9 for number in range(12)})

    chosen = list(typical_in_turn(vectors, np.zeros((0, vectors.shape[1]), np.float32)))

    assert sorted(chosen) == list(range(len(vectors)))
    assert chosen[:10] == typical(vectors, np.zeros((0, vectors.shape[1]), np.float32), 10).tolist()
    assert len({labels[i] for i in chosen[:20]}) == 12  # the second round goes where the first was not


def test_a_group_with_a_label_waits_until_the_others_have_one():
    vectors, labels = clusters(COUNTS)

    chosen = typical(vectors[1:], vectors[:1], 2)  # the first is of the large group

    assert sorted(labels[1:][i] for i in chosen) == ["middle", "small"]


def test_a_typical_picture_is_no_outlier():
    vectors, _ = clusters({"a": 40})
    centre = vectors.mean(axis=0) / np.linalg.norm(vectors.mean(axis=0))

    (chosen,) = typical(vectors, np.zeros((0, vectors.shape[1]), np.float32), 1)

    assert (vectors @ centre < vectors[chosen] @ centre).mean() > 0.7


def test_covering_never_asks_twice_for_the_same_thing():
    vectors, labels = clusters(COUNTS)

    chosen = covering(vectors, np.zeros((0, vectors.shape[1]), np.float32), np.ones(len(vectors)), 3)

    assert [labels[i] for i in chosen] == ["large", "middle", "small"]


def test_covering_goes_where_the_weight_is_and_no_label():
    vectors, labels = clusters(COUNTS)
    weights = np.array([name != "large" for name in labels], float)

    (chosen,) = covering(vectors, np.zeros((0, vectors.shape[1]), np.float32), weights, 1)
    (beside,) = covering(vectors, vectors[60:61], weights, 1)  # a label of the middle group

    assert labels[chosen] == "middle"
    assert labels[beside] == "small"


def test_covering_is_the_greedy_maximum_of_what_it_says():
    vectors, _ = clusters({"a": 12, "b": 9}, noise=0.3)
    x = vectors - vectors.mean(axis=0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    distance = 1 - x @ x.T
    width = np.sort(distance, axis=1)[:, 20].mean()

    (first, second) = covering(vectors, np.zeros((0, 32), np.float32), np.ones(21), 2)

    kernel = np.exp(-distance / width)
    gains = np.maximum(kernel - kernel[first], 0).sum(axis=1)
    assert first == kernel.sum(axis=1).argmax()
    assert second == gains.argmax()


@pytest.mark.parametrize("count", [0, 5])
def test_there_are_never_more_than_there_are_pictures(count):
    vectors = clusters({"a": 5})[0][:count]

    assert len(covering(vectors, vectors, np.ones(count), 8)) == count


def test_unsure_is_where_the_two_most_probable_are_alike():
    p = np.array([[0.5, 0.5, 0.0], [0.9, 0.1, 0.0], [0.4, 0.3, 0.3]])

    assert unsureness(p) == pytest.approx([1.0, 0.2, 0.9])
