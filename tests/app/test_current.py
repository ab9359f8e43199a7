"""Search is always current: what came is found, what went is not, and while an index is replaced both go on."""

from __future__ import annotations

import io
import shutil
import threading
import time

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from app import work
from app.api import create_api
from app.settings import Settings
from indexer.catalog import collection_named
from indexer.index import open_index
from indexer.publish import publish
from model.checkpoint import save_model
from model.network import starting_point
from tests.app.conftest import do_jobs
from tests.pictures import jpeg

LIKE = {"positive": [1], "limit": 500}


@pytest.fixture
def settings(settings) -> Settings:
    """Every collection is too large to be searched exactly."""
    return settings.model_copy(update={"search_ms": 1e-9})


def ids(answer) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [hit["image"]["id"] for hit in answer.json()["hits"]]


def pictures(count: int, seed: int = 0) -> list[tuple[str, tuple[str, bytes]]]:
    found = []
    for number in range(count):
        pixels = np.random.default_rng([seed, number]).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        found.append(("files", (f"{seed}-{number}.png", buffer.getvalue())))
    return found


@pytest.fixture
def large(indexed, workspace) -> TestClient:
    """The client, over an index of the kind that grows by a tail."""
    indexed.post("/v1/collections/photos/indexes")
    do_jobs(workspace)
    assert indexed.get("/v1/collections/photos").json()["index"]["kind"] == "graph"
    return indexed


def test_ten_pictures_are_found_without_a_rebuild(large, workspace):
    before = ids(large.post("/v1/collections/photos/search", json=LIKE))
    large.post("/v1/collections/photos/images", files=pictures(10))

    do_jobs(workspace)
    found = ids(large.post("/v1/collections/photos/search", json=LIKE))

    said = large.get("/v1/collections/photos").json()["index"]
    assert len(found) == len(before) + 10
    assert set(before) < set(found)
    assert said["added_since"] == 10


def test_a_removed_picture_is_gone_from_the_next_search_and_a_query_like_it(large):
    last = ids(large.post("/v1/collections/photos/search", json=LIKE))[0]

    large.post("/v1/collections/photos/images/remove", json={"image_ids": [last]})

    assert last not in ids(large.post("/v1/collections/photos/search", json=LIKE))


def test_what_came_in_later_can_be_searched_with_labelled_and_predicted(large, workspace):
    large.post("/v1/collections/photos/images", files=pictures(4))
    do_jobs(workspace)
    newest = [item["id"] for item in large.get("/v1/collections/photos/images?limit=4").json()["items"]]

    for image_ids, name in ((newest, "noise"), ([1, 2, 3, 4], "cat")):
        large.post("/v1/collections/photos/labels", json={"image_ids": image_ids, "class": name})

    assert len(ids(large.post("/v1/collections/photos/search", json={"positive": newest[:2], "limit": 10}))) == 10
    assert large.get("/v1/collections/photos/predictions").json()["total"] == 28


@pytest.mark.promise(28)
def test_searches_while_the_index_is_replaced_answer_the_old_or_the_new_list(large, workspace):
    collection = collection_named(workspace.engine, "photos")
    folder = workspace.home.index(collection.id, collection.active_model)
    built = open_index(folder)
    numbers, vectors = built.ids.copy(), np.array(built.vectors)
    answers: list[list[int]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answers.append(ids(large.post("/v1/collections/photos/search", json=LIKE)))

    def ranked(of: np.ndarray) -> list[int]:
        cosines = of @ of[numbers.tolist().index(1)]
        return [i for i in numbers[np.lexsort((numbers, -cosines))].tolist() if i != 1]

    # The new vectors are the old ones, each given to another picture: an answer of some of both would be neither list.
    new = np.roll(vectors, len(vectors) // 2, axis=0)
    lists = {id(of): ranked(of) for of in (vectors, new)}
    before = ids(large.post("/v1/collections/photos/search", json=LIKE))
    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        for budget_ms in (5.0, 1e-9, 1e-9) * 4:  # one file, three files, three others, and back
            of = new if answers and answers[-1] == lists[id(vectors)] else vectors
            publish(folder, numbers, of, budget_ms=budget_ms)
            until = time.monotonic() + 60
            while (not answers or answers[-1] != lists[id(of)]) and time.monotonic() < until:
                time.sleep(0.01)
            assert answers[-1] == lists[id(of)]
    finally:
        stop.set()
        for thread in asking:
            thread.join()

    old_list, new_list = lists.values()
    assert old_list == before
    assert old_list != new_list
    assert all(answer in (old_list, new_list) for answer in answers)


def test_the_page_of_a_collection_says_how_well_its_index_finds(large):
    said = large.get("/v1/collections/photos").json()["index"]

    assert said["recall_at_10"] == 1.0
    assert said["measured_on"] == 2
    assert "100.0% of the ten most alike" in said["sentence"]


def test_an_exact_index_says_so(indexed_home, tmp_path):
    with TestClient(create_api(Settings(home=indexed_home)), base_url="http://localhost") as client:
        assert client.get("/v1/collections/photos").json()["index"]["sentence"].endswith("it is exact.")


def test_a_filtered_search_notices_what_came_and_went(large, workspace):
    wanted = {**LIKE, "filter": {"min_side": 41}}
    before = ids(large.post("/v1/collections/photos/search", json=wanted))

    large.post("/v1/collections/photos/images/remove", json={"image_ids": before[:1]})
    after = ids(large.post("/v1/collections/photos/search", json=wanted))

    assert after == before[1:]


def test_searches_while_another_model_is_opened_answer_the_old_list_and_then_the_new(
    large, workspace, settings, model_folder, monkeypatch
):
    start = starting_point("random", "resnet18", 32, workspace.home.models, seed=1)
    other = save_model(start.backbone, start.preparation, workspace.home.models, started_from="random").fingerprint
    work.index(workspace, collection_named(workspace.engine, "photos"), other)
    large.patch("/v1/collections/photos", json={"active_model": model_folder.name})
    old = large.post("/v1/collections/photos/search", json=LIKE).json()
    ready, opened = threading.Event(), threading.Event()

    def slowly(folder, held=None):
        assert folder.name == other
        assert ready.wait(60)
        try:
            return open_index(folder, held)
        finally:
            opened.set()

    monkeypatch.setattr("app.engine.open_index", slowly)

    chosen = large.patch("/v1/collections/photos", json={"active_model": other}).json()["active_model"]
    during = large.post("/v1/collections/photos/search", json=LIKE).json()
    upload = large.post("/v1/collections/photos/queries", files=[("file", pictures(1)[0][1])]).json()["query_id"]
    by_upload = large.post("/v1/collections/photos/search", json={"positive": [upload], "limit": 3}).json()
    ready.set()
    assert opened.wait(60)
    for _ in range(100):
        after = large.post("/v1/collections/photos/search", json=LIKE).json()
        if after["model"] == other:
            break
        assert after["hits"] == old["hits"]
        time.sleep(0.05)

    assert chosen == other
    assert (during["model"], during["hits"]) == (model_folder.name, old["hits"])
    assert by_upload["model"] == model_folder.name  # and so is the query's vector: models never mix
    assert after["model"] == other
    assert [hit["score"] for hit in after["hits"]] != [hit["score"] for hit in old["hits"]]


def test_an_index_that_is_damaged_when_its_model_becomes_active_is_said_and_not_the_old_one_for_ever(
    large, workspace, model_folder
):
    start = starting_point("random", "resnet18", 32, workspace.home.models, seed=1)
    other = save_model(start.backbone, start.preparation, workspace.home.models, started_from="random").fingerprint
    collection = collection_named(workspace.engine, "photos")
    work.index(workspace, collection, other)
    large.patch("/v1/collections/photos", json={"active_model": model_folder.name})
    large.post("/v1/collections/photos/search", json=LIKE)
    for file in workspace.home.index(collection.id, other).glob("*.vectors"):
        file.write_bytes(bytes(file.stat().st_size))

    large.patch("/v1/collections/photos", json={"active_model": other})
    for _ in range(100):
        answer = large.post("/v1/collections/photos/search", json=LIKE)
        if answer.status_code != 200:
            break
        time.sleep(0.05)

    assert (answer.status_code, answer.json()["error"]) == (503, "DamagedIndex")


def test_a_search_needs_no_label(large):
    assert large.get("/v1/collections/photos/labels").json()["total"] == 0
    assert len(ids(large.post("/v1/collections/photos/search", json=LIKE))) > 0


@pytest.mark.parametrize("how", ["old bytes", "copy"])
def test_an_image_that_comes_back_can_be_searched_again(indexed, workspace, folder, tmp_path, how):
    shutil.copytree(folder, tmp_path / "mine")
    path, copy = tmp_path / "mine" / "cat" / "00.jpg", tmp_path / "away.jpg"
    shutil.copy2(path, tmp_path / "mine" / "copy.jpg") if how == "copy" else shutil.copy2(path, copy)
    indexed.post("/v1/collections", json={"name": "mine"})

    def bring():
        indexed.post("/v1/collections/mine/imports", json={"path": str(tmp_path / "mine")})
        do_jobs(workspace)
        listed = indexed.get("/v1/collections/mine/images", params={"limit": 500}).json()["items"]
        return {image["id"]: image["name"] for image in listed}

    before = bring()
    if how == "copy":
        (tmp_path / "mine" / "copy.jpg").rename(copy)
    path.write_bytes(jpeg("moon"))
    without = bring()
    copy.replace(tmp_path / "mine" / "copy.jpg" if how == "copy" else path)
    after = bring()

    [back] = before.keys() - without.keys()
    assert back in after
    found = indexed.post("/v1/collections/mine/search", json={"positive": [back], "limit": 500}).json()
    assert found["total"] == len(after) - 1
