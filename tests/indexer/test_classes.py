import pytest

from indexer.classes import all_classes, create_class, merge_class, remove_class, update_class
from indexer.errors import ClassGone, NoSuchClass
from indexer.labels import clear, label, last_action
from indexer.removal import remove
from indexer.undo import undo
from model.errors import BadInput


def test_a_renamed_class_keeps_its_labels(engine, photos, ids, answers):
    label(engine, photos, ids[:2], "cat", "yes", "hand")

    renamed = update_class(engine, photos, "cat", " tabby ", "#123456")

    assert (renamed.name, renamed.colour) == ("tabby", "#123456")
    assert all_classes(engine, photos) == [renamed]
    assert answers() == {i: {"tabby": "yes"} for i in ids[:2]}


@pytest.mark.parametrize("name", ["", "  ", "dog", "gone", "x" * 101, "a\nb", "\x1b[2J"])
def test_a_class_cannot_take_a_bad_name_nor_that_of_another_present_or_removed_with_its_labels(
    engine, photos, ids, name
):
    for known in ("cat", "dog"):
        create_class(engine, photos, known)
    label(engine, photos, ids[:1], "gone", "yes", "hand")
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


def test_what_was_cleared_while_a_class_was_removed_does_not_come_back_with_it(engine, photos, ids, answers):
    label(engine, photos, ids[:1], "cat", "yes", "hand")
    label(engine, photos, ids[1:2], "dog", "yes", "hand")
    remove_class(engine, photos, "cat")
    clear(engine, photos, "hand")

    create_class(engine, photos, "cat")

    assert answers() == {}


def test_a_merge_counts_only_pictures_that_are_here(engine, home, photos, ids):
    label(engine, photos, ids[:3], "brik", "yes", "hand")
    create_class(engine, photos, "brick")
    remove(engine, home, photos, ids[:1])

    assert merge_class(engine, photos, "brik", "brick", preview=True) == 2
    assert merge_class(engine, photos, "brik", "brick") == 2


def test_a_label_for_a_class_that_was_shown_goes_to_it_whatever_it_is_called_by_now(engine, photos, ids, answers):
    for number, name in enumerate(("cat", "brik", "brick", "moon")):
        label(engine, photos, ids[number : number + 1], name, "yes", "hand")
    update_class(engine, photos, "cat", "tabby")
    merge_class(engine, photos, "brik", "brick")
    update_class(engine, photos, "brick", "wall")
    remove_class(engine, photos, "moon")
    names = [item.name for item in all_classes(engine, photos)]

    for name, meant in (("cat", "tabby"), ("tabby", "tabby"), ("brik", "wall"), ("brick", "wall")):
        label(engine, photos, ids[5:6], name, "yes", "hand", known=True)
        assert answers()[ids[5]] == {meant: "yes"}
    for gone in ("moon", "unicorn"):
        with pytest.raises(ClassGone, match=repr(gone)):
            label(engine, photos, ids[5:6], gone, "yes", "hand", known=True)
    assert [item.name for item in all_classes(engine, photos)] == names == ["tabby", "wall"]


def test_an_undone_merge_sends_no_label_to_the_other_class(engine, photos, ids):
    label(engine, photos, ids[:1], "brik", "yes", "hand")
    create_class(engine, photos, "brick")
    merge_class(engine, photos, "brik", "brick")
    undo(engine, photos)
    remove_class(engine, photos, "brik")

    with pytest.raises(ClassGone):
        label(engine, photos, ids[1:2], "brik", "yes", "hand", known=True)


def test_a_class_that_came_back_after_a_merge_and_was_removed_then_is_gone(engine, photos, ids):
    label(engine, photos, ids[:1], "brik", "yes", "hand")
    label(engine, photos, ids[1:2], "brick", "yes", "hand")
    merge_class(engine, photos, "brik", "brick")
    create_class(engine, photos, "brik")
    remove_class(engine, photos, "brik")

    with pytest.raises(ClassGone):
        label(engine, photos, ids[2:3], "brik", "yes", "hand", known=True)


def test_taking_an_answer_away_makes_no_class_and_brings_none_back(engine, photos, ids, answers):
    label(engine, photos, ids[:3], "cat", "yes", "hand")
    remove_class(engine, photos, "cat")

    unknown = label(engine, photos, ids[:1], "unicorn", "none", "hand")
    label(engine, photos, ids[:1], "cat", "none", "hand")
    names, said = [item.name for item in all_classes(engine, photos)], answers()
    create_class(engine, photos, "cat")

    assert (unknown.action, unknown.changed) == (0, 0)
    assert (names, said) == ([], {})
    assert answers() == {image_id: {"cat": "yes"} for image_id in ids[1:3]}


def test_an_answer_of_a_class_that_was_renamed_is_taken_away_by_the_name_that_was_shown(engine, photos, ids, answers):
    label(engine, photos, ids[:2], "cat", "yes", "hand")
    update_class(engine, photos, "cat", "tabby")

    label(engine, photos, ids[:1], "cat", "none", "hand", known=True)

    assert answers() == {ids[1]: {"tabby": "yes"}}


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


def test_a_merge_is_looked_at_before_it_is_done(engine, photos, ids, answers):
    label(engine, photos, ids[:2], "brik", "yes", "hand")
    label(engine, photos, ids[2:3], "brick", "yes", "hand")
    before, action = answers(), last_action(engine, photos)

    assert merge_class(engine, photos, "brik", "brick", preview=True) == 2
    assert (answers(), last_action(engine, photos)) == (before, action)


def test_an_unknown_class_is_named_in_the_error(engine, photos):
    with pytest.raises(NoSuchClass, match="'unicorn'"):
        remove_class(engine, photos, "unicorn")
