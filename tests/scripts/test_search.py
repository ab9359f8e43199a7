import numpy as np
import pytest

from scripts.benchmarks.search import ours
from scripts.benchmarks.searched import PEERS, K, enlarge, measure_peer, nearest
from tests.indexer.helpers import clustered

REAL = clustered(300)


def test_enlarged_vectors_are_new_unit_vectors_near_those_of_the_pictures():
    vectors = enlarge(REAL, 2000)

    nearest_real = (vectors @ REAL.T).max(axis=1)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(np.unique(vectors, axis=0)) == 2000
    assert nearest_real.mean() > (clustered(2000, seed=5) @ REAL.T).max(axis=1).mean()
    assert np.array_equal(vectors, enlarge(REAL, 2000))


def test_the_truth_is_that_of_comparing_with_every_vector(monkeypatch):
    monkeypatch.setattr("scripts.benchmarks.searched.BLOCK", 70)  # several blocks, the last one short
    queries = clustered(20, seed=3)

    rows = nearest(REAL, queries, K)

    expected = np.argsort(-(queries @ REAL.T), axis=1)[:, :K]
    assert [set(found) for found in rows.tolist()] == [set(found) for found in expected.tolist()]


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_is_installed_is_measured_and_any_other_says_so(name):
    vectors, queries = enlarge(REAL, 500), enlarge(REAL, 20, seed=1)

    try:
        said = measure_peer(name, vectors, queries, nearest(vectors, queries, K))
    except ImportError:
        assert name != "FAISS Flat"
        return

    assert said["recall"] >= 0.99
    assert set(said) == {"build", "memory", "recall", "p50", "p95", "rate", "add", "delete"}


def test_ours_is_measured_on_the_same_vectors_and_leaves_its_index_for_the_api(tmp_path):
    vectors, queries = enlarge(REAL, 500), enlarge(REAL, 20, seed=1)

    said = ours(tmp_path, vectors, queries, nearest(vectors, queries, K))

    assert said["recall"] == 1.0
    assert (tmp_path / "index" / "current.json").exists()
