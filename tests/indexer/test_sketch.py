"""The short form of inverted lists: quicker, and of the very same answers."""

import dataclasses

import numpy as np
import pytest

from indexer.errors import DamagedIndex
from indexer.index import VectorIndex, identity, open_index
from indexer.publish import append, publish
from indexer.published import LISTS, files_of, make_current, read_published
from indexer.sketch import AXES, Sketch, axes_of
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


def test_a_short_form_is_made_where_a_few_axes_tell_pictures_apart(sketched):
    published = sketched.published

    assert published.kind == LISTS
    assert published.sketch is not None
    assert published.slack >= 0
    assert published.recall >= 0.99


def test_no_short_form_is_made_of_vectors_that_differ_along_every_axis(tmp_path):
    assert axes_of(clustered(COUNT, 2 * AXES - 1)) is None
    assert axes_of(unit_vectors(5000, DIM)) is None


@pytest.mark.parametrize("k", [1, 10, 100])
def test_its_answers_are_those_of_the_lists_themselves(sketched, k):
    whole = VectorIndex(sketched._base, sketched.ids, sketched.vectors, sketched.published)

    same = []
    for query in few_axes(200, seed=1):
        short, plain = sketched.search(query, k), whole.search(query, k)
        same.append(np.isin(plain[0], short[0]).mean())
        assert (np.diff(short[1]) <= 0).all()

    assert np.mean(same) >= 0.995


def test_it_finds_what_comparing_with_every_vector_finds(sketched, vectors):
    queries = few_axes(300, seed=1)
    nearest = [IDS[np.argsort(-(vectors @ query), kind="stable")[:10]] for query in queries]

    recall = np.mean(
        [np.isin(best, sketched.search(q, 10)[0]).mean() for best, q in zip(nearest, queries, strict=True)]
    )

    assert recall >= 0.99
    assert recall == pytest.approx(sketched.published.recall, abs=0.01)


def test_where_too_many_are_nearly_alike_the_lists_answer_and_equals_come_by_their_ids(tmp_path):
    copies = np.concatenate([np.repeat(few_axes(1, seed=3), 3000, axis=0), few_axes(9000)])
    publish(tmp_path, IDS, copies, budget_ms=TINY, threads=1)
    index = open_index(tmp_path)

    assert index.search(copies[0], 50)[0].tolist() == IDS[:50].tolist()
    if index._sketch is not None:
        assert index._sketch.search(copies[0], 50, index.published.effort, index.scan) is None


def test_what_is_appended_is_found_at_once(folder):
    added = few_axes(10, seed=7)
    held = open_index(folder)

    append(folder, held.published, NEWER, added)
    grown = open_index(folder, held)

    assert grown._sketch is held._sketch
    for place in range(10):
        assert grown.search(added[place], 1)[0].tolist() == [NEWER[place]]


@pytest.mark.parametrize("how", ["cut in half", "empty", "garbage", "missing"])
def test_a_damaged_short_form_is_never_served(folder, vectors, how):
    before = [open_index(folder).search(query, 20)[0].tolist() for query in few_axes(5, seed=1)]
    path = files_of(folder, read_published(folder))["sketch"]
    if how == "missing":
        path.unlink()
    else:
        damage(path, how)

    with pytest.raises(DamagedIndex, match="run `likeness index`"):
        open_index(folder)
    publish(folder, IDS, vectors, budget_ms=TINY, threads=1)

    assert [open_index(folder).search(query, 20)[0].tolist() for query in few_axes(5, seed=1)] == before


def test_an_index_made_before_there_were_short_forms_opens(folder, tmp_path):
    older = dataclasses.replace(read_published(folder), sketch=None, slack=None)
    make_current(folder, dataclasses.replace(older, sha256=identity(older)))

    opened = open_index(folder)

    assert opened._sketch is None
    assert isinstance(opened.search(few_axes(1, seed=1)[0], 10)[0], np.ndarray)
    assert not list(folder.glob("*.sketch"))


def test_how_far_it_may_be_off_is_what_it_is_measured_to_be(sketched, vectors):
    sketch: Sketch = sketched._sketch
    query = few_axes(1, seed=5)[0]

    rows, short = sketch.nearest(query, 48, sketched.published.effort)

    assert np.mean(vectors[rows] @ query - short <= sketch.slack + 1e-6) >= 0.9
