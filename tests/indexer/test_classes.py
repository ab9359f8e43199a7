import pytest

from indexer.classes import all_classes, create_class, merge_class, remove_class, update_class
from indexer.errors import NoSuchClass
from indexer.labels import clear, label, last_action
from indexer.undo import redo, undo
from model.errors import BadInput


def test_a_renamed_class_keeps_its_labels(engine, photos, ids, answers):
    label(engine, photos, ids[:2], "cat", "yes", "hand")

    renamed = update_class(engine, photos, "cat", " tabby ", "#123456")

    assert (renamed.name, renamed.colour) == ("tabby", "#123456")
    assert all_classes(engine, photos) == [renamed]
    assert answers() == {i: {"tabby": "yes"} for i in ids[:2]}


@pytest.mark.parametrize("name", ["", "  ", "dog", "gone", "x" * 101, "a\nb", "\x1b[2J"])
def test_a_class_cannot_take_a_bad_name_nor_that_of_another_class_present_or_removed(engine, photos, name):
    for known in ("cat", "dog", "gone"):
        create_class(engine, photos, known)
    remove_class(engine, photos, "gone")

    with pytest.raises(BadInput):
        update_class(engine, photos, "cat", name, None)

    assert [item.name for item in all_classes(engine, photos)] == ["cat", "dog"]


def test_a_removed_class_hides_its_answers_and_comes_back_with_them(engine, photos, ids, answers):
    label(engine, photos, ids[:2], "cat", "yes", "hand")
    remove_class(engine, photos, "cat")
    hidden = (answers(), all_classes(engine, photos))

    create_class(engine, photos, "cat")

    assert hidden == ({}, [])
    assert answers() == {i: {"cat": "yes"} for i in ids[:2]}


def test_an_image_labelled_while_its_class_was_removed_does_not_have_two_when_it_comes_back(
    engine, photos, ids, answers
):
    label(engine, photos, ids[:2], "cat", "yes", "hand")
    remove_class(engine, photos, "cat")
    label(engine, photos, ids[:1], "dog", "yes", "hand")

    create_class(engine, photos, "cat")

    assert answers() == {ids[0]: {"dog": "yes"}, ids[1]: {"cat": "yes"}}


def test_what_was_undone_or_cleared_while_a_class_was_removed_does_not_come_back_with_it(engine, photos, ids, answers):
    label(engine, photos, ids[:1], "cat", "yes", "hand")
    label(engine, photos, ids[1:2], "dog", "yes", "hand")
    label(engine, photos, ids[2:3], "cat", "yes", "hand")
    remove_class(engine, photos, "cat")
    undo(engine, photos)
    create_class(engine, photos, "cat")
    after_undo = answers()
    remove_class(engine, photos, "cat")
    clear(engine, photos, "hand")
    create_class(engine, photos, "cat")

    assert after_undo == {ids[0]: {"cat": "yes"}, ids[1]: {"dog": "yes"}}
    assert answers() == {}


def test_whatever_changes_the_classes_is_seen_by_whoever_fitted_a_probe(engine, photos, ids):
    label(engine, photos, ids[:1], "cat", "yes", "hand")

    for change in (
        lambda: update_class(engine, photos, "cat", "tabby", None),
        lambda: remove_class(engine, photos, "tabby"),
        lambda: create_class(engine, photos, "tabby"),
        lambda: undo(engine, photos),
    ):
        before = last_action(engine, photos)
        change()
        assert last_action(engine, photos) > before


def test_classes_keep_their_order_and_have_colours_that_differ(engine, photos):
    for name in ("zebra", "ant", "mole"):
        create_class(engine, photos, name)

    found = all_classes(engine, photos)

    assert [item.name for item in found] == ["zebra", "ant", "mole"]
    assert len({item.colour for item in found}) == 3
    assert create_class(engine, photos, "ant") == found[1]


def test_a_key_is_chosen_and_the_class_that_had_it_takes_the_one_that_becomes_free(engine, photos):
    for name in ("ant", "bee", "cat", "dog"):
        create_class(engine, photos, name)

    update_class(engine, photos, "dog", key=1)
    swapped = [item.name for item in all_classes(engine, photos)]
    with pytest.raises(BadInput, match="choose one of 1 to 4"):
        update_class(engine, photos, "dog", key=5)
    create_class(engine, photos, "eel")
    undo(engine, photos)

    assert swapped == ["dog", "bee", "cat", "ant"]
    assert [item.name for item in all_classes(engine, photos)] == ["ant", "bee", "cat", "dog", "eel"]


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

    for before in states[-2::-1]:
        undo(engine, photos)
        assert state() == before
    for after in states[1:]:
        redo(engine, photos)
        assert state() == after
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


def test_a_merge_is_looked_at_before_it_is_done(engine, photos, ids, answers):
    label(engine, photos, ids[:2], "brik", "yes", "hand")
    label(engine, photos, ids[2:3], "brick", "yes", "hand")
    before, action = answers(), last_action(engine, photos)

    assert merge_class(engine, photos, "brik", "brick", preview=True) == 2
    assert (answers(), last_action(engine, photos)) == (before, action)


def test_an_unknown_class_is_named_in_the_error(engine, photos):
    with pytest.raises(NoSuchClass, match="'unicorn'"):
        remove_class(engine, photos, "unicorn")
