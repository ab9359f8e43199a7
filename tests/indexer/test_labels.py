import threading

import pytest
from sqlalchemy import func, select

from indexer.catalog import create_collection, open_catalog
from indexer.classes import all_classes, create_class, merge_class, remove_class, update_class
from indexer.errors import NoSuchImage, NothingToUndo
from indexer.labels import (
    answer_each,
    clear,
    current_labels,
    history,
    label,
    label_each,
    label_unlabelled,
    last_action,
)
from indexer.removal import remove
from indexer.schema import label_events, now
from indexer.undo import can_undo_redo, redo, undo
from model.errors import BadInput
from tests.indexer.helpers import assert_goes_back_and_forth, events, fill


def test_an_answer_stands_with_its_time_and_its_source(engine, photos, ids):
    change = label(engine, photos, ids[:2], "cat", "yes", "csv")

    assert change.changed == 2
    found = current_labels(engine, photos)
    assert [(x.image_id, x.class_name, x.answer, x.source) for x in found] == [
        (i, "cat", "yes", "csv") for i in ids[:2]
    ]
    assert found[0].at <= now()


def test_what_no_open_image_is_given_makes_no_class(engine, photos, ids):
    label(engine, photos, ids[:1], "cat", "yes", "hand")

    change = answer_each(engine, photos, {ids[0]: {"dog": "yes"}}, "suggestion", open_only=True)

    assert (change.action, change.changed) == (0, 0)
    assert [each.name for each in all_classes(engine, photos)] == ["cat"]


@pytest.mark.parametrize("answer", ["yes", "no", "unsure"])
def test_every_answer_can_be_given_and_taken_away(engine, photos, ids, answers, answer):
    label(engine, photos, ids[:1], "cat", answer, "hand")
    given = answers()
    label(engine, photos, ids[:1], "cat", "none", "hand")

    assert given == {ids[0]: {"cat": answer}}
    assert answers() == {}


def test_an_image_has_one_class_at_most(engine, photos, ids, answers):
    label(engine, photos, ids[:2], "cat", "yes", "hand")
    label(engine, photos, ids[:1], "dog", "yes", "hand")

    assert answers() == {ids[0]: {"dog": "yes"}, ids[1]: {"cat": "yes"}}


def test_a_no_about_one_class_leaves_the_answer_about_another(engine, photos, ids, answers):
    label(engine, photos, ids[:1], "cat", "yes", "hand")
    label(engine, photos, ids[:1], "dog", "no", "hand")

    assert answers() == {ids[0]: {"cat": "yes", "dog": "no"}}


def test_the_same_answer_again_is_no_action(engine, photos, ids):
    label(engine, photos, ids, "cat", "yes", "hand")
    before = (events(engine), last_action(engine, photos))

    change = label(engine, photos, ids, "cat", "yes", "hand")

    assert (change.action, change.changed) == (0, 0)
    assert (events(engine), last_action(engine, photos)) == before


def test_the_journal_only_grows_whatever_is_done(engine, photos, ids):
    def steps():
        yield label(engine, photos, ids, "cat", "yes", "hand")
        yield label(engine, photos, ids[:3], "dog", "yes", "hand")
        yield undo(engine, photos)
        yield redo(engine, photos)
        yield update_class(engine, photos, "dog", "hound", None)
        yield remove_class(engine, photos, "hound")
        yield label(engine, photos, ids[:1], "hound", "none", "hand")
        yield clear(engine, photos, "hand")
        yield undo(engine, photos)

    before: list[tuple] = []

    for _ in steps():
        after = events(engine)
        assert after[: len(before)] == before
        before = after
    assert len(before) > 20


def test_undo_and_redo_go_back_and_forth_over_single_and_bulk_actions(engine, photos, ids, answers):
    states = [answers()]
    for images_, name, answer in (
        (ids[:1], "cat", "yes"),
        (ids, "dog", "yes"),
        (ids[2:4], "cat", "unsure"),
        (ids[:1], "dog", "none"),
    ):
        label(engine, photos, images_, name, answer, "hand")
        states.append(answers())
    label_each(engine, photos, {ids[0]: "cat", ids[1]: "bird", ids[5]: "cat"}, "csv")
    states.append(answers())
    clear(engine, photos, "hand")
    states.append(answers())
    assert len({str(state) for state in states[1:-1]}) == 5

    for state in reversed(states[:-1]):
        undo(engine, photos)
        assert answers() == state
    assert can_undo_redo(engine, photos) == (False, True)
    for state in states[1:]:
        redo(engine, photos)
        assert answers() == state
    assert can_undo_redo(engine, photos) == (True, False)
    for state in reversed(states[3:-1]):
        undo(engine, photos)
        assert answers() == state


def test_a_new_label_ends_what_could_be_done_again(engine, photos, ids, answers):
    label(engine, photos, ids[:1], "cat", "yes", "hand")
    label(engine, photos, ids[1:2], "cat", "yes", "hand")
    undo(engine, photos)
    label(engine, photos, ids[2:3], "dog", "yes", "hand")

    with pytest.raises(NothingToUndo, match="do again"):
        redo(engine, photos)
    undo(engine, photos)
    undo(engine, photos)

    assert answers() == {}
    with pytest.raises(NothingToUndo, match="undo"):
        undo(engine, photos)


def test_undo_stays_within_its_collection(engine, photos, ids, answers):
    other = create_collection(engine, "other")
    label(engine, photos, ids[:1], "cat", "yes", "hand")
    label(engine, other, fill(engine, other, 1), "cat", "yes", "hand")

    undo(engine, other)

    assert answers() == {ids[0]: {"cat": "yes"}}
    assert can_undo_redo(engine, other) == (False, True)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb"])
def test_a_label_with_a_bad_class_name_changes_nothing(engine, photos, ids, answers, name):
    with pytest.raises(BadInput, match="class needs a name"):
        label(engine, photos, ids, name, "yes", "hand")

    assert (answers(), all_classes(engine, photos)) == ({}, [])


def test_labels_of_an_image_that_is_not_there_are_refused_whole(engine, home, photos, ids, answers):
    other = create_collection(engine, "other")
    [foreign] = fill(engine, other, 1)
    remove(engine, home, photos, ids[5:])

    for missing in (foreign, ids[5], 10**9):
        with pytest.raises(NoSuchImage, match=f"Image {missing} "):
            label(engine, photos, [ids[0], missing], "cat", "yes", "hand")

    assert answers() == {}


def test_an_answer_that_is_none_of_the_four_is_refused(engine, photos, ids):
    with pytest.raises(BadInput, match="Say yes, no, unsure or none"):
        label(engine, photos, ids, "cat", "perhaps", "hand")  # type: ignore[arg-type]


def test_only_images_without_an_answer_take_the_class_of_their_folder(engine, photos, ids, answers):
    label(engine, photos, ids[:1], "cat", "no", "hand")

    count = label_unlabelled(engine, photos, {ids[0]: ["cat"], ids[1]: ["dog", "cat"], 10**9: ["cat"]}, "folders")

    assert count == 1
    assert answers() == {ids[0]: {"cat": "no"}, ids[1]: {"cat": "yes"}}


def test_the_history_of_an_image_tells_every_answer_newest_first(engine, photos, ids):
    label(engine, photos, ids[:1], "cat", "yes", "csv")
    label(engine, photos, ids[:1], "dog", "yes", "hand")
    undo(engine, photos)

    told = [(item["class"], item["answer"], item["source"]) for item in history(engine, ids[0])]

    assert sorted(told[:2]) == [("cat", "yes", "undo"), ("dog", "none", "undo")]
    assert sorted(told[2:4]) == [("cat", "none", "hand"), ("dog", "yes", "hand")]
    assert told[4:] == [("cat", "yes", "csv")]


def test_thousands_of_images_are_labelled_and_undone_in_one_action(engine, photos, answers):
    ids = fill(engine, photos, 3000)

    change = label(engine, photos, ids, "cat", "yes", "hand")
    label(engine, photos, ids[:2000], "dog", "yes", "hand")
    undo(engine, photos)

    assert change.changed == 3000
    assert answers() == {i: {"cat": "yes"} for i in ids}


def test_labels_given_by_many_threads_at_once_are_all_there(home, database, engine, photos):
    ids = fill(engine, photos, 40)
    failures: list[BaseException] = []

    def work(part: int) -> None:
        mine = open_catalog(home, database)
        try:
            for image_id in ids[part::4]:
                label(mine, photos, [image_id], f"class {part}", "yes", "hand")
        except BaseException as error:
            failures.append(error)
        finally:
            mine.dispose()

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert {x.image_id: x.class_name for x in current_labels(engine, photos)} == {
        image_id: f"class {position % 4}" for position, image_id in enumerate(ids)
    }


def test_threads_that_disagree_about_an_image_leave_it_with_one_class(home, database, engine, photos, ids):
    def work(name: str) -> None:
        mine = open_catalog(home, database)
        for _ in range(5):
            label(mine, photos, ids, name, "yes", "hand")
        mine.dispose()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("cat", "dog", "bird")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(x.image_id for x in current_labels(engine, photos)) == ids
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(label_events)).scalar() >= len(ids)


@pytest.mark.parametrize("answer", ["none_of_these", "unsure"])
def test_an_answer_about_all_classes_takes_the_place_of_a_class_and_gives_way_to_one(engine, photos, ids, answer):
    label(engine, photos, ids[:1], "cat", "yes", "hand")

    label(engine, photos, ids[:1], None, answer, "hand")
    instead = [(x.class_name, x.answer) for x in current_labels(engine, photos)]
    label(engine, photos, ids[:1], "dog", "yes", "hand")
    afterwards = [(x.class_name, x.answer) for x in current_labels(engine, photos)]
    undo(engine, photos)
    undo(engine, photos)

    assert instead == [("", answer)]
    assert afterwards == [("dog", "yes")]
    assert [(x.class_name, x.answer) for x in current_labels(engine, photos)] == [("cat", "yes")]
    assert [item.name for item in all_classes(engine, photos)] == ["cat", "dog"]


def test_none_without_a_class_takes_every_answer_of_those_images_away(engine, photos, ids, answers):
    label(engine, photos, ids[:3], "cat", "yes", "hand")
    label(engine, photos, ids[:3], "dog", "no", "hand")

    change = label(engine, photos, ids[1:3], None, "none", "hand")
    given = answers()
    undo(engine, photos)

    assert (change.changed, given) == (4, {ids[0]: {"cat": "yes", "dog": "no"}})
    assert set(answers()) == set(ids[:3])


def test_a_class_cannot_have_the_name_of_an_answer(engine, photos):
    for name in ("none of these", "unsure"):
        with pytest.raises(BadInput, match="an answer of its own"):
            create_class(engine, photos, name)


def test_yes_and_no_need_a_class(engine, photos, ids):
    for answer in ("yes", "no"):
        with pytest.raises(BadInput, match="of a class"):
            label(engine, photos, ids[:1], None, answer, "hand")


def test_the_history_says_who_and_how(engine, photos, ids):
    label(engine, photos, ids[:1], "cat", "yes", "suggestion", by="Ada")
    label(engine, photos, ids[:1], None, "none_of_these", "hand")

    newest, second, oldest = history(engine, ids[0])

    assert (oldest["class"], oldest["answer"], oldest["source"], oldest["by"]) == ("cat", "yes", "suggestion", "Ada")
    assert {(x["class"], x["answer"], x["by"]) for x in (newest, second)} == {
        ("cat", "none", None), (None, "none_of_these", None),
    }  # fmt: skip


def test_a_merged_class_gives_its_images_away_and_undo_brings_it_back(engine, photos, ids, answers):
    label(engine, photos, ids[:2], "cat", "yes", "hand")
    label(engine, photos, ids[2:3], "tiger", "yes", "hand")
    label(engine, photos, ids[3:4], "tiger", "no", "hand")

    moved = merge_class(engine, photos, "tiger", "cat")
    merged, known = answers(), [item.name for item in all_classes(engine, photos)]
    undo(engine, photos)

    assert (moved, known) == (1, ["cat"])
    assert merged == {**{i: {"cat": "yes"} for i in ids[:3]}, ids[3]: {"cat": "no"}}
    assert answers() == {**{i: {"cat": "yes"} for i in ids[:2]}, ids[2]: {"tiger": "yes"}, ids[3]: {"tiger": "no"}}
    assert [item.name for item in all_classes(engine, photos)] == ["cat", "tiger"]


def test_a_class_cannot_be_merged_into_itself(engine, photos):
    create_class(engine, photos, "cat")

    with pytest.raises(BadInput, match="into itself"):
        merge_class(engine, photos, "cat", "cat")


def test_several_bulk_actions_are_undone_and_done_again_one_by_one(engine, photos):
    ids = fill(engine, photos, 9)

    def state():
        given = {item.image_id: item.class_name for item in current_labels(engine, photos)}
        return given, {item.name for item in all_classes(engine, photos) if item.name in given.values()}

    states = [state()]
    for act in (
        lambda: label(engine, photos, ids[:6], "cat", "yes", "bulk"),
        lambda: label_each(engine, photos, {ids[0]: "dog", ids[7]: "dog", ids[8]: "owl"}, "csv"),
        lambda: merge_class(engine, photos, "cat", "dog"),
        lambda: clear(engine, photos, "hand", image_ids=ids[:2]),
        lambda: clear(engine, photos, "hand"),
    ):
        act()
        states.append(state())

    assert_goes_back_and_forth(engine, photos, states, state)
    assert "cat" not in {item.name for item in all_classes(engine, photos)}
    with pytest.raises(NothingToUndo):
        redo(engine, photos)
