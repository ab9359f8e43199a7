"""Fine-tuning over HTTP on real pictures: judged on labels kept out, adopted only if better, honest afterwards."""

import threading

import pytest

from app import jobs, worker
from app.finetuning import LEARNT, lesson_of
from app.workspace import find_model
from indexer.catalog import collection_named
from tests import pictures
from tests.app.conftest import SUBJECTS, do_jobs, untrained

EACH = 40
SMALL = {"epochs": 2, "image_size": 32, "batch_size": 32}
LONG = 12  # epochs of a fine-tuning that is interrupted


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A smaller network than elsewhere: every fine-tuning exports another."""
    return untrained(tmp_path_factory.mktemp("small"), "test_resnet")


@pytest.fixture
def labelled(client, workspace, model_folder, tmp_path):
    """A collection `photos` of 120 labelled pictures, indexed with the small model."""
    pictures.write_folders(tmp_path / "photos", SUBJECTS, EACH)
    client.post("/v1/collections", json={"name": "photos"})
    body = {"path": str(tmp_path / "photos"), "labels_from_folders": True}
    client.post("/v1/collections/photos/imports", json=body)
    client.post("/v1/collections/photos/indexes", json={"model": model_folder.name})
    do_jobs(workspace)
    assert client.get("/v1/collections/photos").json()["labelled"] == EACH * len(SUBJECTS)
    return client


def finetuned(client, workspace, **body):
    job = client.post("/v1/collections/photos/finetunings", json=SMALL | body).json()
    do_jobs(workspace)
    done = client.get(f"/v1/jobs/{job['id']}").json()
    assert done["state"] == "succeeded", done["error"]
    return done["result"]


@pytest.mark.parametrize("loss", ["supervised", "cross-entropy"])
def test_a_finetuning_is_judged_on_labels_kept_out_and_the_report_says_so(labelled, workspace, model_folder, loss):
    result = finetuned(labelled, workspace, loss=loss, adopt="never")

    assert result["started_from"] == model_folder.name
    assert result["labels"]["learnt"] + result["labels"]["kept_out"] == EACH * len(SUBJECTS)
    report = labelled.get(f"/v1/models/{result['model']}/report").json()
    deciding = report["measures"][0]
    assert report["decided_by"] == deciding["name"] == "probe_on_labels_kept_out"
    assert deciding["pictures"] == result["labels"]["kept_out"]
    assert deciding["interval"][0] <= deciding["difference"] <= deciding["interval"][1]
    assert result["verdict"] == report["verdict"] == deciding["verdict"]
    assert "labels were kept out" in report["sentence"]
    assert labelled.get("/v1/collections/photos").json()["active_model"] == model_folder.name
    page = labelled.get(f"/v1/models/{result['model']}/report", params={"format": "html"}).text
    assert "Probe from the labels learnt from, on labels kept out (decides)" in page


def test_only_what_is_better_is_adopted(labelled, workspace, model_folder):
    spoiled = finetuned(labelled, workspace, learning_rate=0.1, epochs=1)  # too high: it unlearns

    assert (spoiled["verdict"], spoiled["adopted"]) != ("better", False)
    assert spoiled["adopted"] is (spoiled["verdict"] == "better")
    assert (labelled.get("/v1/collections/photos").json()["active_model"] == model_folder.name) is not spoiled[
        "adopted"
    ]


def test_after_adoption_quality_is_that_on_labels_the_encoder_never_saw(labelled, workspace):
    result = finetuned(labelled, workspace, adopt="always")

    said = labelled.get("/v1/collections/photos/probe").json()

    assert said["model"] == result["model"]
    assert said["labels"] == EACH * len(SUBJECTS)
    assert said["learnt_from"] == result["labels"]["learnt"]
    assert sum(sum(row) for row in said["confusion"]) == result["labels"]["kept_out"]
    assert sum(x["labels"] for x in said["reliability"]) == result["labels"]["kept_out"]
    learnt = find_model(workspace.home, result["model"]).training[LEARNT]
    assert len(learnt) == result["labels"]["learnt"]


def test_a_finetuning_that_is_paused_and_resumed_finishes(labelled, workspace):
    job_id = labelled.post("/v1/collections/photos/finetunings", json=SMALL | {"epochs": LONG}).json()["id"]
    job = jobs.claim(workspace.engine, "learning")
    thread = threading.Thread(target=worker.do_job, args=(workspace, job, threading.Event()))
    thread.start()
    while jobs.get(workspace.engine, job_id).progress == 0:
        thread.join(0.1)

    labelled.post(f"/v1/jobs/{job_id}/pause")
    thread.join(120)
    paused = labelled.get(f"/v1/jobs/{job_id}").json()
    rows = labelled.get(f"/v1/jobs/{job_id}/metrics").json()["rows"]
    labelled.post(f"/v1/jobs/{job_id}/resume")
    do_jobs(workspace)

    assert paused["state"] == "paused"
    done = labelled.get(f"/v1/jobs/{job_id}").json()
    assert done["state"] == "succeeded", done["error"]
    after = labelled.get(f"/v1/jobs/{job_id}/metrics").json()["rows"]
    assert after[: len(rows)] == rows  # gone on with, not begun again
    assert after[-1]["epoch"] == LONG


def test_copies_of_a_picture_are_all_learnt_or_all_kept_out(labelled, workspace):
    lesson = lesson_of(workspace, collection_named(workspace.engine, "photos"))

    assert not set(lesson.groups[lesson.learnt]) & set(lesson.groups[lesson.kept_out])
    assert sorted([*lesson.learnt, *lesson.kept_out]) == list(range(EACH * len(SUBJECTS)))
    assert set(lesson.names[lesson.learnt]) == set(lesson.names[lesson.kept_out]) == set(SUBJECTS)


def test_too_few_labels_are_409_at_once_and_say_how_many(labelled):
    taken = {"filter": {"class": SUBJECTS[0]}, "class": SUBJECTS[0], "answer": "none"}
    assert labelled.post("/v1/collections/photos/labels", json=taken).json()["changed"] == EACH

    answer = labelled.post("/v1/collections/photos/finetunings", json={})

    assert answer.status_code == 409
    assert "needs 100 labels" in answer.json()["detail"]
