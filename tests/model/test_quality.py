import numpy as np
import pytest
from scipy.stats import hypergeom

from model.interval import interval_of, wilson
from model.probe import Quality, assess
from model.quality import by_class, learning_curve, near_duplicates, reliability, still_to_find
from model.strength import Choice
from tests.model.test_probe import clusters


def quality_of(confusion, groups=None):
    """Labels that were answered so, of classes ant, bee, cow."""
    y, said = np.array([(i, j) for i, j in np.ndindex(3, 3) for _ in range(confusion[i][j])]).T
    groups = np.arange(len(y)) if groups is None else groups
    return Quality(("ant", "bee", "cow"), y, np.eye(3, dtype=np.float32)[said], groups, 5, {})


def test_precision_and_recall_are_those_of_the_confusion():
    confusion = [[8, 2, 0], [1, 9, 0], [1, 0, 0]]

    ant, bee, cow = by_class(quality_of(confusion))

    assert quality_of(confusion).confusion.tolist() == confusion
    assert (ant["precision"], ant["recall"]) == (0.8, 0.8)
    assert (bee["precision"], bee["recall"], bee["recall_interval"]) == (9 / 11, 0.9, pytest.approx(wilson(9, 10)))
    assert (cow["precision"], cow["precision_interval"], cow["recall"], cow["labels"]) == (None, None, 0, 1)


def test_ten_of_a_burst_make_no_figure_of_a_class_surer_than_one():
    confusion = [[4, 2, 0], [1, 7, 0], [1, 0, 1]]
    lone = quality_of(confusion)
    bursts = quality_of([[10 * n for n in row] for row in confusion], np.repeat(np.arange(16), 10))

    assert by_class(bursts)[:2] == [
        {**each, "labels": 10 * each["labels"]}
        | {key: pytest.approx(value) for key, value in each.items() if key.endswith("interval")}
        for each in by_class(lone)[:2]
    ]
    torn = quality_of([[10 * n for n in row] for row in confusion])
    narrow, wide = (np.ptp(by_class(each)[0]["recall_interval"]) for each in (torn, bursts))
    assert narrow < wide / 2
    (high,) = reliability(bursts.unseen, bursts.y, bursts.groups)
    assert high["interval"] == pytest.approx(reliability(lone.unseen, lone.y, lone.groups)[0]["interval"])


def test_reliability_counts_what_is_right_where_it_says_how_probable_it_is():
    p = np.array([[0.95, 0.05], [0.92, 0.08], [0.4, 0.6], [0.45, 0.55]])

    low, high = reliability(p, np.array([0, 1, 1, 1]), np.arange(4))

    assert (low["from"], low["to"], low["labels"], low["right"]) == (0.5, 0.7, 2, 1.0)
    assert low["said"] == pytest.approx(0.575)
    assert (high["from"], high["right"], high["interval"]) == (0.9, 0.5, pytest.approx(wilson(1, 2)))


def test_the_worth_of_more_labels_is_what_a_power_law_says():
    from model.quality import _worth

    sizes = np.array([20, 30, 40, 50])
    accuracy = 1 - 2 * sizes**-0.5

    assert _worth(sizes, accuracy, 50) == pytest.approx(2 * 50**-0.5 - 2 * 60**-0.5)
    assert _worth(sizes, np.full(4, 0.6), 50) == pytest.approx(0, abs=1e-9)


def test_the_curve_rises_where_more_labels_help():
    vectors, labels = clusters({str(number): 24 for number in range(5)}, noise=0.35)

    curve = learning_curve(vectors, labels, Choice(3e-3, 0.0))

    assert curve is not None
    assert [point["labels"] for point in curve["points"]] == [38, 58, 77, 96]  # of the 96 that a fold leaves
    accuracies = [point["accuracy"] for point in curve["points"]]
    assert accuracies[0] < accuracies[-1]
    low, high = curve["interval"]
    assert 0 <= low <= curve["worth"] <= high < 0.1
    assert all(p["interval"][0] < p["accuracy"] < p["interval"][1] for p in curve["points"])


def test_the_curve_of_copies_is_no_surer_than_that_of_the_pictures_copied():
    vectors, labels = clusters({"a": 20, "b": 20, "c": 20}, noise=0.5)
    four, groups = np.tile(vectors, (4, 1)), np.tile(np.arange(60), 4)

    once = learning_curve(vectors, labels, Choice(3e-3, 0.0))
    copied = learning_curve(four, labels * 4, Choice(3e-3, 0.0), groups)

    widths = [curve["points"][-1]["interval"][1] - curve["points"][-1]["interval"][0] for curve in (once, copied)]
    assert widths[1] == pytest.approx(widths[0], rel=0.35)  # torn apart, half of it
    torn = learning_curve(four, labels * 4, Choice(3e-3, 0.0))
    assert torn["points"][-1]["accuracy"] > copied["points"][-1]["accuracy"]


def test_labels_of_one_burst_are_worth_one_and_lone_ones_are_wilsons():
    right = np.array([True] * 30 + [False] * 10)

    assert interval_of(right) == wilson(30, 40)
    alone = interval_of(right, np.arange(40))
    assert alone == pytest.approx(wilson(30, 40), abs=1e-9)
    assert interval_of(np.repeat(right, 10), np.repeat(np.arange(40), 10)) == pytest.approx(alone, abs=1e-9)
    assert interval_of(np.ones(40, bool), np.arange(40) // 10) == wilson(4, 4)


@pytest.mark.parametrize(("size", "groups"), [(1, 12), (1, 60), (5, 3), (5, 6), (5, 12), (5, 60)])
def test_the_interval_of_a_share_holds_the_truth_nearly_as_often_as_it_says(size, groups):
    rng, held = np.random.default_rng(0), []
    for _ in range(400):
        each = rng.beta(2.4, 0.6, size=groups)  # how easy, a group; 0.8 on average
        right = rng.random((len(each), size)) < each[:, np.newaxis]
        low, high = interval_of(right.ravel(), np.repeat(np.arange(len(each)), size))
        held.append(low <= 0.8 <= high)

    assert np.mean(held) >= 0.91


@pytest.mark.parametrize("right", range(1, 10))
def test_answers_about_one_burst_are_worth_one_whatever_they_are(right):
    answers = np.arange(10) < right

    assert interval_of(answers, np.zeros(10, int)) == wilson(right / 10, 1)


def test_a_fold_whose_groups_hold_all_of_a_class_is_not_judged_and_the_others_are():
    rng = np.random.default_rng(0)
    groups = np.array([*np.repeat(range(4), 6), *[80] * 12, *[81] * 4])
    labels = ["b"] * 24 + ["a"] * 13 + ["b"] * 3
    vectors = rng.normal(size=(len(labels), 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    quality = assess(vectors, labels, groups=groups)

    assert 0 < quality.labels <= len(labels)
    learning_curve(vectors, labels, Choice(1.0, 1.0), groups)  # says nothing, or something


def test_a_class_with_its_first_label_takes_nothing_from_the_curve_of_the_others():
    vectors, labels = clusters({"a": 20, "b": 20, "c": 20, "new": 1}, noise=0.35)

    curve = learning_curve(vectors, labels, Choice(3e-3, 0.0))
    without = learning_curve(vectors[:60], labels[:60], Choice(3e-3, 0.0))

    assert [x["labels"] for x in curve["points"]] == [x["labels"] + 1 for x in without["points"]]
    assert curve["points"][-1]["accuracy"] == pytest.approx(without["points"][-1]["accuracy"], abs=0.05)


def test_there_is_no_curve_from_three_labels_a_class():
    assert learning_curve(*clusters({"a": 3, "b": 9}), Choice(3e-3, 0.0)) is None


def test_pictures_of_one_burst_are_one_group_and_others_stay_apart():
    vectors, _ = clusters({"a": 6, "b": 6}, noise=0.5)
    burst = vectors[:1] + 1e-3 * np.random.default_rng(0).normal(size=(3, vectors.shape[1])).astype(np.float32)
    burst /= np.linalg.norm(burst, axis=1, keepdims=True)

    groups = near_duplicates(np.concatenate([vectors, burst]), np.array([*range(11), 10, 90, 91, 92]))

    assert len({groups[0], *groups[12:]}) == 1
    assert groups[10] == groups[11]  # the same folder
    assert len(set(groups)) == 11


def test_a_split_that_keeps_copies_together_does_not_pretend():
    vectors, labels = clusters({"a": 10, "b": 10, "c": 10}, noise=0.8)
    rng = np.random.default_rng(0)
    twice = np.concatenate([vectors, vectors + 0.01 * rng.normal(size=vectors.shape)]).astype(np.float32)
    twice /= np.linalg.norm(twice, axis=1, keepdims=True)

    random = assess(twice, labels * 2)
    honest = assess(twice, labels * 2, groups=near_duplicates(twice))

    assert random.accuracy > honest.accuracy + 0.2
    assert honest.accuracy == pytest.approx(assess(vectors, labels).accuracy, abs=0.2)


def test_how_many_are_still_to_be_found_has_an_exact_interval():
    said = still_to_find(sample=50, of_it=5, total=400, found=10)

    low, high = (bound + 10 for bound in said["interval"])
    assert said["estimate"] == 30
    assert hypergeom.sf(4, 400, low, 50) >= 0.025 > hypergeom.sf(4, 400, low - 1, 50)
    assert hypergeom.cdf(5, 400, high, 50) >= 0.025 > hypergeom.cdf(5, 400, high + 1, 50)


def test_a_sample_of_everything_leaves_no_doubt():
    assert still_to_find(sample=40, of_it=7, total=40, found=7) == {"estimate": 0, "interval": [0, 0]}


@pytest.mark.parametrize("whole", [0, 3, 40, 297])
def test_the_interval_holds_the_truth_as_often_as_it_says(whole):
    rng, total = np.random.default_rng(0), 300
    drawn = rng.hypergeometric(whole, total - whole, 30, size=400)

    held = [low <= whole <= high for low, high in (still_to_find(30, int(k), total, 0)["interval"] for k in drawn)]

    assert np.mean(held) >= 0.95
