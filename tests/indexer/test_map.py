import numpy as np
import pytest

from indexer.map import FEWEST, FILE, Map, make_map, read_map, write_map
from model.errors import Cancelled, TooFewImages

DIM = 16


def groups(each: int, count: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (count * each, D) around `count` directions, and which of them each belongs to."""
    rng = np.random.default_rng(seed)
    middles = np.linalg.qr(np.random.default_rng(7).normal(size=(DIM, DIM)))[0][:count]
    belongs = np.repeat(np.arange(count), each)
    vectors = middles[belongs] + rng.normal(scale=0.05, size=(count * each, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), belongs


@pytest.fixture(scope="module")
def drawn() -> tuple[Map, np.ndarray, np.ndarray]:
    vectors, belongs = groups(60)
    return make_map(np.arange(10, 250), vectors), vectors, belongs


def test_what_is_alike_lies_together(drawn):
    found, _, belongs = drawn

    distance = np.linalg.norm(found.places[:, None] - found.places[None], axis=2)
    np.fill_diagonal(distance, np.inf)

    assert (belongs[distance.argmin(axis=1)] == belongs).all()
    assert found.places.min() >= 0
    assert found.places.max() <= 1
    for number, size, typical in found.clusters():  # no cluster mixes two groups
        members = found.members(number)
        assert len(members) == size
        assert set(typical) <= set(members.tolist())
        assert len(set(belongs[members - 10])) == 1


def test_new_pictures_are_placed_and_nothing_moves(drawn):
    found, vectors, belongs = drawn
    new, at = groups(10, seed=1)

    later = make_map(np.arange(10, 290), np.concatenate([vectors, new]), found)

    np.testing.assert_array_equal(later.places[:240], found.places)
    np.testing.assert_array_equal(later.cluster[:240], found.cluster)
    for place, group in zip(later.places[240:], at, strict=True):
        nearest = np.linalg.norm(found.places - place, axis=1).argmin()
        assert belongs[nearest] == group


def test_a_map_of_half_strangers_is_drawn_anew(drawn):
    found, vectors, _ = drawn
    new, _ = groups(70, seed=2)

    later = make_map(np.arange(10, 530), np.concatenate([vectors, new]), found)

    assert len(later.sampled) == 520


def test_a_map_whose_sample_has_left_is_drawn_anew(monkeypatch):
    monkeypatch.setattr("indexer.map.SAMPLE", 40)
    vectors, belongs = groups(60)
    found = make_map(np.arange(240), vectors)
    rest = np.setdiff1d(found.ids, found.sampled)  # every picture that UMAP laid out was removed

    later = make_map(rest, vectors[rest], found)

    assert set(later.sampled) <= set(rest)
    distance = np.linalg.norm(later.places[:, None] - later.places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (belongs[rest][distance.argmin(axis=1)] == belongs[rest]).mean() > 0.9


def test_a_picture_that_fits_nowhere_is_an_outlier():
    vectors, _ = groups(60)
    strange = -vectors[:1]

    found = make_map(np.arange(241), np.concatenate([vectors, strange]))

    assert found.outliers[0] == 240


def test_a_map_is_kept_whole_or_not_at_all(drawn, tmp_path):
    found, _, _ = drawn

    write_map(tmp_path, found)
    kept = read_map(tmp_path)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:100])

    assert kept is not None
    np.testing.assert_array_equal(kept.places, found.places)
    assert read_map(tmp_path) is None  # torn: it is made again


def test_too_few_pictures_and_a_wish_to_stop_are_said():
    vectors, _ = groups(FEWEST)

    with pytest.raises(TooFewImages, match="map needs"):
        make_map(np.arange(3), vectors[:3])
    with pytest.raises(Cancelled):
        make_map(np.arange(len(vectors)), vectors, stop=lambda: True)
