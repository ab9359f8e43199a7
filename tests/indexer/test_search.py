import numpy as np
import pytest

from indexer.index import VectorIndex, open_index
from indexer.publish import publish
from indexer.search import NEGATIVE_WEIGHT, Hits, search
from tests.indexer.helpers import unit_vectors

IDS = np.arange(1, 401)
NONE = np.zeros((0, 16), np.float32)


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> VectorIndex:
    folder = tmp_path_factory.mktemp("index")
    publish(folder, IDS, unit_vectors(400))
    return open_index(folder)


def paged(index: VectorIndex, size: int, **options) -> list[int]:
    """Every id, page by page."""
    ids: list[int] = []
    while len(page := search(index, offset=len(ids), limit=size, **options).ids):
        ids += page.tolist()
    return ids


def test_hits_are_those_of_comparing_with_every_vector_best_first(index):
    query = unit_vectors(1, seed=1)

    hits = search(index, query, NONE, limit=10)

    cosines = unit_vectors(400) @ query[0]
    assert hits.ids.tolist() == IDS[np.argsort(-cosines)[:10]].tolist()
    np.testing.assert_allclose(hits.scores, np.sort(cosines)[::-1][:10], atol=1e-6)
    np.testing.assert_allclose(hits.cosines, hits.scores, atol=1e-6)
    assert hits.total == 400


def test_several_examples_rank_by_their_mean_less_half_the_mean_of_the_counterexamples(index):
    positive, negative = unit_vectors(3, seed=1), unit_vectors(2, seed=2)
    query = positive.mean(axis=0) - NEGATIVE_WEIGHT * negative.mean(axis=0)
    query /= np.linalg.norm(query)

    hits = search(index, positive, negative, limit=400)

    vectors = unit_vectors(400)
    assert hits.ids.tolist() == IDS[np.argsort(-(vectors @ query))].tolist()
    nearest = (vectors[hits.ids - 1] @ positive.T).max(axis=1)
    np.testing.assert_allclose(hits.cosines, nearest, atol=1e-6)


def test_a_counterexample_pushes_what_is_like_it_down_the_list(index):
    query = unit_vectors(1, seed=1)
    unwanted = search(index, query, NONE, limit=2).ids[1]

    without = search(index, query, index.vectors[[unwanted - 1]], limit=400)

    assert without.ids.tolist().index(unwanted) > 1


@pytest.mark.parametrize("size", [7, 60, 99, 100, 150, 400])
@pytest.mark.parametrize("few", [True, False], ids=["among some", "among all"])
def test_pages_of_any_size_fit_together_and_leave_nothing_out(index, size, few):
    options = {"positive": unit_vectors(1, seed=1), "negative": NONE, "exclude": np.array([4, 7, 10])}
    options["among"] = IDS[::3] if few else None

    expected = search(index, **options, limit=400)

    assert paged(index, size, **options) == expected.ids.tolist()
    assert expected.total == len(expected.ids) == (131 if few else 397)


@pytest.mark.parametrize("size", [7, 60, 99])
def test_pages_fit_together_among_pictures_that_are_exactly_alike(tmp_path, size):
    vectors = np.repeat(unit_vectors(4), 75, axis=0)  # 75 copies of each
    publish(tmp_path, np.arange(300), vectors)
    index = open_index(tmp_path)

    ids = paged(index, size, positive=vectors[:1], negative=NONE)

    assert sorted(ids) == list(range(300))


def test_only_ids_among_those_given_are_listed(index):
    among = np.array([3, 77, 500])  # the last is not indexed

    hits = search(index, unit_vectors(1, seed=1), NONE, limit=10, among=among)

    assert sorted(hits.ids.tolist()) == [3, 77]
    assert hits.total == 2


@pytest.mark.parametrize("among", [None, IDS[:50]], ids=["among all", "among some"])
def test_excluded_ids_are_never_listed_nor_counted(index, among):
    query = unit_vectors(1, seed=1)
    best = search(index, query, NONE, limit=3, among=among)

    hits = search(index, query, NONE, limit=400, among=among, exclude=np.append(best.ids, [best.ids[0], 9999]))

    assert not np.isin(best.ids, hits.ids).any()
    assert hits.total == len(hits.ids) == best.total - 3


@pytest.mark.parametrize("among", [np.zeros(0, np.int64), np.array([9999])], ids=["none", "unknown"])
def test_a_filter_that_keeps_nothing_finds_nothing(index, among):
    hits = search(index, unit_vectors(1), NONE, limit=10, among=among)

    assert (len(hits.ids), len(hits.scores), len(hits.cosines), hits.total) == (0, 0, 0, 0)


def test_a_page_past_the_end_is_empty_and_still_says_how_many_there_are(index):
    hits: Hits = search(index, unit_vectors(1), NONE, limit=10, offset=1000)

    assert (len(hits.ids), hits.total) == (0, 400)


def test_examples_that_cancel_each_other_out_are_no_error(index):
    one = unit_vectors(1)

    hits = search(index, np.concatenate([one, -one]), NONE, limit=10)

    assert len(hits.ids) == 10
    assert np.isfinite(hits.scores).all()
