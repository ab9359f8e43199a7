import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from scripts.benchmarks.bigger import (
    K,
    Task,
    enlarge,
    local_dimension,
    nearest,
    neighbours,
    prepare,
)
from scripts.benchmarks.over_http import _wait
from scripts.benchmarks.search import HTTP, OURS, at_size, ours, rows_of
from scripts.benchmarks.searched import PEERS, measure_peer
from tests.indexer.helpers import clustered

REAL = clustered(300)


@pytest.fixture
def task(tmp_path) -> Task:
    np.save(tmp_path / "real.npy", REAL)
    return prepare(500, tmp_path)


def test_enlarged_vectors_are_new_unit_vectors_near_those_of_the_pictures():
    vectors = enlarge(REAL, neighbours(REAL), 2000)

    nearest_real = (vectors @ REAL.T).max(axis=1)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(np.unique(vectors, axis=0)) == 2000
    assert nearest_real.mean() > (clustered(2000, seed=5) @ REAL.T).max(axis=1).mean()
    assert np.array_equal(vectors, enlarge(REAL, neighbours(REAL), 2000))


def test_the_local_dimension_is_that_of_the_sphere_the_vectors_lie_on():
    points = np.random.default_rng(0).standard_normal((20_000, 6)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)

    assert 4.5 < local_dimension(np.pad(points, ((0, 0), (0, 58)))) < 5.7  # five


def test_neighbours_are_the_ten_most_alike_others():
    expected = REAL @ REAL.T
    np.fill_diagonal(expected, -1)

    found = neighbours(REAL)

    assert [set(row) for row in found.tolist()] == [set(row) for row in np.argsort(-expected)[:, :10].tolist()]


def test_the_truth_is_that_of_comparing_with_every_vector(monkeypatch):
    monkeypatch.setattr("scripts.benchmarks.bigger.BLOCK", 70)  # several blocks, the last one short
    queries = clustered(20, seed=3)

    rows = nearest(REAL, queries, K)

    expected = np.argsort(-(queries @ REAL.T), axis=1)[:, :K]
    assert [set(found) for found in rows.tolist()] == [set(found) for found in expected.tolist()]


def test_a_picture_that_is_searched_with_is_not_among_what_is_nearest_to_it(task):
    asked, truth = task.asked()

    cosines = task.opened() @ np.array(task.opened())[asked].T  # (N, Q)
    cosines[asked, np.arange(len(asked))] = -1
    assert [set(row) for row in truth.tolist()] == [set(row) for row in np.argsort(-cosines, axis=0)[:K].T.tolist()]


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_is_installed_is_measured_and_any_other_says_so(name, task):
    try:
        said = measure_peer(name, task)
    except ImportError:
        assert name != "FAISS Flat"
        return

    assert said["recall"] >= 0.99
    assert set(said) == {"build", "memory", "recall", "p50", "p95", "rate", "add", "delete"}


def test_a_build_that_takes_too_long_is_given_up_and_its_rows_say_so(task):
    said = measure_peer("FAISS Flat", task, limit=-1)

    assert said == {"unfinished": 0, "build": 0}
    assert all(each.value is None and "not measured" in each.status for each in rows_of(500, {"FAISS Flat": said}))


def test_ours_is_measured_on_the_same_vectors_and_leaves_its_index_for_the_api(task):
    said = ours(task)

    assert said["recall"] == 1.0
    assert (task.folder / "index" / "current.json").exists()


def test_what_one_call_measured_the_next_one_reports(task):
    figures = {"recall": 1.0, "p50": 2.0, "p95": 30.0}
    for name in (OURS, HTTP, "FAISS Flat"):
        (task.folder / f"{name}.json").write_text(json.dumps(figures))

    said = at_size(task, task.folder, [], 1)

    assert said == dict.fromkeys(("FAISS Flat", OURS, HTTP), figures)
    met = {each.metric: each.met for each in rows_of(100_000, said) if each.target}
    assert met["100,000: search, p95, Likeness over HTTP"] is False
    assert met["100,000: searches a second beside FAISS Flat"] is True


def test_ended_from_outside_the_benchmark_ends_what_it_started(tmp_path):
    script = (
        "import subprocess, sys, time\nfrom pathlib import Path\n"
        "from scripts.benchmarks.over_http import end_in_order, serving\n"
        "end_in_order()\nwith serving(Path(sys.argv[1]) / 'home') as api:\n"
        "    (Path(sys.argv[1]) / 'pid').write_text(str(api))\n    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    pid = tmp_path / "pid"
    _wait(lambda: pid.exists() and pid.read_text() != "", 120)

    process.send_signal(signal.SIGTERM)
    process.wait(60)

    deadline = time.monotonic() + 30
    api = f"/proc/{pid.read_text()}/cmdline"
    while time.monotonic() < deadline and _lives(api):
        time.sleep(0.1)
    assert not _lives(api)


def _lives(cmdline: str) -> bool:
    try:
        with open(cmdline, "rb") as file:
            return b"app.api" in file.read()
    except FileNotFoundError:
        return False
