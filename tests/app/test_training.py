"""A training over HTTP: what it will cost, what is seen as it learns, and stopping it with the best so far."""

import json
import threading

import pytest

from app import jobs, worker
from app.cli import main
from app.workspace import all_models
from indexer.errors import NoSuchImage
from model.info import read_info
from tests.app.conftest import EACH, SMALL, SUBJECTS, do_jobs

SIZES = {"epochs": 2, "batch_size": 8, "image_size": 32}
BODY = {**SMALL, **SIZES}


def ids_of(client):
    return [image["id"] for image in client.get("/v1/collections/photos/images?sort=oldest").json()["items"]]


def test_an_estimate_says_what_the_training_will_be_and_cost(indexed, workspace, monkeypatch):
    monkeypatch.setattr("model.estimate.SECONDS", 0.5)

    job = indexed.post("/v1/collections/photos/trainings/estimate", json={**SIZES, "epochs": 7})
    do_jobs(workspace)
    done = indexed.get(f"/v1/jobs/{job.json()['id']}").json()

    assert job.status_code == 202
    assert done["state"] == "succeeded", done["error"]
    cost = done["result"]
    assert (cost["pictures"], cost["epochs"], cost["batch_size"], cost["device"]) == (24, 7, 8, "cpu")
    assert cost["seconds"] == pytest.approx(sum(cost["parts"].values()), abs=0.2)
    # 24 pictures, two of them kept out: two batches of eight an epoch, two views each
    assert cost["parts"]["learning"] == pytest.approx(7 * 2 * 8 * 2 / cost["views_per_second"], abs=0.1, rel=0.02)
    assert cost["memory_mb"] > 0
    assert cost["disk_mb"] > 45  # a ResNet-18 alone has 45 MB of weights
    assert cost["sentence"].startswith("About ")
    models = indexed.get("/v1/models").json()["items"]
    assert not any("collection_id" in model["training"] for model in models)  # nothing was learnt
    assert not workspace.home.run("x").parent.exists()


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"preset": "holiday"}, 422, "BadInput"),
        ({"init": "timm:resnet18=/etc/hostname"}, 422, "BadInput"),
        ({"pins": [999_999]}, 404, NoSuchImage.__name__),
        ({"pins": [1, 2, 3, 4, 5]}, 422, "BadInput"),
    ],
)
@pytest.mark.parametrize("path", ["trainings", "trainings/estimate"])
def test_what_cannot_be_trained_is_refused_before_a_job_is_made(indexed, path, body, status, error):
    answer = indexed.post(f"/v1/collections/photos/{path}", json=body)

    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert indexed.get("/v1/jobs?state=queued").json()["total"] == 0


def test_a_pin_of_another_collection_is_refused(indexed, workspace):
    indexed.post("/v1/collections", json={"name": "other"})

    answer = indexed.post("/v1/collections/other/trainings", json={"pins": [ids_of(indexed)[0]]})

    assert answer.status_code == 422
    assert "is not in 'other'" in answer.json()["detail"]


def test_the_command_measures_without_training(indexed, workspace, settings, capsys, monkeypatch):
    monkeypatch.setattr("model.estimate.SECONDS", 0.5)

    code = main(
        ["pretrain", "--estimate", "--batch-size", "8", "--image-size", "32", "--home", str(settings.home), "--json"]
    )

    said = json.loads(capsys.readouterr().out)
    assert code == 0
    assert said["seconds"] > 0
    assert not any("collection_id" in info.training for info in all_models(workspace.home))


def test_pinned_pictures_and_labels_are_looked_at_as_it_learns_and_stay_with_the_model(indexed, workspace):
    ids = ids_of(indexed)
    for number, subject in enumerate(SUBJECTS):
        of_it = ids[number * EACH : (number + 1) * EACH]
        indexed.post("/v1/collections/photos/labels", json={"image_ids": of_it, "class": subject})
    job = indexed.post("/v1/collections/photos/trainings", json={**BODY, "pins": [ids[3], ids[12]]}).json()

    before = indexed.get(f"/v1/jobs/{job['id']}/pinned").json()
    do_jobs(workspace)
    done = indexed.get(f"/v1/jobs/{job['id']}").json()
    looks = indexed.get(f"/v1/jobs/{job['id']}/pinned").json()["evaluations"]
    rows = indexed.get(f"/v1/jobs/{job['id']}/metrics").json()["rows"]

    assert before == {"evaluations": []}
    assert done["state"] == "succeeded", done["error"]
    assert done["result"]["stopped"] is None
    assert [look["epoch"] for look in looks] == [0, 1, 2]
    for look in looks:
        assert [query["image"] for query in look["queries"]] == [ids[3], ids[12]]
        for query in look["queries"]:
            assert len(query["nearest"]) == 10
            assert {one["image"] for one in query["nearest"]} <= set(ids) - {query["image"]}
            assert indexed.get(query["nearest"][0]["preview"]).status_code == 200
    assert all(0 <= row["knn"] <= 1 and row["knn_labels"] == 24 for row in rows)


def test_a_training_can_be_ended_with_the_best_so_far(indexed, workspace):
    job_id = indexed.post("/v1/collections/photos/trainings", json={**BODY, "epochs": 500}).json()["id"]
    job = jobs.claim(workspace.engine, "learning")
    thread = threading.Thread(target=worker.do_job, args=(workspace, job, threading.Event()))
    thread.start()
    while len(indexed.get(f"/v1/jobs/{job_id}/metrics").json()["rows"]) < 2:
        thread.join(0.1)
        assert thread.is_alive(), jobs.get(workspace.engine, job_id)
    asked = indexed.post(f"/v1/jobs/{job_id}/keep")
    thread.join()
    done = jobs.get(workspace.engine, job_id)

    assert asked.status_code == 200
    assert done.state == "succeeded", done.error
    assert done.result is not None
    stopped = done.result["stopped"]
    rows = indexed.get(f"/v1/jobs/{job_id}/metrics").json()["rows"]
    assert stopped["of"] == 500
    assert stopped["in_epoch"] == rows[-1]["epoch"] < 500
    assert stopped["quality"] == max(row["quality"] for row in rows if "quality" in row)
    assert read_info(workspace.home.model(done.result["model"])).training["kept_epoch"] == stopped["kept_epoch"]
    assert done.result["verdict"] in ("better", "same", "worse")


def test_a_paused_training_can_be_ended_too_and_other_work_cannot(indexed, workspace):
    training = indexed.post("/v1/collections/photos/trainings", json=BODY).json()["id"]
    index = indexed.post("/v1/collections/photos/indexes").json()["id"]
    indexed.post(f"/v1/jobs/{training}/pause")

    kept = indexed.post(f"/v1/jobs/{training}/keep").json()
    refused = indexed.post(f"/v1/jobs/{index}/keep")
    do_jobs(workspace)

    assert kept["state"] == "queued"
    assert (refused.status_code, refused.json()["error"]) == (422, "BadInput")
    done = indexed.get(f"/v1/jobs/{training}").json()
    assert done["state"] == "succeeded", done["error"]
    assert done["result"]["stopped"]["in_epoch"] < 2


def test_another_models_index_is_built_without_making_it_the_active_one(indexed, workspace, model_folder):
    job = indexed.post("/v1/collections/photos/trainings", json={**BODY, "epochs": 1}).json()
    do_jobs(workspace)
    other = indexed.get(f"/v1/jobs/{job['id']}").json()["result"]["model"]

    indexed.post("/v1/collections/photos/indexes", json={"model": other, "activate": False})
    do_jobs(workspace)

    assert indexed.get("/v1/collections/photos").json()["active_model"] == model_folder.name
    assert indexed.patch("/v1/collections/photos", json={"active_model": other}).status_code == 200
