import numpy as np
import pytest

from model.paired import by_group, paired


def test_a_paired_interval_is_narrower_than_the_models_are_apart_from_picture_to_picture():
    rng = np.random.default_rng(0)
    hard = rng.random((1, 400))  # pictures differ widely, models by 2 points only
    noise = 0.05 * rng.normal(size=(1, 400))

    measured = paired("x", hard, hard + 0.02 + noise)

    assert measured["verdict"] == "better"
    assert measured["difference"] == pytest.approx(0.02, abs=0.006)
    assert measured["interval"][1] - measured["interval"][0] == pytest.approx(4 * 0.05 / 400**0.5, rel=0.2)


def test_the_worst_folder_is_named_with_its_gap_and_how_often_lot_gives_one_as_bad():
    names = [*"a" * 50, *"b" * 50, *"c" * 50, *"d" * 3]
    right = np.array([[1.0] * 100 + [0.2] * 50 + [0.0] * 3])

    found = by_group("recall", names, np.ones_like(right), right)

    assert [(g["name"], g["after"]) for g in found["groups"]] == [("c", pytest.approx(0.2)), ("a", 1), ("b", 1)]
    assert (found["worst"]["after"], found["left_out"]) == ("c", 1)
    assert found["gap"] == {"before": 0, "after": pytest.approx(110 / 153 - 0.2)}
    assert found["by_lot"] < 0.01


def test_the_worst_of_many_equal_folders_is_put_down_to_chance():
    rng = np.random.default_rng(0)
    names = [str(i) for i in range(40) for _ in range(10)]
    said = [by_group("recall", names, r, r)["by_lot"] < 0.05 for r in rng.random((40, 1, 400)).round()]

    assert sum(said) <= 6  # 2 of 40 on average


def test_groups_too_small_to_say_anything_are_none():
    right = np.ones((1, 9))

    assert by_group("recall", [*"aaaaabbbb"], right, right) is None
