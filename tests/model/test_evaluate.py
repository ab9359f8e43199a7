import numpy as np
import pytest
from PIL import Image

from model import evaluate
from model.errors import BadInput, TooFewLabels
from model.evaluate import (
    agreement,
    colour_histogram,
    effective_rank,
    few_shot_accuracy,
    knn_accuracy,
    places,
    precision_at,
    spread,
    uniformity,
)
from model.linear import linear_accuracy
from tests.pictures import picture


def unit(rows: object) -> np.ndarray:
    vectors = np.asarray(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def random_unit(count: int, dim: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, dim)))


# On a quarter circle, at 0, 10, 20, 50 and 60 degrees: small enough to work every answer out by hand.
ANGLES = np.radians([0, 10, 20, 50, 60])
FAN = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)
FAN_LABELS = ["a", "a", "b", "b", "b"]


def test_precision_is_the_part_of_the_nearest_that_share_the_label():
    # Nearest: 0 -> 10 (a), 10 -> 0 or 20 (tie), ... so the tie is moved aside first.
    fan = FAN.copy()
    fan[1] = [np.cos(np.radians(9)), np.sin(np.radians(9))]

    # k=1: 0->9 yes, 9->0 yes, 20->9 no, 50->60 yes, 60->50 yes.
    assert precision_at(1, fan, FAN_LABELS) == pytest.approx(4 / 5)
    # k=2: 0->9,20 half; 9->0,20 half; 20->9,0 none; 50->60,20 both; 60->50,20 both.
    assert precision_at(2, fan, FAN_LABELS) == pytest.approx((0.5 + 0.5 + 0 + 1 + 1) / 5)


def test_a_picture_is_never_an_answer_to_itself():
    vectors = unit([[1, 0], [1, 0], [0, 1], [0, 1]])

    assert precision_at(1, vectors, ["a", "b", "c", "d"]) == 0


def test_precision_does_not_depend_on_the_size_of_the_blocks(monkeypatch):
    vectors, labels = random_unit(100, 8), [str(i % 3) for i in range(100)]
    whole = precision_at(5, vectors, labels), knn_accuracy(vectors, labels, 5)

    monkeypatch.setattr(evaluate, "BLOCK", 7)

    assert (precision_at(5, vectors, labels), knn_accuracy(vectors, labels, 5)) == pytest.approx(whole)


@pytest.mark.parametrize("k", [0, 5, -1])
def test_more_neighbours_than_there_are_is_refused_in_words(k):
    with pytest.raises(BadInput, match="k must be from 1 to 4 for 5 pictures"):
        precision_at(k, FAN, FAN_LABELS)


def test_near_neighbours_have_more_votes_than_far_ones():
    # The first has one neighbour of its own kind, very near, and two others far away: 1 > 2 * exp(-0.5 / 0.07).
    vectors = unit([[1, 0], [1, 0.05], [0.5, 0.9], [0.5, -0.9]])

    assert knn_accuracy(vectors, ["a", "a", "b", "b"], k=3) == pytest.approx(2 / 4)
    assert knn_accuracy(vectors, ["a", "a", "b", "b"], k=3, temperature=100) == 0


def test_accuracies_are_perfect_on_separate_classes_and_chance_on_noise():
    labels = [str(i % 4) for i in range(200)]
    apart = unit(np.eye(4)[np.arange(200) % 4] + 0.05 * random_unit(200, 4))
    noise = random_unit(200, 16)

    assert knn_accuracy(apart, labels, 10) == linear_accuracy(apart, labels).accuracy == 1
    assert few_shot_accuracy(apart, labels, shots=2, draws=3)[0] == 1
    assert knn_accuracy(noise, labels, 10) < 0.4
    assert linear_accuracy(noise, labels).interval[0] < 0.25
    assert few_shot_accuracy(noise, labels, shots=5, draws=5)[0] == pytest.approx(0.25, abs=0.08)


def test_few_shot_accuracy_grows_with_the_labels_and_its_interval_holds_the_mean():
    labels = [str(i % 4) for i in range(400)]
    vectors = unit(np.eye(4, 32)[np.arange(400) % 4] + 2 * random_unit(400, 32))

    (few, few_interval), (many, _) = (few_shot_accuracy(vectors, labels, shots, draws=6) for shots in (1, 20))

    assert many > few + 0.1
    assert few_interval[0] < few < few_interval[1]


def test_few_shots_need_a_label_left_to_judge_by():
    with pytest.raises(TooFewLabels, match="1 more of 'a'"):
        few_shot_accuracy(FAN, FAN_LABELS, shots=2)


def test_a_histogram_knows_colour_and_nothing_else():
    red, blue = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (5, 9), (0, 0, 255))
    cat = picture("cat", 64)

    one, other, upright, mirrored = colour_histogram([red, blue, cat, cat.transpose(Image.Transpose.ROTATE_180)])

    assert one @ other == 0
    assert np.argmax(one) == 3 * 16
    np.testing.assert_array_equal(upright, mirrored)
    assert np.linalg.norm(upright) == pytest.approx(1)


def test_effective_rank_of_equal_directions_is_their_number():
    # Roy & Vetterli 2007: k equal singular values have effective rank k.
    assert effective_rank(np.tile(np.eye(5, 16, dtype=np.float32), (10, 1))) == pytest.approx(5)
    assert effective_rank(np.tile(unit([[3, 4]]), (10, 1))) == pytest.approx(1)


def test_effective_rank_equals_its_definition_by_singular_values():
    vectors = random_unit(50, 12) * np.linspace(1, 3, 12, dtype=np.float32)
    values = np.linalg.svd(vectors, compute_uv=False)
    part = values / values.sum()

    assert effective_rank(vectors) == pytest.approx(np.exp(-(part * np.log(part)).sum()), rel=1e-5)


def test_the_place_of_a_picture_is_how_many_are_as_near_as_its_own_view():
    one = unit([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    other = unit([[1, 0.15, 0], [0, 0.2, 1], [0, 0.1, 1]])  # the third's own view is a little nearer than the second's

    assert places(one, other).tolist() == [1, 1, 1]
    assert places(one, other[[1, 0, 2]]).tolist() == [3, 2, 1]


def test_a_model_that_gives_every_picture_the_same_vector_comes_last():
    same = np.tile(unit([[1, 2, 3]]), (50, 1))

    assert places(same, same).tolist() == [50] * 50


def test_vectors_all_alike_have_no_spread_and_even_ones_have_all():
    alike, opposite = np.tile(unit([[3, 4]]), (6, 1)), unit([[1, 0], [-1, 0], [0, 1], [0, -1]])

    assert (uniformity(alike), spread(alike)) == pytest.approx((0, 0), abs=1e-6)
    assert spread(opposite) == pytest.approx(1)
    # Of its three others, one lies at distance² 4 and two at distance² 2.
    assert uniformity(opposite) == pytest.approx(np.log((np.exp(-8) + 2 * np.exp(-4)) / 3))


def test_uniformity_equals_its_definition_whatever_the_block(monkeypatch):
    vectors = random_unit(40, 6)
    first, second = np.triu_indices(40, k=1)
    squares = ((vectors[first] - vectors[second]) ** 2).sum(axis=1)
    monkeypatch.setattr(evaluate, "BLOCK", 7)

    assert uniformity(vectors) == pytest.approx(np.log(np.exp(-2 * squares).mean()), rel=1e-5)


def test_views_are_looked_for_among_pictures_that_are_more():
    gallery = unit([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]])
    views = unit([[1, 0.9, 0], [0, 0.2, 1]])

    assert places(views, gallery, np.array([1, 2])).tolist() == [3, 1]


def test_agreement_is_told_picture_by_picture():
    fan = FAN.copy()
    fan[1] = [np.cos(np.radians(9)), np.sin(np.radians(9))]

    assert agreement(2, fan, FAN_LABELS).tolist() == [0.5, 0.5, 0, 1, 1]
