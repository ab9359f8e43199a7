"""The kind of index for collections too large to compare a query with every vector."""

import json
from itertools import pairwise

import numpy as np
import pytest

import indexer.index as searching
from indexer.errors import DamagedIndex
from indexer.index import HEAD, VectorIndex, open_index
from indexer.publish import append, kind_for, publish
from indexer.published import CURRENT, EXACT, GRAPH, files_of, read_published
from tests.faults.corrupt import damage
from tests.faults.kill import Child
from tests.indexer.helpers import clustered, unit_vectors

COUNT, DIM = 12_000, 32
IDS = np.arange(COUNT) * 2 + 5
TINY = 1e-9  # ms: a budget that no exact index keeps
NEWER = IDS[-1] + 1 + np.arange(10)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return clustered(COUNT, DIM)


@pytest.fixture(scope="module")
def graph(vectors, tmp_path_factory) -> VectorIndex:
    """A graph of COUNT vectors."""
    folder = tmp_path_factory.mktemp("graph")
    publish(folder, IDS, vectors, budget_ms=TINY, threads=1)
    return open_index(folder)


@pytest.fixture
def folder(tmp_path):
    """A published index of the large kind, of 500 vectors."""
    publish(tmp_path / "index", IDS[:500], clustered(500, DIM), budget_ms=TINY)
    return tmp_path / "index"


def best(vectors: np.ndarray, query: np.ndarray, k: int, among: np.ndarray | None = None) -> list[int]:
    """Ids by comparing with every vector."""
    rows = np.arange(len(vectors)) if among is None else np.flatnonzero(np.isin(IDS, among))
    return IDS[rows[np.argsort(-(vectors[rows] @ query), kind="stable")[:k]]].tolist()


@pytest.mark.parametrize(
    ("count", "kind"), [(1, EXACT), (4_880, EXACT), (4_890, GRAPH), (10_000, GRAPH), (1_000_000, GRAPH)]
)
def test_the_kind_follows_from_size_and_budget(count, kind):
    assert kind_for(count, 512, budget_ms=1) == kind


def test_a_larger_budget_keeps_a_large_collection_exact():
    assert kind_for(100_000, 512, budget_ms=25) == EXACT
    assert kind_for(1_000_000, 512, budget_ms=25) == GRAPH


def test_a_small_graph_finds_and_scores_as_an_exact_index_does(folder, tmp_path):
    publish(tmp_path / "exact", IDS[:500], clustered(500, DIM))
    small, exact = open_index(folder), open_index(tmp_path / "exact")

    assert (small.published.kind, exact.published.kind) == (GRAPH, EXACT)
    for query in clustered(20, DIM, seed=1):
        for k in (60, 101, 500):
            found, expected = small.search(query, k), exact.search(query, k)
            assert found[0].tolist() == expected[0].tolist()
            assert np.array_equal(found[1], expected[1])


def test_walks_find_what_their_measured_recall_says_for_pictures_they_have_not_seen(graph, vectors):
    queries = clustered(300, DIM, seed=1)

    recalls = [np.isin(best(vectors, query, 10), graph.search(query, 10)[0]).mean() for query in queries]

    assert graph.published.kind == GRAPH
    assert graph.published.recall >= 0.99
    assert graph.published.held_out == 500
    assert 0 < graph.published.effort < 200
    assert np.mean(recalls) >= 0.99
    assert np.mean(recalls) == pytest.approx(graph.published.recall, abs=0.01)


def test_the_measured_recall_is_no_constant_but_falls_with_the_effort(monkeypatch, tmp_path):
    monkeypatch.setattr("indexer.publish.WANTED", {10: 0.3, 100: 0.1})

    published = publish(tmp_path, IDS, unit_vectors(COUNT, DIM), budget_ms=TINY, threads=1)

    assert 0.3 <= published.recall < 0.9


def test_vectors_among_which_walks_get_lost_are_all_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(searching, "SCANNED", 100)  # by their short forms, that is
    monkeypatch.setattr("indexer.publish.EFFORTS", (16, 32))
    isotropic = unit_vectors(COUNT, 256)

    published = publish(tmp_path, IDS, isotropic, budget_ms=TINY, threads=1)

    assert published.effort == 0
    assert published.recall >= 0.999
    for query in unit_vectors(10, 256, seed=1):
        assert open_index(tmp_path).search(query, 10)[0].tolist() == best(isotropic, query, 10)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_filter_loses_nothing_though_what_it_keeps_lies_far_from_the_query(graph, vectors, share, monkeypatch):
    monkeypatch.setattr(searching, "SCANNED", 100)

    recalls = []
    for query in clustered(30, DIM, seed=2):
        far = IDS[np.argsort(vectors @ query)[: int(share * COUNT)]]  # whatever is near is not kept
        recalls.append(np.isin(best(vectors, query, 20, far), graph.search(query, 20, np.sort(far))[0]).mean())

    assert np.mean(recalls) == 1.0


def test_a_filter_that_keeps_few_is_exact(graph, vectors):
    for number, query in enumerate(clustered(20, DIM, seed=3)):
        few = IDS[np.random.default_rng(number).choice(COUNT, 300, replace=False)]

        assert graph.search(query, 50, few)[0].tolist() == best(vectors, query, 50, few)


@pytest.mark.parametrize("count", [3, 200])
def test_what_is_left_out_is_replaced_by_what_comes_next(graph, count, monkeypatch):
    monkeypatch.setattr(searching, "SCANNED", 100)
    query = clustered(1, DIM, seed=4)[0]
    ranked = graph.search(query, 400)[0]

    found, _ = graph.search(query, 100, without=ranked[:count])

    assert found.tolist() == ranked[count : count + 100].tolist()


@pytest.mark.parametrize("page", [40, 400])
def test_pages_fit_together_and_leave_nothing_out_whatever_a_walk_missed(graph, page, monkeypatch):
    monkeypatch.setattr(searching, "SCANNED", 100)
    query = clustered(1, DIM, seed=5)[0]
    ends = [page, 2 * page, 3 * page, COUNT]

    pages = [graph.search(query, page)[0].tolist()]
    pages += [graph.search(query, end, first=page)[0][at:end].tolist() for at, end in pairwise(ends)]

    assert 40 < HEAD < 400  # both ways
    assert sorted(image_id for each in pages for image_id in each) == IDS.tolist()


def test_a_walk_that_misses_a_picture_leaves_it_to_the_next_page(graph, monkeypatch):
    query = clustered(1, DIM, seed=5)[0]
    ranked = graph.search(query, 200)[0]
    monkeypatch.setattr(
        VectorIndex, "walked", lambda self, query, k, keep: self.scan(query, self.rows_of(ranked[1 : k + 2])[0], k)
    )

    first, second = graph.search(query, 10)[0], graph.search(query, 20, first=10)[0]

    assert first.tolist() == ranked[1:11].tolist()
    assert second[:10].tolist() == first.tolist()
    assert second[10:].tolist() == [ranked[0], *ranked[11:20].tolist()]


def test_pictures_that_are_exactly_alike_come_in_the_order_of_their_ids_on_pages_of_any_size(tmp_path):
    publish(tmp_path, IDS[:600], np.repeat(unit_vectors(4, DIM), 150, axis=0), budget_ms=TINY)
    index, query = open_index(tmp_path), unit_vectors(1, DIM)[0]

    assert index.search(query, 60)[0].tolist() == IDS[:60].tolist()
    assert index.search(query, 149)[0].tolist() == IDS[:149].tolist()


def test_appended_pictures_are_found_at_once_and_an_index_that_is_open_stays_as_it_was(folder):
    index, added = open_index(folder), unit_vectors(10, DIM, seed=7)

    append(folder, read_published(folder), NEWER, added)
    grown = open_index(folder, index)

    assert (len(index.ids), len(grown.ids)) == (500, 510)
    assert grown.published.sha256 != index.published.sha256  # whoever keeps something by it must notice
    assert np.array_equal(grown.vectors, np.concatenate([clustered(500, DIM), added]))
    for place in range(10):
        assert grown.search(added[place], 1)[0].tolist() == [NEWER[place]]
        assert NEWER[place] not in index.search(added[place], 500)[0]
    assert grown.search(added[0], 10, among=NEWER[:3])[0].size == 3
    assert NEWER[0] not in grown.search(added[0], 510, without=NEWER[:1])[0]


def test_what_is_appended_twice_is_all_there_and_opens_in_another_process_too(folder):
    for part in (slice(0, 4), slice(4, 10)):
        append(folder, read_published(folder), NEWER[part], unit_vectors(10, DIM, seed=7)[part])

    opened = open_index(folder)

    assert opened.ids.tolist() == [*IDS[:500].tolist(), *NEWER.tolist()]
    assert opened.published.described()["added_since"] == 10
    assert len(list(folder.iterdir())) == 4


def test_rows_that_a_killed_append_left_behind_do_not_count(folder):
    published = read_published(folder)
    with open(files_of(folder, published)["matrix"], "ab") as file:
        file.write(b"half a row and more" * 100)

    assert len(open_index(folder).ids) == 500
    append(folder, published, NEWER, unit_vectors(10, DIM, seed=7))

    assert open_index(folder).search(unit_vectors(10, DIM, seed=7)[3], 1)[0].tolist() == [NEWER[3]]


def test_appending_what_is_not_newer_is_refused(folder):
    with pytest.raises(ValueError, match="newer"):
        append(folder, read_published(folder), IDS[:1], unit_vectors(1, DIM))


@pytest.mark.parametrize("which", ["faiss", "matrix", "ids"])
@pytest.mark.parametrize("how", ["cut in half", "empty", "garbage", "missing"])
def test_a_damaged_part_is_never_served_and_built_again_gives_identical_results(folder, which, how):
    queries = clustered(5, DIM, seed=1)
    before = [[array.tolist() for array in open_index(folder).search(query, 20)] for query in queries]
    path = files_of(folder, read_published(folder))[which]
    if how == "missing":
        path.unlink()
    else:
        damage(path, how)

    with pytest.raises(DamagedIndex, match="run `likeness index`"):
        open_index(folder)
    publish(folder, IDS[:500], clustered(500, DIM), budget_ms=TINY)

    assert [[array.tolist() for array in open_index(folder).search(query, 20)] for query in queries] == before


def test_a_damaged_tail_is_never_served_though_the_rest_is_open_already(folder):
    held = open_index(folder)
    grown = append(folder, held.published, NEWER, unit_vectors(10, DIM, seed=7))
    with open(files_of(folder, grown)["matrix"], "r+b") as file:
        file.seek(505 * DIM * 4)
        file.write(b"\0" * 8)

    with pytest.raises(DamagedIndex):
        open_index(folder, held)


@pytest.mark.parametrize(
    "change",
    [
        {"count": 499},
        {"tail": 1},
        {"effort": 0},
        {"kind": EXACT},
        {"kind": "a kind of its own"},
        {"matrix": "../x"},
    ],
)
def test_a_current_json_that_says_otherwise_than_its_parts_is_a_damaged_index(folder, change):
    (folder / CURRENT).write_text(json.dumps(json.loads((folder / CURRENT).read_text()) | change))

    with pytest.raises(DamagedIndex):
        open_index(folder)


@pytest.mark.parametrize("task", ["publish_large", "append"])
def test_a_kill_before_any_step_to_the_disk_leaves_the_old_large_index_or_the_new_one(tmp_path, task):
    seen = []
    for nth in range(1, 30):
        folder = tmp_path / str(nth)
        publish(folder, np.arange(50), unit_vectors(50, seed=1), budget_ms=TINY)
        old = read_published(folder).sha256
        said = Child(task, folder, 2, nth).end()

        index = open_index(folder)

        is_new = index.published.sha256 != old
        expected = {
            ("append", True): np.concatenate([unit_vectors(50, seed=1), unit_vectors(50, seed=2)]),
            ("publish_large", True): unit_vectors(50, seed=2),
        }.get((task, is_new), unit_vectors(50, seed=1))
        assert np.array_equal(index.vectors, expected)
        seen.append("new" if is_new else "old")
        if said == ["published"]:
            break
        publish(folder, np.arange(50), unit_vectors(50, seed=3), budget_ms=TINY)
        assert len(list(folder.iterdir())) == 4

    assert seen == sorted(seen, reverse=True)  # old until the commit, new from then on
    assert seen.count("old") >= 3
    assert said == ["published"]
