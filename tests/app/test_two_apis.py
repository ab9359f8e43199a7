"""Two API processes at one home: what one is told, the other knows at once."""

import pytest

from tests.abuse.server import Server
from tests.app.conftest import do_jobs
from tests.pictures import encoded, views

SUBJECTS = ("cat", "coffee")


@pytest.fixture
def two(tmp_path, settings):
    """Two processes over the same empty home."""
    given = {"database_url": settings.database_url} if settings.database_url else {}
    started = [Server(tmp_path, **given) for _ in range(2)]
    yield [each.client for each in started]
    for each in started:
        each.stop()


def test_labels_pictures_and_indexes_of_one_process_are_those_of_the_other(two, workspace, model_folder):
    one, other = two
    pictures = [(f"{name}/{n}.jpg", encoded(view)) for name in SUBJECTS for n, view in enumerate(views(name, 4))]
    one.post("/v1/collections", json={"name": "photos"})
    one.post("/v1/collections/photos/images", files=[("files", each) for each in pictures[:-1]])
    one.post("/v1/collections/photos/indexes", json={"model": model_folder.name})
    do_jobs(workspace)

    def found(client) -> int:
        answer = client.post("/v1/collections/photos/search", json={"positive": [1]})
        assert answer.status_code == 200, answer.text
        return answer.json()["total"]

    def classes(client) -> dict[int, str]:
        items = client.get("/v1/collections/photos/labels").json()["items"]
        return {item["image_id"]: item["class"] for item in items}

    assert (found(one), found(other)) == (6, 6)
    one.post("/v1/collections/photos/labels", json={"image_ids": [1, 2], "class": "cat"})
    other.post("/v1/collections/photos/labels", json={"image_ids": [5, 6], "class": "coffee"})
    assert classes(one) == classes(other) == {1: "cat", 2: "cat", 5: "coffee", 6: "coffee"}
    said = [client.get("/v1/collections/photos/predictions").json()["items"] for client in two]
    assert [(x["image"]["id"], x["class"]) for x in said[0]] == [(x["image"]["id"], x["class"]) for x in said[1]]
    one.post("/v1/collections/photos/labels", json={"image_ids": [1, 2, 5, 6], "class": "thing"})
    one.post("/v1/collections/photos/labels", json={"image_ids": [3], "class": "cat"})
    classes_of_other = other.get("/v1/collections/photos/predictions").json()["classes"]
    assert sorted(classes_of_other) == ["cat", "thing"]
    other.post("/v1/collections/photos/images", files=[("files", pictures[-1])])
    do_jobs(workspace)
    assert (found(one), found(other)) == (7, 7)
    other.post("/v1/collections/photos/images/remove", json={"image_ids": [8]})
    assert (found(one), found(other)) == (6, 6)
