import pytest

from indexer.classes import all_classes, create_class, remove_class, update_class
from indexer.errors import NoSuchClass
from indexer.labels import clear, label, last_action
from indexer.undo import undo
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


def test_an_unknown_class_is_named_in_the_error(engine, photos):
    with pytest.raises(NoSuchClass, match="'unicorn'"):
        remove_class(engine, photos, "unicorn")
