import random

from indexer.catalog import collection_with_id
from indexer.classes import remove_class, update_class
from indexer.labelbook import LabelBook
from indexer.labels import clear, current_labels, label, last_action
from indexer.removal import remove
from indexer.undo import can_undo_redo, redo, undo
from tests.indexer.helpers import fill


def test_a_book_that_reads_only_what_is_new_says_what_a_full_reading_says(engine, home, photos):
    ids = fill(engine, photos, 12)
    rng, book = random.Random(0), LabelBook()

    def step() -> None:
        kind = rng.random()
        can_undo, can_redo = can_undo_redo(engine, photos)
        if kind < 0.6:
            if rng.random() < 0.2:
                label(engine, photos, rng.sample(ids, 2), None, rng.choice(["none_of_these", "unsure", "none"]), "hand")
            answer = rng.choice(["yes", "yes", "yes", "no", "unsure", "none"])
            label(engine, photos, rng.sample(ids, 3), rng.choice("abc"), answer, "hand")
        elif kind < 0.75 and can_undo:
            undo(engine, photos)
        elif kind < 0.85 and can_redo:
            redo(engine, photos)
        elif kind < 0.9:
            clear(engine, photos, "hand")
        elif kind < 0.95 and any(x.class_name == "b" for x in current_labels(engine, photos)):
            remove_class(engine, photos, "b")

    for _ in range(120):
        for _ in range(rng.randint(1, 3)):
            step()
        found = book.read(engine, photos)
        said = current_labels(engine, photos)
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
