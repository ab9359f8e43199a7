"""What a collection is searched with, and trained from, before it has a model of its own."""

import shutil

import pytest

from app import training, work
from indexer.catalog import collection_named, ensure_collection
from indexer.sources import scan
from model import shipped
from model.info import read_info
from tests.app.conftest import EACH, SUBJECTS


@pytest.fixture
def ships(tmp_path, monkeypatch, model_folder) -> str:
    """The fingerprint of a small model that lies where the encoder lies that ships."""
    shutil.copytree(model_folder, tmp_path / "default")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "default")
    return model_folder.name


@pytest.fixture
def collection(workspace, folder):
    made = ensure_collection(workspace.engine, "new")
    work.import_found(workspace, made, scan([folder]))
    return made


def test_a_new_collection_is_searched_with_the_encoder_that_ships(ships, workspace, collection):
    done = work.index(workspace, collection)

    assert (done["model"], done["indexed"]) == (ships, len(SUBJECTS) * EACH)
    assert collection_named(workspace.engine, "new").active_model == ships


def test_a_training_starts_from_it_and_is_compared_with_it_as_it_is(ships, workspace, collection):
    chosen = {"epochs": 1, "batch_size": 8, "image_size": 24}

    done = training.train(workspace, collection, chosen)

    before, after = (read_info(workspace.home.model(done[name])) for name in ("started_from", "model"))
    assert (before.fingerprint, before.preparation.image_size) == (ships, 32)
    assert after.started_from == ships
    assert after.preparation.image_size == 36  # half as much again as the views
    assert done["report"]["before"] == ships


def test_another_backbone_is_trained_from_random_weights(ships, workspace, collection):
    chosen = {"epochs": 1, "batch_size": 8, "image_size": 32, "backbone": "test_resnet"}

    done = training.train(workspace, collection, chosen)

    before, after = (read_info(workspace.home.model(done[name])) for name in ("started_from", "model"))
    assert (before.backbone, before.started_from) == (after.backbone, "random") == ("test_resnet", "random")
    assert before.preparation == after.preparation


@pytest.mark.parametrize("init", ["timm:resnet18=/etc/hostname", "timm:resnet18=model.safetensors"])
def test_a_file_of_weights_cannot_be_named_over_http(indexed, init):
    answer = indexed.post("/v1/collections/photos/trainings", json={"init": init})

    assert (answer.status_code, answer.json()["error"]) == (422, "BadInput")
    assert "command line only" in answer.json()["detail"]
