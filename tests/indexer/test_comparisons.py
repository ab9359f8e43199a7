"""Blind comparisons: which side was which is drawn and kept, and the answers are counted with an interval."""

import pytest
from scipy.stats import binomtest

from indexer.comparisons import FORGOTTEN, Comparison, answer, answered, begin, forget, tally
from indexer.errors import NoSuchComparison
from indexer.schema import comparisons
from model.errors import BadInput
from model.interval import exact

MODELS = ("aaaa", "bbbb")


def votes(*answers, models=MODELS, first=1):
    """Comparisons of pictures 1, 2, 3, ...; each answer says which model was preferred, or the same."""
    found = []
    for number, said in enumerate(answers, first):
        left, right = models if number % 2 else models[::-1]
        side = {left: "left", right: "right"}.get(said, "same")
        found.append(Comparison(number, number, left, right, side))
    return found


def test_wins_are_counted_whichever_side_the_model_stood_on():
    counted = tally(votes("aaaa", "aaaa", "bbbb", "same", "aaaa"), MODELS)

    assert (counted.wins, counted.same, counted.votes) == ((3, 1), 1, 5)
    assert counted.share == 0.75
    assert tally(votes("aaaa", "aaaa", "bbbb", "same", "aaaa"), MODELS[::-1]).wins == (1, 3)


def test_a_model_is_better_once_the_interval_leaves_one_half_out():
    five, six = (tally(votes(*["bbbb"] * n), MODELS) for n in (5, 6))

    assert five.interval == pytest.approx((0, 1 - 0.025 ** (1 / 5)))  # in closed form, where all are for one
    assert six.interval == pytest.approx((0, 1 - 0.025 ** (1 / 6)))
    assert (five.better, six.better) == (None, "bbbb")  # one in 16, and one in 32, by lot


def test_the_interval_is_the_one_that_scipy_calls_exact():
    for right, total in ((0, 1), (1, 1), (3, 10), (17, 20), (50, 100)):
        low, high = binomtest(right, total).proportion_ci(method="exact")
        assert exact(right, total) == pytest.approx((low, high))


def test_the_same_everywhere_says_nothing():
    counted = tally(votes("same", "same"), MODELS)

    assert (counted.share, counted.interval, counted.better) == (None, None, None)


def test_of_a_picture_that_was_asked_twice_the_newest_answer_counts():
    found = [*votes("aaaa"), Comparison(2, 1, "bbbb", "aaaa", "left")]

    counted = tally(found, MODELS)

    assert counted.wins == (0, 1)
    assert counted.last == 2


def test_other_models_answers_do_not_count():
    assert tally(votes("aaaa", models=("aaaa", "cccc")), MODELS).votes == 0


def test_a_model_is_not_compared_with_itself():
    with pytest.raises(BadInput, match="two different models"):
        tally([], ("aaaa", "aaaa"))


def test_answers_are_kept_changed_and_taken_back(engine, photos, ids):
    first, second = (begin(engine, photos, image_id, MODELS) for image_id in ids[:2])

    assert answered(engine, photos) == []
    told = answer(engine, photos, first.id, "left")
    answer(engine, photos, second.id, "same")
    answer(engine, photos, second.id, "right")

    assert {told.left, told.right} == set(MODELS)
    assert [(one.image_id, one.answer) for one in answered(engine, photos)] == [
        (ids[0], "left"),
        (ids[1], "right"),
    ]
    forget(engine, photos, second.id)
    assert [one.id for one in answered(engine, photos)] == [first.id]
    with pytest.raises(NoSuchComparison):
        answer(engine, photos, second.id, "left")
    with pytest.raises(NoSuchComparison):
        forget(engine, photos, second.id)


def test_the_sides_are_drawn_by_lot(engine, photos, ids):
    lefts = {begin(engine, photos, ids[0], MODELS).left for _ in range(40)}

    assert lefts == set(MODELS)  # 40 of one kind: once in a million million


def test_what_nobody_answered_is_forgotten_after_a_day(engine, photos, ids):
    old = begin(engine, photos, ids[0], MODELS)
    kept = begin(engine, photos, ids[1], MODELS)
    answer(engine, photos, kept.id, "left")
    with engine.begin() as connection:
        connection.execute(comparisons.update().values(created_at="2020-01-01T00:00:00.000+00:00"))

    begin(engine, photos, ids[2], MODELS)

    assert FORGOTTEN.days == 1
    with pytest.raises(NoSuchComparison):
        answer(engine, photos, old.id, "left")
    assert [one.id for one in answered(engine, photos)] == [kept.id]
