"""Jobs are durable: claimed once, told what a person wants, and gone on with after a worker's death."""

import copy
import json
import pickle
import threading

import pytest
from filelock import FileLock

from app import jobs, worker
from indexer.catalog import create_collection
from indexer.errors import Busy
from model.errors import BadInput
from model.progress import Line, rate_line
from tests.app.conftest import SMALL, do_jobs

LONG = 100  # epochs of a training that is interrupted


@pytest.fixture
def collection(workspace):
    return create_collection(workspace.engine, "photos")


def test_jobs_are_claimed_oldest_first_and_only_once(workspace, collection):
    first, second = (jobs.create(workspace.engine, collection, "index", {}) for _ in range(2))

    claimed = [jobs.claim(workspace.engine, "pictures") for _ in range(3)]

    assert [job.id if job else None for job in claimed] == [first.id, second.id, None]


def test_lanes_do_not_wait_for_each_other(workspace, collection):
    jobs.create(workspace.engine, collection, "training", {})
    index = jobs.create(workspace.engine, collection, "index", {})

    assert jobs.claim(workspace.engine, "pictures").id == index.id


def test_a_dead_workers_job_is_queued_again(workspace, collection):
    job = jobs.create(workspace.engine, collection, "index", {})
    jobs.claim(workspace.engine, "pictures")

    jobs.requeue_orphans(workspace.engine, "pictures")

    assert jobs.claim(workspace.engine, "pictures").id == job.id


def test_a_queued_job_is_cancelled_at_once(workspace, collection):
    job = jobs.create(workspace.engine, collection, "index", {})

    cancelled = jobs.ask(workspace.engine, job.id, "cancel")

    assert cancelled.state == "cancelled"
    assert jobs.claim(workspace.engine, "pictures") is None


def test_a_finished_job_cannot_be_cancelled(workspace, collection):
    job = jobs.create(workspace.engine, collection, "index", {})
    jobs.ask(workspace.engine, job.id, "cancel")

    with pytest.raises(BadInput, match="is cancelled"):
        jobs.ask(workspace.engine, job.id, "pause")


def test_a_running_job_hears_that_it_shall_stop(workspace, collection):
    job = jobs.create(workspace.engine, collection, "training", {})
    jobs.claim(workspace.engine, "learning")
    jobs.ask(workspace.engine, job.id, "pause")

    asked = jobs.report(workspace.engine, job.id, 0.5, "half way")

    assert asked == "pause"
    assert jobs.get(workspace.engine, job.id).progress == 0.5


def test_a_training_that_is_paused_and_resumed_finishes(indexed, workspace):
    body = {**SMALL, "epochs": LONG, "batch_size": 8, "image_size": 32}
    job_id = indexed.post("/v1/collections/photos/trainings", json=body).json()["id"]
    job = jobs.claim(workspace.engine, "learning")
    thread = threading.Thread(target=worker.do_job, args=(workspace, job, threading.Event()))
    thread.start()
    while jobs.get(workspace.engine, job_id).progress == 0:
        thread.join(0.1)
        assert thread.is_alive(), jobs.get(workspace.engine, job_id)
    indexed.post(f"/v1/jobs/{job_id}/pause")
    thread.join()
    paused = jobs.get(workspace.engine, job_id)

    indexed.post(f"/v1/jobs/{job_id}/resume")
    do_jobs(workspace)
    done = jobs.get(workspace.engine, job_id)

    assert (paused.state, done.state) == ("paused", "succeeded")
    rows = indexed.get(f"/v1/jobs/{job_id}/metrics").json()["rows"]
    steps = [row["step"] for row in rows]
    assert steps == sorted(set(steps))
    assert rows[-1]["epoch"] == LONG


def test_a_job_that_cannot_work_fails_with_the_reason(workspace, collection):
    job = jobs.create(workspace.engine, collection, "index", {})

    do_jobs(workspace)

    failed = jobs.get(workspace.engine, job.id)
    assert (failed.state, failed.error) == ("failed", "'photos' holds no pictures yet: import some first.")


def test_events_tell_how_a_job_ended_and_then_end(indexed, workspace):
    job_id = indexed.post("/v1/collections/photos/indexes").json()["id"]
    do_jobs(workspace)

    text = indexed.get(f"/v1/jobs/{job_id}/events").text

    (line,) = [line for line in text.splitlines() if line.startswith("data: ")]
    assert text.startswith("event: job\n")
    assert json.loads(line.removeprefix("data: "))["state"] == "succeeded"


def test_a_second_worker_for_a_lane_refuses_to_start(workspace, monkeypatch):
    monkeypatch.setattr(worker, "PATIENCE", 0.1)
    lock = workspace.home.root / "locks" / "worker.learning.lock"
    lock.parent.mkdir(exist_ok=True)

    with FileLock(lock), pytest.raises(Busy, match="Another worker"):
        worker.run_worker(workspace, "learning", threading.Event())


def test_a_job_says_how_far_it_is_in_english_and_by_name_and_values(workspace, collection):
    job = jobs.create(workspace.engine, collection, "index", {})
    waiting = jobs.get(workspace.engine, job.id)
    jobs.report(workspace.engine, job.id, 0.25, rate_line(300, 1200, seconds=10))

    told = jobs.get(workspace.engine, job.id).public()

    assert (waiting.message, waiting.said) == ("waiting for its turn", {"name": "waiting", "values": {}})
    assert told["message"] == "300 of 1,200 pictures, 30 a second, 30 s left"
    assert told["said"] == {"name": "rate_pictures", "values": {"done": 300, "total": 1200, "rate": 30, "left": 30.0}}
    json.dumps(told)


def test_a_job_that_says_something_without_a_name_has_none_of_what_it_said_before(workspace, collection):
    job = jobs.create(workspace.engine, collection, "index", {})

    jobs.report(workspace.engine, job.id, 0.5, "half of it")

    told = jobs.get(workspace.engine, job.id)
    assert (told.message, told.said) == ("half of it", None)


def test_what_a_job_found_out_is_what_it_says_in_the_end(workspace, collection):
    job = jobs.create(workspace.engine, collection, "estimate", {})
    sentence = Line("estimate_cpu", "About {time}", time="2 min")

    jobs.finish(workspace.engine, job.id, "succeeded", Line("done", "done"), result={"sentence": sentence})

    told = jobs.get(workspace.engine, job.id)
    assert (told.message, told.result) == ("done", {"sentence": "About 2 min"})
    assert told.said == {"name": "estimate_cpu", "values": {"time": "2 min"}}


def test_a_failed_job_names_its_error(workspace, collection):
    job = jobs.create(workspace.engine, collection, "index", {})

    do_jobs(workspace)

    told = jobs.get(workspace.engine, job.id)
    assert told.state == "failed"
    assert told.said == {"name": "failed", "values": {"error": "TooFewImages"}}


def test_a_sentence_within_a_sentence_keeps_its_name_through_copies():
    line = Line("stopped_in", "Stopped in {where}", where=Line("epoch", "epoch {epoch} of 9", epoch=2))

    assert line == "Stopped in epoch 2 of 9"
    for copied in (copy.deepcopy(line), pickle.loads(pickle.dumps(line))):
        assert copied == line
        assert copied.said == {
            "name": "stopped_in",
            "values": {"where": {"name": "epoch", "values": {"epoch": 2}}},
        }
