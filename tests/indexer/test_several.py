"""Collections whose pictures may have several classes: the journal holds them as it holds one."""

import pytest

from indexer.catalog import collection_named
from indexer.classes import all_classes, create_class, merge_class, remove_class, update_class
from indexer.errors import SeveralClasses
from indexer.labelbook import LabelBook
from indexer.labels import answer_each, label
from indexer.several import allow_several
from indexer.undo import can_undo_redo, redo, undo
from model.errors import BadInput
from tests.indexer.helpers import events


@pytest.fixture
def several(engine, photos):
    allow_several(engine, photos, True)
    return collection_named(engine, photos.name)


def test_a_picture_has_several_classes_and_a_no_of_others(engine, several, ids, answers):
    label(engine, several, ids[:1], "cat", "yes", "hand")
    label(engine, several, ids[:1], "dog", "yes", "hand")
    label(engine, several, ids[:1], "sofa", "no", "hand")

    assert answers() == {ids[0]: {"cat": "yes", "dog": "yes", "sofa": "no"}}


def test_none_of_these_takes_every_class_away_and_a_class_takes_it_away(engine, several, ids, answers):
    label(engine, several, ids[:1], "cat", "yes", "hand")
    label(engine, several, ids[:1], "dog", "yes", "hand")
    label(engine, several, ids[:1], None, "none_of_these", "hand")
    none = answers()
    label(engine, several, ids[:1], "dog", "yes", "hand")

    assert none == {ids[0]: {"": "none_of_these"}}
    assert answers() == {ids[0]: {"dog": "yes"}}


def test_undo_and_redo_walk_through_every_step(engine, several, ids, answers):
    states = [answers()]
    for name, answer in [("cat", "yes"), ("dog", "yes"), ("cat", "no"), (None, "none_of_these"), ("sofa", "yes")]:
        label(engine, several, ids[:2], name, answer, "hand")
        states.append(answers())

    backwards = []
    while can_undo_redo(engine, several)[0]:
        undo(engine, several)
        backwards.append(answers())
    forwards = []
    while can_undo_redo(engine, several)[1]:
        redo(engine, several)
        forwards.append(answers())

    assert backwards == states[-2::-1]
    assert forwards == states[1:]


def test_rows_of_several_classes_are_one_action(engine, several, ids, answers):
    change = answer_each(engine, several, {ids[0]: {"cat": "yes", "dog": "yes"}, ids[1]: {"dog": "no"}}, "csv")
    given = answers()
    undo(engine, several)

    assert change.changed == 3
    assert given == {ids[0]: {"cat": "yes", "dog": "yes"}, ids[1]: {"dog": "no"}}
    assert answers() == {}


def test_two_classes_are_refused_where_a_picture_has_one_and_nothing_is_written(engine, photos, ids):
    with pytest.raises(SeveralClasses, match="'cat' and 'dog'"):
        answer_each(engine, photos, {ids[1]: {"cat": "yes"}, ids[0]: {"cat": "yes", "dog": "yes"}}, "csv")

    assert events(engine) == []
    assert all_classes(engine, photos) == []


def test_none_of_these_goes_with_no_class(engine, several, ids):
    with pytest.raises(SeveralClasses):
        answer_each(engine, several, {ids[0]: {"cat": "yes", "none of these": "yes"}}, "csv")


def test_it_cannot_be_turned_off_while_a_picture_has_two_classes(engine, several, ids, answers):
    label(engine, several, ids[:1], "cat", "yes", "hand")
    label(engine, several, ids[:1], "dog", "yes", "hand")

    with pytest.raises(SeveralClasses, match=f"image {ids[0]}: 'cat' and 'dog'"):
        allow_several(engine, several, False)

    assert collection_named(engine, several.name).multi_label
    assert answers() == {ids[0]: {"cat": "yes", "dog": "yes"}}


def test_what_a_removed_class_held_beside_another_does_not_come_back_when_there_is_one(engine, several, ids, answers):
    label(engine, several, ids[:1], "cat", "yes", "hand")
    label(engine, several, ids[:1], "dog", "yes", "hand")
    remove_class(engine, several, "cat")

    allow_several(engine, several, False)
    create_class(engine, several, "cat")

    assert answers() == {ids[0]: {"dog": "yes"}}


def test_undo_does_not_bring_two_classes_back_where_a_picture_has_one(engine, several, ids, answers):
    label(engine, several, ids[:1], "cat", "yes", "hand")
    label(engine, several, ids[:1], "dog", "yes", "hand")
    label(engine, several, ids[:1], "dog", "none", "hand")
    allow_several(engine, several, False)

    with pytest.raises(SeveralClasses, match="multi_label"):
        undo(engine, several)

    allow_several(engine, several, True)
    undo(engine, several)
    assert answers() == {ids[0]: {"cat": "yes", "dog": "yes"}}


def test_a_merge_keeps_what_is_known_of_the_other_class(engine, several, ids, answers):
    label(engine, several, ids[:1], "cat", "yes", "hand")
    label(engine, several, ids[:1], "dog", "no", "hand")
    label(engine, several, ids[1:2], "cat", "no", "hand")
    label(engine, several, ids[2:3], "cat", "yes", "hand")
    label(engine, several, ids[2:3], "dog", "yes", "hand")
    before = answers()

    merge_class(engine, several, "cat", "dog")
    merged = answers()
    undo(engine, several)

    assert merged == {ids[0]: {"dog": "yes"}, ids[2]: {"dog": "yes"}}  # no cat says nothing of dogs
    assert answers() == before


def test_merging_a_class_without_answers_can_be_undone_and_done_again(engine, photos):
    create_class(engine, photos, "cat")
    create_class(engine, photos, "dog")
    names = []

    merge_class(engine, photos, "cat", "dog")
    for step in (undo, redo, undo):
        names.append([each.name for each in all_classes(engine, photos)])
        step(engine, photos)
    names.append([each.name for each in all_classes(engine, photos)])

    assert names == [["dog"], ["cat", "dog"], ["dog"], ["cat", "dog"]]


def test_the_book_read_on_says_what_a_new_one_says(engine, several, ids):
    book = LabelBook()
    steps = [
        lambda: label(engine, several, ids[:3], "cat", "yes", "hand"),
        lambda: label(engine, several, ids[1:4], "dog", "no", "hand"),
        lambda: label(engine, several, ids[:1], None, "none_of_these", "hand"),
        lambda: label(engine, several, ids[1:2], "cat", "unsure", "hand"),
        lambda: undo(engine, several),
        lambda: update_class(engine, several, "cat", "kitten", None),
        lambda: remove_class(engine, several, "dog"),
    ]

    for step in steps:
        step()
        read = book.read(engine, several)
        assert (read.answers, read.labelled) == ((fresh := LabelBook().read(engine, several)).answers, fresh.labelled)

    assert read.answers == {ids[0]: {"none of these": True}, ids[1]: {"kitten": True}, ids[2]: {"kitten": True}}


def test_a_line_is_for_collections_of_several_classes(engine, photos):
    create_class(engine, photos, "cat")

    with pytest.raises(BadInput, match="have one class"):
        update_class(engine, photos, "cat", None, None, 0.8)
