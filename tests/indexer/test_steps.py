"""What is done to classes and labels, as steps: each is undone and done again by itself, and named."""

import random
from contextlib import suppress

import pytest

from indexer.classes import all_classes, create_class, merge_class, remove_class, update_class
from indexer.errors import ClassExists
from indexer.labels import label, label_each
from indexer.schema import actions
from indexer.undo import redo, stacks, undo
from tests.indexer.helpers import assert_goes_back_and_forth


def test_removing_a_class_and_its_coming_back_are_steps_of_undo(engine, photos, ids, answers):
    def state():
        return [item.name for item in all_classes(engine, photos)], answers()

    label(engine, photos, ids[:2], "cat", "yes", "hand")
    label(engine, photos, ids[2:3], "dog", "yes", "hand")
    states = [state()]
    for act in (
        lambda: remove_class(engine, photos, "cat"),
        lambda: label(engine, photos, ids[:1], "dog", "yes", "hand"),  # whose cat is hidden, and stays so when undone
        lambda: label(engine, photos, ids[3:4], "cat", "yes", "hand"),  # the class comes back in the same step
        lambda: remove_class(engine, photos, "cat"),
        lambda: create_class(engine, photos, "cat"),
    ):
        act()
        states.append(state())

    assert states[1] == (["dog"], {ids[2]: {"dog": "yes"}})
    assert states[3] == (["cat", "dog"], {ids[0]: {"dog": "yes"}, ids[1]: {"cat": "yes"}, ids[2]: {"dog": "yes"},
                                          ids[3]: {"cat": "yes"}})  # fmt: skip
    assert_goes_back_and_forth(engine, photos, states, state)


def anything(engine, photos, ids, rng):
    """One step, or none where it cannot be."""
    names = [item.name for item in all_classes(engine, photos)]
    some, name = rng.sample(ids, 2), rng.choice(names or "a")
    match rng.randrange(7) if len(names) > 1 else 0:
        case 0:
            label(engine, photos, some, rng.choice("abcd"), "yes", "hand")
        case 1:
            label(engine, photos, some, name, rng.choice(["no", "none"]), "hand")
        case 2:
            remove_class(engine, photos, name)
        case 3:
            merge_class(engine, photos, *rng.sample(names, 2))
        case 4:
            update_class(engine, photos, name, rng.choice("abcd"))
        case 5:
            update_class(engine, photos, name, colour=f"#{rng.randrange(10**6):06}", key=1)
        case 6:
            create_class(engine, photos, rng.choice("abcd"))


def test_whatever_is_done_to_classes_and_labels_is_undone_step_by_step(engine, photos, ids, answers):
    def state():
        return [(item.name, item.colour) for item in all_classes(engine, photos)], answers()

    for name in "abcd":
        create_class(engine, photos, name)
    rng, states = random.Random(0), [state()]
    for _ in range(80):
        steps = len(taken_back(engine, photos))
        with suppress(ClassExists):
            anything(engine, photos, ids, rng)
        if len(taken_back(engine, photos)) > steps:
            states.append(state())
    assert len(states) > 40

    for before in states[-2::-1]:
        undo(engine, photos)
        assert told(state()) == told(before)
    for after in states[1:]:
        redo(engine, photos)
        assert told(state()) == told(after)


def taken_back(engine, photos):
    """What undo could take back."""
    with engine.connect() as connection:
        return stacks(connection, photos)[0]


def told(state):
    """What can be seen of labels: a class that was made on the way stays, without any."""
    shown, said = state
    used = {name for given in said.values() for name in given}
    return [each for each in shown if each[0] in used], said


def test_a_class_takes_the_name_of_one_that_was_merged_into_it_and_undo_gives_both_back(engine, photos, ids, answers):
    label(engine, photos, ids[:1], "brick", "yes", "hand")
    label(engine, photos, ids[1:2], "wall", "yes", "hand")
    before = answers()
    merge_class(engine, photos, "wall", "brick")
    merged = answers()

    renamed = update_class(engine, photos, "brick", "wall")
    label(engine, photos, ids[2:3], "brick", "yes", "hand")  # that name is free again
    after = answers()
    for expected in ({i: {"wall": "yes"} for i in ids[:2]}, merged, before):
        undo(engine, photos)
        assert answers() == expected
    for _ in range(3):
        redo(engine, photos)

    assert renamed.name == "wall"
    assert answers() == after == {ids[0]: {"wall": "yes"}, ids[1]: {"wall": "yes"}, ids[2]: {"brick": "yes"}}


def test_an_undo_names_the_action_that_it_took_back(engine, photos, ids):
    def step():
        found = undo(engine, photos).step
        redo(engine, photos)
        assert found is not None
        return (found.kind, found.class_name, found.to, found.answer, found.images)

    said = []
    for act in (
        lambda: label(engine, photos, ids[:3], "cat", "yes", "hand"),
        lambda: label(engine, photos, ids[:2], "dog", "yes", "hand"),  # that they are no cats goes without saying
        lambda: label(engine, photos, ids[:1], "cat", "no", "hand"),
        lambda: label(engine, photos, ids[:1], None, "unsure", "hand"),
        lambda: label(engine, photos, ids[1:2], None, "none_of_these", "hand"),
        lambda: label(engine, photos, ids[:2], None, "none", "hand"),
        lambda: label_each(engine, photos, {ids[0]: "cat", ids[1]: "dog"}, "csv"),
        lambda: merge_class(engine, photos, "dog", "cat"),
        lambda: update_class(engine, photos, "cat", "dog", key=1),
        lambda: update_class(engine, photos, "dog", colour="#123456"),
        lambda: remove_class(engine, photos, "dog"),
        lambda: create_class(engine, photos, "dog"),
    ):
        act()
        said.append(step())

    assert said == [
        ("labels", "cat", None, "yes", 3),
        ("labels", "dog", None, "yes", 2),
        ("labels", "cat", None, "no", 1),
        ("labels", None, None, "unsure", 1),
        ("labels", None, None, "none_of_these", 1),
        ("labels", None, None, "none", 2),
        ("labels", None, None, None, 2),
        ("merge", "dog", "cat", None, 1),
        ("rename", "cat", "dog", None, 0),
        ("change", "dog", None, None, 0),
        ("remove", "dog", None, None, 0),
        ("return", "dog", None, None, 0),
    ]


def test_a_label_that_only_brought_its_class_back_is_undone_by_that_name(engine, photos, ids):
    label(engine, photos, ids[:2], "cat", "yes", "hand")
    remove_class(engine, photos, "cat")
    label(engine, photos, ids[:1], "cat", "yes", "hand")

    step = undo(engine, photos).step

    assert step is not None
    assert (step.kind, step.class_name, step.answer) == ("return", "cat", None)
    assert all_classes(engine, photos) == []


def test_every_change_of_a_class_is_one_step_of_undo_and_redo_in_order_with_labels(engine, photos, ids, answers):
    def state():
        return [(item.name, item.colour) for item in all_classes(engine, photos)], answers()

    label(engine, photos, ids[:2], "brik", "yes", "hand")
    label(engine, photos, ids[2:3], "brick", "yes", "hand")
    label(engine, photos, ids[3:4], "moon", "yes", "hand")
    states = [state()]
    for act in (
        lambda: update_class(engine, photos, "moon", "the moon", "#123456", key=1),
        lambda: label(engine, photos, ids[4:5], "the moon", "yes", "hand"),
        lambda: merge_class(engine, photos, "brik", "brick"),
        lambda: update_class(engine, photos, "brick", "wall"),
        lambda: label(engine, photos, ids[3:4], "wall", "yes", "hand"),
    ):
        act()
        states.append(state())
    update_class(engine, photos, "wall", "wall", None, key=2)  # which it is: that is no step

    assert_goes_back_and_forth(engine, photos, states, state)
    assert len(states) == len({str(each) for each in states}) == 6


def test_undo_gives_a_name_back_that_another_class_has_taken_meanwhile(engine, photos, ids, answers):
    label(engine, photos, ids[:1], "cat", "yes", "hand")
    update_class(engine, photos, "cat", "tabby")
    label(engine, photos, ids[1:2], "cat", "yes", "hand")  # another class of that name

    for _ in range(2):
        undo(engine, photos)
    before = answers()
    for _ in range(2):
        redo(engine, photos)

    assert before == {ids[0]: {"cat": "yes"}}
    assert answers() == {ids[0]: {"tabby": "yes"}, ids[1]: {"cat": "yes"}}


@pytest.mark.parametrize("said", [True, False], ids=["hidden class named", "by its answers"])
def test_a_merge_of_an_older_version_is_undone_and_done_again(engine, photos, ids, answers, said):
    label(engine, photos, ids[:2], "brik", "yes", "hand")
    label(engine, photos, ids[2:3], "brick", "yes", "hand")
    hidden = all_classes(engine, photos)[0].id
    merge_class(engine, photos, "brik", "brick")
    with engine.begin() as connection:  # as it wrote merges down
        merge = actions.c.source == "merge"
        connection.execute(actions.update().where(merge).values(changes=None, hid_class=hidden if said else None))
    merged = answers()

    back = undo(engine, photos).step
    undone = answers()
    redo(engine, photos)

    assert (back.kind, back.class_name, back.to) == ("merge", "brik", "brick")
    assert undone == {ids[0]: {"brik": "yes"}, ids[1]: {"brik": "yes"}, ids[2]: {"brick": "yes"}}
    assert answers() == merged
    assert [item.name for item in all_classes(engine, photos)] == ["brick"]
