import json

from app.cli import main
from tests.app.conftest import do_jobs


def test_the_map_is_drawn_by_a_job_and_its_clusters_filter_and_label(indexed, workspace):
    early = indexed.get("/v1/collections/photos/map")
    asked = indexed.post("/v1/collections/photos/maps")
    do_jobs(workspace)
    found = indexed.get("/v1/collections/photos/map").json()
    largest = found["clusters"][0]
    inside = indexed.get("/v1/collections/photos/images", params={"cluster": largest["cluster"], "limit": 100}).json()
    search = {"positive": [found["ids"][0]], "filter": {"cluster": largest["cluster"]}}
    hits = indexed.post("/v1/collections/photos/search", json=search).json()["hits"]
    labels = {"filter": {"cluster": largest["cluster"]}, "class": "cat", "preview": True}
    preview = indexed.post("/v1/collections/photos/labels", json=labels).json()
    indexed.post("/v1/collections/photos/labels", json={**labels, "preview": False})
    labelled = indexed.get("/v1/collections/photos/images", params={"class": "cat", "limit": 100}).json()
    indexed.post("/v1/collections/photos/labels/undo")

    members = {i for i, cluster in zip(found["ids"], found["cluster"], strict=True) if cluster == largest["cluster"]}
    assert (early.status_code, early.json()["error"], asked.status_code) == (409, "NoMap", 202)
    assert (found["total"], found["missing"], len(found["x"]), len(found["y"])) == (24, 0, 24, 24)
    assert {image["id"] for image in inside["items"]} == members == {image["id"] for image in labelled["items"]}
    assert {hit["image"]["id"] for hit in hits} <= members
    assert hits
    assert str(largest["size"]) in json.dumps(preview)
    assert indexed.get("/v1/collections/photos/images", params={"class": "cat"}).json()["total"] == 0


def test_a_removed_picture_leaves_the_map_at_once(indexed, workspace):
    indexed.post("/v1/collections/photos/maps")
    do_jobs(workspace)
    gone = indexed.get("/v1/collections/photos/map").json()["ids"][0]

    indexed.post("/v1/collections/photos/images/remove", json={"image_ids": [gone]})
    found = indexed.get("/v1/collections/photos/map").json()

    assert gone not in found["ids"]
    assert found["total"] == 23


def test_the_map_is_drawn_by_the_command_line(indexed, settings, capsys):
    code = main(["map", "--home", str(settings.home), "--json"])

    said = json.loads(capsys.readouterr().out)
    assert (code, said["mapped"], said["placed"]) == (0, 24, 24)
