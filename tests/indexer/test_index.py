import json
import threading
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import DamagedIndex, NoIndex
from indexer.index import open_index
from indexer.publish import publish
from indexer.published import CURRENT, read_published
from model.files import PARTIAL
from tests.faults.corrupt import DAMAGES, damage
from tests.indexer.helpers import unit_vectors

IDS = np.arange(100, 400, 3)  # 100 of them, none of which is its own position


@pytest.fixture
def folder(tmp_path) -> Path:
    """A published index of 100 vectors."""
    publish(tmp_path / "index", IDS, unit_vectors(100))
    return tmp_path / "index"


def test_a_search_finds_what_comparing_with_every_vector_finds(folder):
    index, vectors = open_index(folder), unit_vectors(100)

    for query in unit_vectors(10, seed=1):
        ids, cosines = index.search(query, 20)
        order = np.argsort(-(vectors @ query))[:20]
        assert ids.tolist() == IDS[order].tolist()
        np.testing.assert_allclose(cosines, (vectors @ query)[order], atol=1e-6)


def test_a_search_among_some_finds_what_comparing_with_only_those_finds(folder):
    index, vectors = open_index(folder), unit_vectors(100)
    among = np.array([103, 250, 397, 130, 999])  # the last is not indexed

    for query in unit_vectors(10, seed=1):
        ids, cosines = index.search(query, 20, among)
        rows = np.flatnonzero(np.isin(IDS, among))
        order = rows[np.argsort(-(vectors[rows] @ query))]
        assert ids.tolist() == IDS[order].tolist()
        np.testing.assert_allclose(cosines, (vectors @ query)[order], atol=1e-6)


def test_asking_for_more_than_there_is_gives_all(folder):
    ids, _ = open_index(folder).search(unit_vectors(1)[0], 1000)

    assert sorted(ids.tolist()) == IDS.tolist()


def test_an_index_of_nothing_finds_nothing(tmp_path):
    publish(tmp_path, np.zeros(0, np.int64), np.zeros((0, 16), np.float32))
    index = open_index(tmp_path)

    ids, cosines = index.search(unit_vectors(1)[0], 5)

    assert (len(ids), len(cosines), index.vectors.shape) == (0, 0, (0, 16))
    assert index.vectors_of(np.array([1]))[1].shape == (0, 16)


def test_the_vectors_of_ids_come_in_their_order_without_those_that_are_not_indexed(folder):
    index = open_index(folder)

    ids, vectors = index.vectors_of(np.array([397, 5, 100, 10**12]))

    assert ids.tolist() == [397, 100]
    assert np.array_equal(vectors, unit_vectors(100)[[99, 0]])


def test_the_index_says_what_was_published(folder):
    published = read_published(folder)

    assert (published.count, published.dim) == (100, 16)
    assert sorted(path.name for path in folder.iterdir()) == sorted([f"{published.sha256}.faiss", CURRENT])


def test_publishing_replaces_and_leaves_nothing_of_the_old_or_of_a_killed_process(folder):
    (folder / f"{PARTIAL}1").write_bytes(b"half an index")

    published = publish(folder, IDS[:50], unit_vectors(50, seed=2))

    assert open_index(folder).ids.tolist() == IDS[:50].tolist()
    assert sorted(path.name for path in folder.iterdir()) == sorted([f"{published.sha256}.faiss", CURRENT])


def test_an_open_index_answers_as_before_when_another_is_published(folder):
    index, query = open_index(folder), unit_vectors(1, seed=1)[0]
    before = index.search(query, 5)[0].tolist()

    publish(folder, IDS[:50], unit_vectors(50, seed=2))

    assert index.search(query, 5)[0].tolist() == before
    assert np.array_equal(index.vectors, unit_vectors(100))


def test_no_index_is_said_with_what_to_do(tmp_path):
    with pytest.raises(NoIndex, match="likeness index"):
        open_index(tmp_path)


@pytest.mark.promise(8)
@pytest.mark.parametrize("how", [*DAMAGES, "missing"])
def test_a_damaged_index_is_never_served_and_rebuilt_it_gives_identical_results(folder, how):
    queries = unit_vectors(10, seed=1)
    before = [[array.tolist() for array in open_index(folder).search(query, 20)] for query in queries]
    path = folder / f"{read_published(folder).sha256}.faiss"
    if how == "missing":
        path.unlink()
    else:
        damage(path, how)

    with pytest.raises(DamagedIndex, match=r"\.faiss is (damaged|missing): run `likeness index`"):
        open_index(folder)
    publish(folder, IDS, unit_vectors(100))

    assert [[array.tolist() for array in open_index(folder).search(query, 20)] for query in queries] == before


GARBAGE = {
    "empty": b"",
    "cut": b'{"sha256": "',
    "list": b"[1, 2]",
    "null": b"null",
    "another object": b'{"a": 1}',
    "bytes": bytes(range(128, 256)),
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_a_garbage_current_json_is_a_damaged_index_and_publishing_repairs_it(folder, content):
    (folder / CURRENT).write_bytes(content)

    with pytest.raises(DamagedIndex, match=r"current\.json is damaged: run `likeness index`"):
        open_index(folder)
    publish(folder, IDS, unit_vectors(100))

    assert len(open_index(folder).ids) == 100


@pytest.mark.parametrize(
    "change", [{"count": 99}, {"dim": 15}, {"sha256": "../../secret"}, {"sha256": "0" * 64}], ids=str
)
def test_a_current_json_that_says_otherwise_than_the_index_is_a_damaged_index(folder, change):
    (folder / CURRENT).write_text(json.dumps(json.loads((folder / CURRENT).read_text()) | change))

    with pytest.raises(DamagedIndex):
        open_index(folder)


@pytest.mark.promise(28)
def test_a_search_while_the_index_is_replaced_answers_from_the_old_or_the_new_one(folder):
    query = unit_vectors(1, seed=9)[0]
    sets = [(IDS, unit_vectors(100)), (IDS[:50], unit_vectors(50, seed=2))]
    expected = []
    for ids, vectors in sets:
        publish(folder, ids, vectors)
        expected.append(open_index(folder).search(query, 10)[0].tolist())
    finished = threading.Event()

    def replace() -> None:
        try:
            for turn in range(60):
                publish(folder, *sets[turn % 2])
        finally:
            finished.set()

    thread = threading.Thread(target=replace)
    thread.start()
    answers = []
    while not finished.is_set():
        answers.append(open_index(folder).search(query, 10)[0].tolist())
    thread.join()

    assert all(answer in expected for answer in answers)
    assert all(known in answers for known in expected)  # both were seen, so it was replaced while we searched
