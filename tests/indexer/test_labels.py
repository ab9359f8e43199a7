import threading

import pytest
from sqlalchemy import Engine, func, insert, select

from indexer.catalog import Collection, create_collection, open_catalog
from indexer.errors import NoSuchClass, NoSuchImage, NothingToUndo
from indexer.images import remove
from indexer.labels import (
    all_classes,
    can_undo_redo,
    clear,
    create_class,
    current_labels,
    history,
    label,
    label_each,
    label_unlabelled,
    last_action,
    redo,
    remove_class,
    undo,
    update_class,
)
from indexer.schema import contents, images, label_events, now
from model.errors import BadInput


def fill(engine: Engine, collection: Collection, count: int) -> list[int]:
    """Images without files: labels know nothing of pixels. Returns their ids."""
    with engine.begin() as connection:
        for number in range(count):
            sha256 = f"{collection.id:032x}{number:032x}"
            content = {"sha256": sha256, "preview_sha256": sha256, "preview_suffix": "png", "width": 1, "height": 1}
            connection.execute(insert(contents).values(bytes=1, format="PNG", stored=0, **content))
            image = {"collection_id": collection.id, "sha256": sha256, "name": f"{number}.png", "folder": "f"}
            connection.execute(insert(images).values(added_at=now(), **image))
        query = select(images.c.id).where(images.c.collection_id == collection.id).order_by(images.c.id)
        return list(connection.execute(query).scalars())


@pytest.fixture
def ids(engine, photos) -> list[int]:
    return fill(engine, photos, 6)


@pytest.fixture
def answers(engine, photos):
    """What stands now: image id → {class: answer}."""

    def read() -> dict[int, dict[str, str]]:
        found: dict[int, dict[str, str]] = {}
        for item in current_labels(engine, photos):
            found.setdefault(item.image_id, {})[item.class_name] = item.answer
        return found

    return read


def events(engine: Engine) -> list[tuple]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(label_events).order_by(label_events.c.id))]


def test_an_answer_stands_with_its_time_and_its_source(engine, photos, ids):
    change = label(engine, photos, ids[:2], "cat", "yes", "csv")

    assert change.changed == 2
    found = current_labels(engine, photos)
    assert [(x.image_id, x.class_name, x.answer, x.source) for x in found] == [
        (i, "cat", "yes", "csv") for i in ids[:2]
    ]
    assert found[0].at <= now()


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


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb"])
def test_a_label_with_a_bad_class_name_changes_nothing(engine, photos, ids, answers, name):
    with pytest.raises(BadInput, match="class needs a name"):
        label(engine, photos, ids, name, "yes", "hand")

    assert (answers(), all_classes(engine, photos)) == ({}, [])


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


def test_labels_of_an_image_that_is_not_there_are_refused_whole(engine, home, photos, ids, answers):
    other = create_collection(engine, "other")
    [foreign] = fill(engine, other, 1)
    remove(engine, home, photos, ids[5:])

    for missing in (foreign, ids[5], 10**9):
        with pytest.raises(NoSuchImage, match=f"Image {missing} "):
            label(engine, photos, [ids[0], missing], "cat", "yes", "hand")

    assert answers() == {}


def test_an_answer_that_is_none_of_the_four_is_refused(engine, photos, ids):
    with pytest.raises(BadInput, match="use yes, no, unsure or none"):
        label(engine, photos, ids, "cat", "perhaps", "hand")  # type: ignore[arg-type]


def test_only_images_without_an_answer_take_the_class_of_their_folder(engine, photos, ids, answers):
    label(engine, photos, ids[:1], "cat", "no", "hand")

    count = label_unlabelled(engine, photos, {ids[0]: "cat", ids[1]: "cat", 10**9: "cat"}, "folders")

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


def test_labels_given_by_many_threads_at_once_are_all_there(home, engine, photos):
    ids = fill(engine, photos, 40)
    failures: list[BaseException] = []

    def work(part: int) -> None:
        mine = open_catalog(home)
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


def test_threads_that_disagree_about_an_image_leave_it_with_one_class(home, engine, photos, ids):
    def work(name: str) -> None:
        mine = open_catalog(home)
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
