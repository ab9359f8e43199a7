import numpy as np
import pytest

from indexer.index import VectorIndex, open_index
from indexer.publish import publish
from indexer.search import Hits, Wish, search
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


def test_several_examples_rank_by_their_mean_less_half_that_of_the_counterexamples(index):
    positive, negative = unit_vectors(3, seed=1), unit_vectors(2, seed=2)

    hits = search(index, positive, negative, limit=400)

    vectors = unit_vectors(400)
    query = positive.mean(axis=0) - 0.5 * negative.mean(axis=0)
    assert hits.ids.tolist() == IDS[np.argsort(-(vectors @ query))].tolist()
    np.testing.assert_allclose(hits.scores, np.sort(vectors @ query / np.linalg.norm(query))[::-1], atol=1e-6)
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


@pytest.fixture(scope="module")
def grouped(tmp_path_factory) -> VectorIndex:
    """Twenty pictures in three copies that differ a little, among 300 that are unlike them."""
    one = unit_vectors(20, 64, seed=1)
    near = np.concatenate([one, one + 0.01 * unit_vectors(20, 64, seed=2), one + 0.01 * unit_vectors(20, 64, seed=3)])
    vectors = np.concatenate([near / np.linalg.norm(near, axis=1, keepdims=True), unit_vectors(300, 64, seed=4)])
    folder = tmp_path_factory.mktemp("grouped")
    publish(folder, np.arange(360), vectors)
    return open_index(folder)


def test_near_duplicates_collapse_to_one_that_says_what_it_stands_for(grouped):
    hits = search(grouped, grouped.vectors[[5]], NONE, limit=10, wish=Wish(group=0.95))

    assert hits.total == 320
    assert sorted([int(hits.ids[0]), *hits.alike[int(hits.ids[0])]]) == [5, 25, 45]
    assert not np.isin([25, 45], hits.ids[1:]).any()


def test_pages_of_a_grouped_list_fit_together(grouped):
    wish = Wish(group=0.95)
    whole = search(grouped, grouped.vectors[[5]], NONE, limit=400, wish=wish).ids.tolist()

    assert paged(grouped, 7, positive=grouped.vectors[[5]], negative=NONE, wish=wish) == whole
    assert len(whole) == 320


def test_a_minimum_score_cuts_the_list(grouped):
    hits = search(grouped, grouped.vectors[[5]], NONE, limit=400, wish=Wish(min_score=0.5))

    assert sorted(hits.ids.tolist()) == [5, 25, 45]
    assert hits.total == 3


def test_a_varied_list_begins_with_the_best_and_then_differs(grouped):
    plain = search(grouped, grouped.vectors[[5]], NONE, limit=3).ids.tolist()
    varied = search(grouped, grouped.vectors[[5]], NONE, limit=400, wish=Wish(variety=0.7)).ids.tolist()

    assert sorted(plain) == [5, 25, 45]
    assert varied[0] == plain[0]
    assert not set(varied[1:3]) & set(plain)
    assert sorted(varied) == list(range(360))


def test_the_alike_ones_end_where_ordinary_pictures_begin(grouped):
    hits = search(grouped, grouped.vectors[[5]], NONE, limit=50)

    assert hits.end is not None
    assert hits.end.at == 3
    assert hits.scores[2] > hits.end.score > hits.scores[3]
    assert f"{hits.end.score:.2f}" in hits.end.reason


def test_where_nothing_stands_out_the_best_hundredth_is_the_end(grouped):
    lonely = unit_vectors(1, 64, seed=99)  # like nothing there

    hits = search(grouped, lonely, NONE, limit=50)

    assert hits.end is not None
    assert hits.end.at is not None
    assert 1 <= hits.end.at <= 12
    assert "Nothing stands out" in hits.end.reason


def test_what_is_alike_beyond_the_page_ends_at_a_place_the_page_does_not_know(grouped):
    assert search(grouped, grouped.vectors[[5]], NONE, limit=2).end.at is None


def test_ticks_find_more_of_a_kind_than_the_query_alone_and_crosses_more_still():
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(8), 100)
    own = unit_vectors(8, 64, seed=1)[classes]
    shared = 3 * unit_vectors(1, 64, seed=2) + 1.2 * rng.standard_normal((800, 4)) @ unit_vectors(4, 64, seed=3)
    vectors = (own + shared + 0.05 * rng.standard_normal((800, 64))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    from scripts.benchmarks.steer import compare

    said = {each.metric: each.value for each in compare(vectors, classes, 60)}

    names = ("the query alone", "mean of the ticked ones", "mean difference (ours)")
    alone, ticks, both = (said[f"precision@50, {name}"] for name in names)
    assert alone + 0.02 < ticks < both - 0.02
