"""Two models of a collection, asked the same and compared blind."""

from pathlib import Path

import numpy as np
import pytest

from app.engine import Engine
from indexer.catalog import collection_named
from tests.app.conftest import do_jobs, unexported, untrained


@pytest.fixture(scope="module")
def second(tmp_path_factory) -> Path:
    return untrained(tmp_path_factory.mktemp("second"), "test_resnet", seed=1)


@pytest.fixture
def other(indexed, workspace, second) -> str:
    """A second model with an index of the collection, that is not the active one."""
    (workspace.home.models / second.name).symlink_to(second)
    indexed.post("/v1/collections/photos/indexes", json={"model": second.name, "activate": False})
    do_jobs(workspace)
    return second.name


@pytest.fixture
def begin(indexed, model_folder, other):
    def run(**more):
        body = {"models": [model_folder.name, other], **more}
        return indexed.post("/v1/collections/photos/comparisons", json=body)

    return run


def ids_of(client):
    return [image["id"] for image in client.get("/v1/collections/photos/images?sort=oldest").json()["items"]]


def found(client, model, image_id, limit=12):
    body = {"positive": [image_id], "limit": limit, "model": model}
    answer = client.post("/v1/collections/photos/search", json=body).json()
    assert answer["model"] == model
    return [hit["image"]["id"] for hit in answer["hits"]]


def test_a_search_by_another_model_leaves_the_active_one_where_it_is(indexed, workspace, model_folder, other):
    image_id = ids_of(indexed)[0]
    usual = indexed.post("/v1/collections/photos/search", json={"positive": [image_id]}).json()

    by_other = indexed.post("/v1/collections/photos/search", json={"positive": [image_id], "model": other[:6]}).json()
    again = indexed.post("/v1/collections/photos/search", json={"positive": [image_id]}).json()

    assert (usual["model"], by_other["model"], again["model"]) == (model_folder.name, other, model_folder.name)
    assert [hit["score"] for hit in by_other["hits"]] != [hit["score"] for hit in usual["hits"]]
    assert again["hits"] == usual["hits"]
    collection = collection_named(workspace.engine, "photos")
    index = Engine(workspace).index_under(collection, other)
    cosines = index.vectors @ index.vectors_of(np.array([image_id]))[1][0]
    best = index.ids[np.argsort(-cosines)][1]
    assert by_other["hits"][0]["image"]["id"] == best


def test_a_query_picture_is_encoded_by_the_model_that_is_asked(indexed, other, folder):
    path = next(folder.rglob("*.jpg"))
    with open(path, "rb") as file:
        query = indexed.post("/v1/collections/photos/queries", files={"file": (path.name, file)}).json()["query_id"]

    hits = indexed.post("/v1/collections/photos/search", json={"positive": [query], "model": other}).json()["hits"]

    assert hits[0]["score"] == pytest.approx(1, abs=1e-3)  # itself, only true in the model's own space


def test_the_indexes_of_a_collection_say_which_is_active(indexed, model_folder, other):
    items = indexed.get("/v1/collections/photos/indexes").json()["items"]

    assert {item["model"]: item["active"] for item in items} == {model_folder.name: True, other: False}
    assert all(item["vectors"] == item["images"] == 24 for item in items)


def test_the_sides_are_what_the_two_models_find_and_the_answer_tells_which(indexed, model_folder, other, begin):
    image_id = ids_of(indexed)[5]
    shown = begin(image_id=image_id)

    assert shown.status_code == 201
    one = shown.json()
    assert one["image"]["id"] == image_id
    assert not {"left_model", "right_model", "models"} & set(one)  # nothing says which is which
    told = indexed.post(f"/v1/collections/photos/comparisons/{one['id']}/vote", json={"answer": "left"}).json()
    assert {told["left"], told["right"]} == {model_folder.name, other}
    for side in ("left", "right"):
        assert [image["id"] for image in one[side]] == found(indexed, told[side], image_id)
    result = told["result"]
    assert (result["votes"], result["same"]) == (1, 0)
    assert result["wins"][result["models"].index(told["left"])] == 1
    assert result["better"] is None


def test_votes_add_up_are_kept_and_can_be_taken_back(indexed, model_folder, begin):
    asked = set()
    for _ in range(6):
        one = begin(limit=5).json()
        asked.add(one["image"]["id"])
        vote = f"/v1/collections/photos/comparisons/{one['id']}/vote"
        told = indexed.post(vote, json={"answer": "right"}).json()
        preferred = told["right"]
        better = "left" if preferred != model_folder.name else "right"
        told = indexed.post(vote, json={"answer": better}).json()  # always for the same model, whichever side

    assert len(asked) == 6  # nothing is asked twice
    (result,) = indexed.get("/v1/collections/photos/comparisons").json()["items"]
    assert result["votes"] == 6
    assert sorted(result["wins"]) == [0, 6]
    assert result["better"] is not None
    assert result["better"][:8] in result["sentence"]
    taken = indexed.delete(f"/v1/collections/photos/comparisons/{result['last']}").json()
    assert taken["result"]["votes"] == 5
    assert indexed.delete(f"/v1/collections/photos/comparisons/{result['last']}").status_code == 404


def test_pictures_run_out(indexed, begin):
    for _ in ids_of(indexed):
        one = begin().json()
        indexed.post(f"/v1/collections/photos/comparisons/{one['id']}/vote", json={"answer": "same"})

    over = begin()

    assert (over.status_code, over.json()["error"]) == (409, "TooFewImages")


def test_only_pictures_that_both_know_are_compared(indexed, begin):
    removed = ids_of(indexed)[3]
    indexed.post("/v1/collections/photos/images/remove", json={"image_ids": [removed]})

    one = begin(limit=48).json()

    assert one["compared"] == 23
    assert removed not in {image["id"] for side in ("left", "right") for image in one[side]}
    assert len(one["left"]) == len(one["right"]) == 22
    assert begin(image_id=removed).status_code == 404


def test_without_an_index_it_says_which_is_missing(indexed, workspace, model_folder):
    lacks = unexported(workspace.home.models, "test_resnet", seed=2).name

    answers = [
        indexed.post("/v1/collections/photos/comparisons", json={"models": [model_folder.name, lacks]}),
        indexed.post("/v1/collections/photos/search", json={"positive": ids_of(indexed)[:1], "model": lacks}),
    ]

    for answer in answers:
        assert (answer.status_code, answer.json()["error"]) == (409, "NoIndex")
        assert lacks in answer.json()["detail"]
    assert indexed.get("/v1/collections/photos").json()["active_model"] == model_folder.name


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"models": ["nobody", "nothing"]}, 404),
        ({"models": ["f"]}, 422),
        ({}, 422),
    ],
)
def test_bad_requests_are_refused_in_a_sentence(indexed, body, status):
    answer = indexed.post("/v1/collections/photos/comparisons", json=body)

    assert answer.status_code == status
    assert answer.json()["detail"]


def test_a_model_is_not_compared_with_itself(indexed, model_folder):
    answer = indexed.post("/v1/collections/photos/comparisons", json={"models": [model_folder.name, model_folder.name]})

    assert answer.status_code == 422
