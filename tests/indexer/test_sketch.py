"""Short forms and their graph: quicker, and of the same answers."""

import numpy as np
import pytest

from indexer.errors import DamagedIndex
from indexer.index import VectorIndex, open_index
from indexer.publish import append, publish
from indexer.published import files_of, read_published
from indexer.sketch import AXES, Sketch, learn_sketch
from tests.faults.corrupt import damage
from tests.indexer.helpers import clustered, unit_vectors

COUNT, DIM, TRUE_DIM = 12_000, 256, 32
IDS = np.arange(COUNT) * 2 + 5
TINY = 1e-9  # ms: a budget that no exact index keeps
NEWER = IDS[-1] + 1 + np.arange(10)


def few_axes(count: int, seed: int = 0) -> np.ndarray:
    """(count, DIM) unit vectors that differ along few axes, as those of one collection do."""
    axes = np.linalg.qr(np.random.default_rng(9).normal(size=(DIM, TRUE_DIM)))[0].T
    noise = np.random.default_rng(seed).normal(0, 0.01 / DIM**0.5, (count, DIM))
    found = clustered(count, TRUE_DIM, seed=seed) @ axes + noise
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return few_axes(COUNT)


@pytest.fixture(scope="module")
def home(vectors, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sketched")
    publish(folder, IDS, vectors, budget_ms=TINY, threads=1)
    return folder


@pytest.fixture(scope="module")
def sketched(home) -> VectorIndex:
    return open_index(home)


@pytest.fixture
def folder(home, tmp_path):
    """A copy that may be damaged or grow."""
    copied = tmp_path / "index"
    copied.mkdir()
    for file in home.iterdir():
        (copied / file.name).write_bytes(file.read_bytes())
    return copied


def test_a_short_form_has_few_axes_where_these_tell_pictures_apart_and_all_where_they_do_not():
    few, many = learn_sketch(few_axes(5000)), learn_sketch(unit_vectors(5000, DIM))
    short = learn_sketch(clustered(5000, 2 * AXES - 1))

    sizes = []
    for index in (few, many, short):
        index.add_with_ids(np.ones((1, index.d), np.float32), np.array([7]))
        sizes.append(Sketch(index)._codes.d)

    assert sizes == [AXES, DIM, 2 * AXES - 1]


def test_a_walk_finds_what_comparing_with_every_vector_finds_and_its_recall_is_what_was_measured(sketched, vectors):
    queries = few_axes(300, seed=1)
    nearest = [IDS[np.argsort(-(vectors @ query), kind="stable")[:10]] for query in queries]

    recall = np.mean(
        [np.isin(best, sketched.search(q, 10)[0]).mean() for best, q in zip(nearest, queries, strict=True)]
    )

    assert sketched.published.effort
    assert recall >= 0.99
    assert recall == pytest.approx(sketched.published.recall, abs=0.01)


def test_what_a_walk_lists_has_the_cosines_of_the_vectors_themselves(sketched, vectors):
    for query in few_axes(20, seed=2):
        ids, cosines = sketched.search(query, 10)
        np.testing.assert_allclose(cosines, vectors[(ids - 5) // 2] @ query, atol=1e-6)
        assert (np.diff(cosines) <= 0).all()


def test_a_walk_passes_through_what_is_left_out_and_never_lists_it(sketched, vectors):
    for query in few_axes(20, seed=3):
        ranked = IDS[np.argsort(-(vectors @ query), kind="stable")]
        gone = np.sort(
            np.concatenate([ranked[0:40:2], np.random.default_rng(0).choice(ranked[40:], 500, replace=False)])
        )

        found = sketched.search(query, 10, without=gone)[0]

        assert not np.isin(found, gone).any()
        assert np.isin(ranked[1:20:2], found).mean() >= 0.9


def test_where_more_are_equal_than_a_walk_can_hold_they_all_come_by_their_ids(tmp_path):
    copies = np.concatenate([np.repeat(few_axes(1, seed=3), 3000, axis=0), few_axes(9000)])
    publish(tmp_path, IDS, copies, budget_ms=TINY, threads=1)

    assert open_index(tmp_path).search(copies[0], 50)[0].tolist() == IDS[:50].tolist()


def test_the_same_vectors_make_the_same_index_to_the_byte_whatever_the_threads(home, vectors, tmp_path):
    again = publish(tmp_path, IDS, vectors, budget_ms=TINY, threads=2)

    assert again.faiss == read_published(home).faiss


def test_what_is_appended_is_found_at_once(folder):
    added = few_axes(10, seed=7)
    held = open_index(folder)

    append(folder, held.published, NEWER, added)
    grown = open_index(folder, held)

    assert grown._sketch is held._sketch
    for place in range(10):
        assert grown.search(added[place], 1)[0].tolist() == [NEWER[place]]


@pytest.mark.parametrize("how", ["cut in half", "garbage", "missing"])
def test_a_damaged_graph_is_never_served_and_built_again_gives_identical_results(folder, vectors, how):
    before = [open_index(folder).search(query, 20)[0].tolist() for query in few_axes(5, seed=1)]
    path = files_of(folder, read_published(folder))["faiss"]
    if how == "missing":
        path.unlink()
    else:
        damage(path, how)

    with pytest.raises(DamagedIndex, match="run `likeness index`"):
        open_index(folder)
    publish(folder, IDS, vectors, budget_ms=TINY, threads=1)

    assert [open_index(folder).search(query, 20)[0].tolist() for query in few_axes(5, seed=1)] == before


def test_how_far_a_short_form_may_be_off_is_what_it_is_measured_to_be(sketched, vectors):
    errors = []
    for query in few_axes(100, seed=5):
        near, furthest = sketched._sketch.nearest(query, 48, None)
        exact = np.sort(vectors[near] @ query)
        errors.append(exact[0] - furthest)  # what all 48 say lies above `furthest`

    assert sketched.published.slack > 0
    assert np.mean(np.array(errors) <= sketched.published.slack) >= 0.99
