"""Yesterday's data opens today (promise 34)."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.api import create_api
from app.settings import Settings
from indexer.errors import NewerCatalog

HOMES = sorted(path for path in (Path(__file__).parent.parent / "homes").iterdir() if (path / "catalog.db").exists())


@pytest.mark.promise(34)
def test_there_is_a_home_of_a_released_version():
    assert HOMES[0].name == "0.1.0"


@pytest.mark.promise(34)
@pytest.mark.parametrize("released", HOMES, ids=lambda home: home.name)
def test_the_home_of_a_released_version_opens_with_its_labels_vectors_and_model(released, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(released, home)

    with TestClient(create_api(Settings(home=home, threads=1)), base_url="http://localhost") as client:
        ready = client.get("/v1/ready")
        labels = client.get("/v1/collections/photos/labels").json()["items"]
        predictions = client.get("/v1/collections/photos/predictions").json()
        original = client.get("/v1/images/1/original")
        query = client.post("/v1/collections/photos/queries", files={"file": ("cat.jpg", original.content)}).json()
        hits = client.post("/v1/collections/photos/search", json={"positive": [query["query_id"]]}).json()["hits"]
        redone = client.post("/v1/collections/photos/labels/redo").json()

    assert ready.status_code == 200
    assert {(x["image_id"], x["class"]) for x in labels} == {(1, "cat"), (2, "cat"), (5, "coffee"), (6, "coffee")}
    assert predictions["total"] == 8
    assert hits[0]["image"]["id"] == 1
    assert hits[0]["cosine"] >= 0.999
    assert redone["changed"] == 1


@pytest.mark.promise(34)
def test_a_home_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path):
    home = tmp_path / "home"
    shutil.copytree(HOMES[0], home)
    with sqlite3.connect(home / "catalog.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = (home / "catalog.db").read_bytes()

    with (
        pytest.raises(NewerCatalog, match="start the newer Likeness"),
        TestClient(create_api(Settings(home=home))),
    ):
        pass

    assert (home / "catalog.db").read_bytes() == before
