import sqlite3

import numpy as np
import pytest

from indexer.vectors import VectorStore, forget
from tests.indexer.helpers import unit_vectors

CONTENTS = [f"{number:064x}" for number in range(20)]


@pytest.fixture
def store(home) -> VectorStore:
    return VectorStore(home.vectors("model"), 16)


def test_vectors_come_back_as_unit_float32_within_the_tolerance_of_float16(store):
    vectors = unit_vectors(20)

    store.put(CONTENTS, vectors)
    positions, found = store.get(CONTENTS)

    assert positions.tolist() == list(range(20))
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.abs(found @ found.T - vectors @ vectors.T).max() < 1e-3
    assert not np.array_equal(found, vectors)  # or they would be kept at twice the size


def test_vectors_are_found_in_the_order_asked_for_and_what_is_missing_is_left_out(store):
    vectors = unit_vectors(20)
    store.put(CONTENTS[:10], vectors[:10])

    positions, found = store.get([CONTENTS[7], CONTENTS[15], CONTENTS[2], CONTENTS[7]])

    assert positions.tolist() == [0, 2, 3]
    np.testing.assert_allclose(found, vectors[[7, 2, 7]], atol=1e-3)


def test_missing_are_those_without_a_vector_in_their_order(store):
    store.put(CONTENTS[5:8], unit_vectors(3))

    assert store.missing(CONTENTS[::-1][12:]) == [CONTENTS[4], CONTENTS[3], CONTENTS[2], CONTENTS[1], CONTENTS[0]]


def test_what_was_put_is_there_after_opening_again(home, store):
    store.put(CONTENTS, unit_vectors(20))

    again = VectorStore(home.vectors("model"), 16)

    assert again.missing(CONTENTS) == []


def test_putting_again_replaces(store):
    store.put(CONTENTS[:1], unit_vectors(1, seed=1))
    store.put(CONTENTS[:1], unit_vectors(1, seed=2))

    np.testing.assert_allclose(store.get(CONTENTS[:1])[1], unit_vectors(1, seed=2), atol=1e-3)


def test_forgotten_vectors_are_gone_and_the_others_stay(store):
    store.put(CONTENTS, unit_vectors(20))

    forget(store.path, CONTENTS[:15])

    assert store.missing(CONTENTS) == CONTENTS[:15]


def test_an_empty_store_finds_nothing(store):
    positions, found = store.get(CONTENTS)

    assert (positions.shape, found.shape) == ((0,), (0, 16))


def test_the_models_of_a_home_have_a_file_each(home):
    for model in ("a", "b"):
        VectorStore(home.vectors(model), 16).put(CONTENTS[:1], unit_vectors(1))

    home.vectors("a").unlink()

    assert home.all_vectors() == [home.vectors("b")]
    assert VectorStore(home.vectors("a"), 16).missing(CONTENTS[:1]) == CONTENTS[:1]


def test_large_pages_keep_the_file_near_the_size_of_the_vectors(home):
    store = VectorStore(home.vectors("model"), 512)

    store.put([f"{number:064x}" for number in range(2000)], unit_vectors(2000, 512))

    with sqlite3.connect(store.path) as connection:
        pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    assert pages * size < 1.3 * 2000 * 512 * 2
