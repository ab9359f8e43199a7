import random

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from indexer.catalog import collection_with_id, touch, update_collection
from indexer.classes import remove_class, update_class
from indexer.labelbook import LabelBook
from indexer.labels import clear, current_labels, label, last_action
from indexer.removal import remove
from indexer.schema import images, label_events, now
from indexer.several import allow_several
from indexer.undo import can_undo_redo, redo, undo
from tests.indexer.helpers import fill


def leave(engine, collection, ids, away=True):
    """These images' files hold something else now, or are back as they were."""
    with engine.begin() as connection:
        touch(connection, collection.id)
        here = images.c.id.in_(ids)
        connection.execute(images.update().where(here).values(absent_at=now() if away else None))


@pytest.mark.parametrize("several", [False, True])
def test_a_book_that_reads_only_what_is_new_says_what_a_full_reading_says(engine, home, photos, several):
    ids = fill(engine, photos, 12)
    photos = update_collection(engine, photos, {"multi_label": several})
    rng, book, away = random.Random(0), LabelBook(), set()

    def step() -> None:
        kind = rng.random()
        can_undo, can_redo = can_undo_redo(engine, photos)
        here = [i for i in ids if i not in away]
        if kind < 0.5:
            if rng.random() < 0.2:
                label(
                    engine, photos, rng.sample(here, 2), None, rng.choice(["none_of_these", "unsure", "none"]), "hand"
                )
            answer = rng.choice(["yes", "yes", "yes", "no", "unsure", "none"])
            label(engine, photos, rng.sample(here, 3), rng.choice("abc"), answer, "hand")
        elif kind < 0.6:
            leave(engine, photos, some := rng.sample(here, 2))
            away.update(some)
            if rng.random() < 0.8:
                leave(engine, photos, some := rng.sample(sorted(away), rng.randint(1, len(away))), away=False)
                away.difference_update(some)
        elif kind < 0.75 and can_undo:
            undo(engine, photos)
        elif kind < 0.85 and can_redo:
            redo(engine, photos)
        elif kind < 0.9:
            clear(engine, photos, "hand")
        elif kind < 0.95 and any(x.class_name == "b" for x in current_labels(engine, photos)):
            remove_class(engine, photos, "b")

    for _ in range(160):
        for _ in range(rng.randint(1, 3)):
            step()
        # Who asks late has a collection as it was before some images went, and loses nothing by it.
        late = rng.random() < 0.2
        found = book.read(engine, photos if late else collection_with_id(engine, photos.id))
        if late:
            continue
        said = current_labels(engine, photos)
        if several:
            given = {}
            for x in said:
                if x.answer in ("yes", "no", "none_of_these"):
                    given.setdefault(x.image_id, {})[x.class_name or "none of these"] = x.answer != "no"
            assert found.answers == given
            continue
        classes = {x.image_id: x.class_name for x in said if x.answer == "yes"}
        assert found.classes == classes | {x.image_id: "none of these" for x in said if x.answer == "none_of_these"}
        assert set(found.answered().tolist()) == {x.image_id for x in said if x.answer == "yes" or not x.class_name}
        assert found.last_action == last_action(engine, photos)


def test_a_book_follows_a_renamed_class_and_a_removed_image(engine, home, photos):
    ids = fill(engine, photos, 4)
    label(engine, photos, ids[:3], "cat", "yes", "hand")
    book = LabelBook()
    before = book.read(engine, photos)

    update_class(engine, photos, "cat", "tiger", None)
    remove(engine, home, photos, ids[:1])
    after = book.read(engine, collection_with_id(engine, photos.id))

    assert before.classes == dict.fromkeys(ids[:3], "cat")
    assert after.classes == dict.fromkeys(ids[1:3], "tiger")


def test_a_book_reads_nothing_of_images_that_stayed_when_others_come_and_go(engine, home, photos):
    ids = fill(engine, photos, 6)
    label(engine, photos, ids, "cat", "yes", "hand")
    leave(engine, photos, ids[:1])
    book = LabelBook()
    book.read(engine, collection_with_id(engine, photos.id))

    with engine.begin() as connection:  # no journal does this, so a book that reads only what changed cannot know it
        connection.execute(label_events.update().where(label_events.c.image_id == ids[5]).values(answer="no"))
    remove(engine, home, photos, ids[1:2])
    leave(engine, photos, ids[:1], away=False)
    found = book.read(engine, collection_with_id(engine, photos.id))

    assert found.classes == dict.fromkeys((ids[0], *ids[2:]), "cat")


def test_a_book_whose_reading_fails_once_is_whole_at_the_next(engine, photos):
    ids = fill(engine, photos, 6)
    label(engine, photos, ids, "cat", "yes", "hand")
    leave(engine, photos, ids[:2])
    book = LabelBook()
    book.read(engine, collection_with_id(engine, photos.id))
    leave(engine, photos, ids[:2], away=False)

    def lose(connection, cursor, statement, *_):
        if "label_events" in statement:
            raise OperationalError(statement, {}, Exception("the connection is lost"))

    event.listen(engine, "before_cursor_execute", lose)
    with pytest.raises(OperationalError):
        book.read(engine, collection_with_id(engine, photos.id))
    event.remove(engine, "before_cursor_execute", lose)
    found = book.read(engine, collection_with_id(engine, photos.id))

    assert found.classes == dict.fromkeys(ids, "cat")


def test_a_reader_from_before_a_collection_allowed_several_leaves_the_next_one_its_answers(engine, photos):
    ids = fill(engine, photos, 2)
    label(engine, photos, ids, "cat", "yes", "hand")
    before = collection_with_id(engine, photos.id)
    allow_several(engine, photos, True)
    book = LabelBook()

    book.read(engine, before)
    found = book.read(engine, collection_with_id(engine, photos.id))

    assert found.answers == {image_id: {"cat": True} for image_id in ids}
