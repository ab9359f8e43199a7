"""An int8 copy over HTTP and by the command: chosen where it is as good on the collection, otherwise not kept."""

import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from app.api import create_api
from app.cli import main
from app.int8 import KEPT, LEAST, make_int8, verdict
from app.settings import Settings
from app.training import train
from app.workspace import Workspace, all_models, find_model
from indexer.backup import back_up, restore
from indexer.catalog import Collection, collection_named
from indexer.home import Home
from indexer.images import contents_of
from indexer.vectors import VectorStore
from model.checkpoint import load_model, save_model
from model.encoder import open_encoder
from model.info import ONNX, ONNX_INFO
from tests.app.conftest import EACH, SUBJECTS, do_jobs, link_models
from tests.pictures import jpeg

CHECKED = len(SUBJECTS) * EACH


class Copied(NamedTuple):
    client: TestClient
    workspace: Workspace
    collection: Collection
    result: dict[str, Any]


@pytest.fixture(scope="module")
def copied(tmp_path_factory, shipped_folder, folder):
    """A collection whose int8 copy is made and chosen, for tests that look at it and leave it as it is."""
    home = tmp_path_factory.mktemp("copied") / "home"
    link_models(home, shipped_folder)
    workspace = Workspace.open(Settings(home=home, threads=1))
    with TestClient(create_api(workspace.settings), base_url="http://localhost") as client:
        collection = _indexed(client, workspace, folder, shipped_folder.name)
        yield Copied(client, workspace, collection, made(client, workspace))
    workspace.engine.dispose()


@pytest.fixture
def collection(client, workspace, shipped_folder, folder):
    """`photos`, indexed with the encoder that ships."""
    return _indexed(client, workspace, folder, shipped_folder.name)


def _indexed(client, workspace, folder, fingerprint):
    client.post("/v1/collections", json={"name": "photos"})
    client.post("/v1/collections/photos/imports", json={"path": str(folder), "labels_from_folders": True})
    client.post("/v1/collections/photos/indexes", json={"model": fingerprint})
    do_jobs(workspace)
    return collection_named(workspace.engine, "photos")


def made(client, workspace):
    job = client.post("/v1/collections/photos/int8").json()
    do_jobs(workspace)
    done = client.get(f"/v1/jobs/{job['id']}").json()
    assert done["state"] == "succeeded", done["error"]
    return done["result"]


def test_one_that_is_as_good_is_chosen_and_indexed_and_says_by_what(copied, shipped_folder):
    client, _, _, result = copied

    assert result["chosen"]
    assert result["float32"] == shipped_folder.name != result["model"]
    assert (result["pictures"], result["calibrated_on"], result["knn"]) == (CHECKED, CHECKED, None)
    assert KEPT <= result["nearest_kept"] <= 1
    assert result["sentence"].startswith("Chosen: ")
    assert result["sentence"].count(".") - result["sentence"].count("0.") < 5  # one sentence, with figures
    now = client.get("/v1/collections/photos").json()
    assert (now["active_model"], now["indexed"]) == (result["model"], CHECKED)
    models = {x["fingerprint"]: x for x in client.get("/v1/models").json()["items"]}
    assert models[result["model"]]["arithmetic"] == "int8"
    assert models[shipped_folder.name]["arithmetic"] == "float32"


def test_figures_are_those_of_the_vectors_in_the_index(copied):
    _, workspace, collection, result = copied

    shas = [sha256 for _, sha256, _ in contents_of(workspace.engine, collection)]
    float32, int8 = (VectorStore(workspace.home.vectors(result[x]), 512).get(shas)[1] for x in ("float32", "model"))
    kept = []
    for row in range(CHECKED):
        others = [i for i in range(CHECKED) if i != row]
        near = [set(sorted(others, key=lambda i: -float(v[i] @ v[row]))[:10]) for v in (float32, int8)]
        kept.append(len(near[0] & near[1]) / 10)
    assert result["nearest_kept"] == pytest.approx(np.mean(kept))


def test_a_picture_of_the_collection_sent_as_a_query_finds_itself_at_cosine_1(copied, folder):
    client = copied.client

    for subject in SUBJECTS:
        path = folder / subject / "00.jpg"
        form = {"file": (path.name, path.read_bytes())}
        query = client.post("/v1/collections/photos/queries", files=form).json()["query_id"]
        hit = client.post("/v1/collections/photos/search", json={"positive": [query], "limit": 1}).json()["hits"][0]

        assert (hit["image"]["folder"].rpartition("/")[2], hit["image"]["name"]) == (subject, "00.jpg")
        assert hit["cosine"] >= 0.999


@pytest.fixture
def unfit(tmp_path, model_folder, workspace):
    """A model with one channel so large that the steps of its scale swallow all others; float32 does not notice."""
    network, info = load_model(model_folder)
    with torch.no_grad():
        network.network.bn1.weight[0] *= 1e4
        network.network.layer2[0].downsample[0].weight[:, 0] *= 1e-4  # an untrained layer1 adds nothing of its own
    return save_model(network, info.preparation, workspace.home.models, started_from="random").fingerprint


def test_one_below_the_line_is_not_kept_and_float32_stays(client, workspace, unfit, folder):
    _indexed(client, workspace, folder, unfit)

    result = made(client, workspace)

    assert not result["chosen"]
    assert result["nearest_kept"] < KEPT
    assert result["sentence"].startswith("Not chosen: ")
    assert result["model"] == result["float32"] == unfit
    assert client.get("/v1/collections/photos").json()["active_model"] == unfit
    assert {info.arithmetic for info in all_models(workspace.home)} == {"float32"}
    floats = {info.fingerprint for info in all_models(workspace.home)}
    assert unfit in (kept := {path.stem for path in workspace.home.all_vectors()})
    assert kept <= floats


def test_k_nn_decides_where_there_are_labels_or_class_folders(client, workspace, collection, folder, monkeypatch):
    monkeypatch.setattr("app.int8.LABELS", CHECKED)
    by_labels = make_int8(workspace, collection)
    by_folders = make_int8(workspace, collection, folder)

    for result, of in ((by_labels, f"{CHECKED} labelled pictures"), (by_folders, str(folder))):
        assert result["knn"]["of"] == of
        assert 0.5 < result["knn"]["float32"] <= 1
        assert f"k-NN is right for {100 * result['knn']['int8']:.1f} of 100 pictures" in result["sentence"]
    assert by_labels["model"] == by_folders["model"]  # from an int8 model it begins at its float32 one again


@pytest.mark.parametrize(
    ("kept", "int8", "chosen"),
    [(0.95, 0.695, True), (0.9499, 0.7, False), (0.99, 0.6949, False), (1.0, 0.8, True), (0.96, None, True)],
)
def test_the_line_is_95_of_100_neighbours_and_half_a_point(kept, int8, chosen):
    knn = None if int8 is None else {"float32": 0.7, "int8": int8, "of": "x"}

    decided, sentence = verdict({"nearest_kept": kept, "knn": knn}, 2.0)

    assert decided is chosen
    assert sentence.startswith("Chosen: " if chosen else "Not chosen: ")
    assert ("not judged" in sentence) is (knn is None)


def test_training_from_an_int8_model_begins_from_its_float32_one(client, workspace, collection):
    result = made(client, workspace)
    chosen = {"epochs": 1, "batch_size": 8, "image_size": 32, "device": "cpu"}

    trained = train(workspace, collection, {"init": result["model"], **chosen})

    assert trained["started_from"] == result["float32"]
    assert find_model(workspace.home, trained["model"]).arithmetic == "float32"


def test_why_looks_into_the_float32_model(copied):
    client = copied.client
    first, second = (image["id"] for image in client.get("/v1/collections/photos/images?limit=2").json()["items"])

    said = client.get("/v1/collections/photos/why", params={"image": second, "query": first})

    assert said.status_code == 200, said.json()
    assert max(max(row) for row in said.json()["image"]["cells"]) == 1


def test_it_survives_backup_and_restore(copied, tmp_path):
    result = copied.result

    back_up(copied.workspace.home, tmp_path / "backup", "0")
    restore(tmp_path / "backup", Home(tmp_path / "restored"))

    restored = open_encoder(tmp_path / "restored" / "models" / result["model"], "cpu")
    assert restored.info.arithmetic == "int8"
    assert not (tmp_path / "restored" / "models" / result["model"] / ONNX).exists()
    assert not (tmp_path / "restored" / "models" / result["model"] / ONNX_INFO).exists()


def test_what_a_killed_run_left_is_cleared_away_by_the_next(client, workspace, collection, shipped_folder):
    from model.int8 import save_int8

    record = {"collection": "photos", "collection_id": collection.id, "pictures": 16}
    noise = np.random.default_rng(0).integers(0, 255, (16, 96, 96, 3), np.uint8)
    left = save_int8(workspace.home.model(shipped_folder.name), workspace.home.models, noise, record)

    result = made(client, workspace)

    kept = {info.fingerprint for info in all_models(workspace.home) if info.arithmetic == "int8"}
    assert kept == {result["model"]} != {left.fingerprint}


def test_what_is_missing_is_said_before_the_job(client, workspace, folder, model_folder, tmp_path):
    client.post("/v1/collections", json={"name": "photos"})
    early = client.post("/v1/collections/photos/int8")
    (tmp_path / "few").mkdir()
    for name in ("cat", "moon"):
        (tmp_path / "few" / f"{name}.jpg").write_bytes(jpeg(name))
    _indexed(client, workspace, tmp_path / "few", model_folder.name)
    few = client.post("/v1/collections/photos/int8")

    assert (early.status_code, early.json()["error"]) == (409, "NoIndex")
    assert (few.status_code, few.json()["error"]) == (409, "TooFewImages")
    assert f"judged on {LEAST} pictures" in few.json()["detail"]


def test_where_a_gpu_encodes_it_is_refused_in_a_sentence(client, workspace, collection, monkeypatch):
    monkeypatch.setattr("app.int8.has_cuda", lambda: True)

    said = client.post("/v1/collections/photos/int8")

    assert said.status_code == 422
    assert "a GPU encodes" in said.json()["detail"]


def test_the_command_prints_one_document_and_its_verdict(collection, settings, capsys):
    environment = {**os.environ, "LIKENESS_HOME": str(settings.home)}
    command = [sys.executable, "-m", "app.cli", "int8"]

    run = subprocess.run([*command, "--json"], capture_output=True, text=True, env=environment, timeout=300)
    assert main(["models", "--home", str(settings.home)]) == 0

    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert result["chosen"] is True
    assert [line for line in capsys.readouterr().out.splitlines() if result["model"] in line and ", int8\t" in line]
