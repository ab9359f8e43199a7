"""SIGKILL at any moment: nothing that was reported as done is lost, and nothing half done is ever seen."""

import random
import time

import numpy as np
import pytest

from indexer import labels
from indexer.catalog import collection_named, open_catalog
from indexer.classes import all_classes
from indexer.columns import select_ids
from indexer.embed import embed_missing
from indexer.filters import Filter
from indexer.images import contents_of, get_images, read_preview
from indexer.importer import import_sources
from indexer.index import open_index
from indexer.labels import current_labels
from indexer.publish import publish
from indexer.published import read_published
from indexer.several import allow_several
from indexer.sources import scan
from indexer.undo import redo, undo
from indexer.vectors import VectorStore
from model.files import PARTIAL
from tests.faults.kill import Child
from tests.indexer.helpers import tree, unit_vectors
from tests.pictures import write_folders

SUBJECTS, EACH = ("cat", "coffee", "rocket"), 8
TOTAL = len(SUBJECTS) * EACH


@pytest.fixture
def many(tmp_path):
    """24 pictures: six batches of the children."""
    write_folders(tmp_path / "many", SUBJECTS, EACH)
    return tmp_path / "many"


def acknowledged(line: str) -> int:
    """How many pictures a line of progress says are done."""
    return int(line.split(" of ")[0])


@pytest.mark.promise(2)
@pytest.mark.parametrize("batches", [1, 3, 5])
def test_a_killed_import_loses_no_committed_batch_and_the_next_has_every_image_once(home, many, batches):
    before = tree(many)
    child = Child("import_folder", home.root, many)
    child.wait_for_lines(batches)
    said = child.kill()
    engine = open_catalog(home)
    photos = collection_named(engine, "photos")
    kept = get_images(engine, select_ids(engine, photos, Filter()).tolist())

    result = import_sources(engine, home, photos, scan([many]), workers=2)

    found = get_images(engine, select_ids(engine, photos, Filter()).tolist())
    assert len(kept) >= acknowledged(said[-1])
    assert (result.known, result.added_total, result.refused) == (len(kept), TOTAL - len(kept), [])
    assert found[: len(kept)] == kept
    assert len({image.sha256 for image in found}) == len(found) == TOTAL
    assert all(read_preview(home, image) for image in found)
    assert tree(many) == before
    engine.dispose()


@pytest.mark.promise(2)
def test_a_killed_import_leaves_no_process_behind(home, many):
    child = Child("import_folder", home.root, many)
    child.wait_for_lines(1)
    working = child.left_behind()

    child.kill()

    assert len(working) > 1  # itself and its workers
    deadline = time.monotonic() + 30
    while child.left_behind() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert child.left_behind() == []


@pytest.mark.promise(2)
def test_an_import_killed_at_random_moments_again_and_again_still_ends_with_every_image_once(home, many):
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)

    for _ in range(4):
        child = Child("import_folder", home.root, many)
        time.sleep(chance.uniform(0.2, 2.5))
        child.kill()
    Child("import_folder", home.root, many).end()

    engine = open_catalog(home)
    photos = collection_named(engine, "photos")
    shas = [sha256 for _, sha256, _ in contents_of(engine, photos)]
    assert len(shas) == len(set(shas)) == TOTAL
    engine.dispose()


@pytest.mark.promise(2)
@pytest.mark.parametrize("batches", [1, 4])
def test_embedding_that_was_killed_encodes_again_only_what_was_not_finished(
    engine, home, photos, bring, many, model_folder, encoder, batches
):
    bring(many)
    child = Child("embed", home.root, model_folder)
    child.wait_for_lines(batches)
    said = child.kill()
    shas = [sha256 for _, sha256, _ in contents_of(engine, photos)]
    store = VectorStore(home.vectors(encoder.info.fingerprint), encoder.info.dim)
    missing = store.missing(shas)
    before = store.get(shas)

    result = embed_missing(engine, home, photos, encoder)

    assert len(missing) <= TOTAL - acknowledged(said[-1])
    assert result.encoded == len(missing)
    positions, vectors = store.get(shas)
    assert len(positions) == TOTAL
    assert np.array_equal(vectors[before[0]], before[1])


@pytest.mark.promise(3)
def test_publishing_killed_before_any_step_to_the_disk_leaves_the_old_index_or_the_new_one(tmp_path):
    seen = []
    for nth in range(1, 20):
        folder = tmp_path / str(nth)
        publish(folder, np.arange(50), unit_vectors(50, seed=1))
        old = read_published(folder).sha256
        said = Child("publish", folder, 2, nth).end()

        index = open_index(folder)

        is_new = index.published.sha256 != old
        assert np.array_equal(index.vectors, unit_vectors(50, seed=2 if is_new else 1))
        seen.append("new" if is_new else "old")
        if said == ["published"]:
            break
        publish(folder, np.arange(50), unit_vectors(50, seed=3))
        assert not list(folder.glob(f"{PARTIAL}*"))
        assert len(list(folder.iterdir())) == 2

    assert seen == sorted(seen, reverse=True)  # old until the commit, new from then on
    assert seen.count("old") >= 4
    assert seen.count("new") >= 2
    assert said == ["published"]


@pytest.mark.promise(6)
@pytest.mark.parametrize("count", [1, 3])
def test_a_label_that_was_acknowledged_survives_a_kill(engine, home, photos, bring, many, count):
    ids = [item["id"] for item in bring(many).added]
    child = Child("label", home.root, "cat", *ids)
    child.wait_for_lines(1)
    child.go()
    child.wait_for_lines(1 + count)

    said = child.kill()

    labelled = [item.image_id for item in current_labels(engine, photos)]
    acknowledged_ids = [int(line) for line in said[1:]]
    assert labelled[: len(acknowledged_ids)] == acknowledged_ids
    assert len(labelled) <= len(acknowledged_ids) + 1


@pytest.mark.promise(6)
@pytest.mark.parametrize("count", [1, 3])
def test_all_that_was_said_of_a_picture_with_several_classes_survives_a_kill_or_none_of_it(
    engine, home, photos, bring, many, count
):
    ids = [item["id"] for item in bring(many).added]
    allow_several(engine, photos, True)
    child = Child("answer", home.root, *ids)
    child.wait_for_lines(1)
    child.go()
    child.wait_for_lines(1 + count)

    said = child.kill()

    found: dict[int, dict[str, str]] = {}
    for item in current_labels(engine, photos):
        found.setdefault(item.image_id, {})[item.class_name] = item.answer
    acknowledged_ids = [int(line) for line in said[1:]]
    assert set(acknowledged_ids) <= set(found) <= set(ids[: len(acknowledged_ids) + 1])
    assert all(answers == {"cat": "yes", "pet": "yes", "dog": "no"} for answers in found.values())


SAID = {  # of the first three pictures
    "one": [{"cat": "yes"}, {"cat": "yes"}, {"dog": "yes"}],
    "several": [{"cat": "yes", "sofa": "yes"}, {"cat": "yes", "dog": "yes"}, {"dog": "yes", "sofa": "no"}],
}


@pytest.mark.promise(6)
@pytest.mark.parametrize("each", SAID)
@pytest.mark.parametrize("what", ["rename", "merge"])
def test_a_class_change_killed_before_any_statement_is_whole_or_not_begun(
    engine, home, photos, bring, many, what, each
):
    allow_several(engine, photos, each == "several")
    said_first = dict(zip([item["id"] for item in bring(many).added], SAID[each], strict=False))
    labels.answer_each(engine, photos, said_first, "hand")

    def state():
        given: dict[int, dict[str, str]] = {}
        for item in current_labels(engine, photos):
            given.setdefault(item.image_id, {})[item.class_name] = item.answer
        return given, {item.name for item in all_classes(engine, photos)}

    now_called = {"cat": "kitten" if what == "rename" else "dog"}
    old = state()
    new = (
        {i: {now_called.get(name, name): answer for name, answer in given.items()} for i, given in old[0].items()},
        {now_called.get(name, name) for name in old[1]},
    )
    assert old[0] == said_first
    for nth in range(1, 40):
        before = Child.kills
        said = Child("change_class", home.root, what, nth).end()
        assert Child.kills == before + 1
        if said == ["done"]:
            break
        if state() == new:  # killed after the commit and before it was said
            break
        assert state() == old

    assert state() == new
    assert nth > 4
    undo(engine, photos)
    assert state() == old
    redo(engine, photos)
    assert state() == new
