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


def test_the_map_is_coloured_by_class_prediction_and_folder_row_by_row(indexed, workspace):
    indexed.post("/v1/collections/photos/maps")
    do_jobs(workspace)
    whole = "/v1/collections/photos/images?limit=100"
    images = {image["id"]: image for image in indexed.get(whole).json()["items"]}
    cats = [i for i, image in images.items() if "cat" in image["folder"]][:3]
    rockets = [i for i, image in images.items() if "rocket" in image["folder"]][:3]
    before = indexed.get("/v1/collections/photos/map/predictions")
    indexed.post("/v1/collections/photos/labels", json={"image_ids": cats, "class": "cat"})
    indexed.post("/v1/collections/photos/labels", json={"image_ids": rockets, "class": "rocket"})
    images = {image["id"]: image for image in indexed.get(whole).json()["items"]}

    drawn = indexed.get("/v1/collections/photos/map").json()
    columns = {c: indexed.get(f"/v1/collections/photos/map/{c}").json() for c in ("classes", "predictions", "folders")}
    indexed.post("/v1/collections/photos/images/remove", json={"image_ids": [drawn["ids"][0]]})
    after = indexed.get("/v1/collections/photos/map/folders").json()

    def said(column: str, row: int) -> str | None:
        place = columns[column]["name"][row]
        return None if place < 0 else columns[column]["names"][place]

    assert (before.status_code, before.json()["error"]) == (409, "TooFewLabels")
    assert {one["version"] for one in columns.values()} == {drawn["version"]}
    for row, image_id in enumerate(drawn["ids"]):
        image = images[image_id]
        assert said("classes", row) == image["class"]
        assert said("folders", row) == image["folder"]
        assert said("predictions", row) == image["predicted"]["class"]
        assert abs(columns["predictions"]["probability"][row] - image["predicted"]["probability"]) < 0.01
    assert sorted(columns["classes"]["names"]) == ["cat", "rocket"]
    assert after["version"] != drawn["version"]
    assert len(after["name"]) == len(drawn["ids"]) - 1


def test_where_pictures_may_have_several_classes_the_map_shows_one_of_them(indexed, workspace):
    indexed.post("/v1/collections/photos/maps")
    do_jobs(workspace)
    images = indexed.get("/v1/collections/photos/images?limit=100").json()["items"]
    cats = [image["id"] for image in images if "cat" in image["folder"]][:4]
    others = [image["id"] for image in images if "cat" not in image["folder"]][:4]
    indexed.patch("/v1/collections/photos", json={"multi_label": True})
    for name in ("cat", "animal"):
        indexed.post("/v1/collections/photos/labels", json={"image_ids": cats, "class": name})
        indexed.post("/v1/collections/photos/labels", json={"image_ids": others, "class": name, "answer": "no"})

    ids = indexed.get("/v1/collections/photos/map").json()["ids"]
    given = indexed.get("/v1/collections/photos/map/classes").json()
    predicted = indexed.get("/v1/collections/photos/map/predictions").json()

    assert {i for i, name in zip(ids, given["name"], strict=True) if name >= 0} == set(cats)
    assert set(given["names"]) <= {"cat", "animal"}
    said = dict(zip(ids, predicted["name"], strict=True))
    assert all(said[i] >= 0 for i in cats)
    assert all((name >= 0) == (p > 0) for name, p in zip(predicted["name"], predicted["probability"], strict=True))


def test_images_are_listed_in_the_order_asked_for_without_those_that_are_gone(indexed):
    ids = [image["id"] for image in indexed.get("/v1/collections/photos/images?sort=random").json()["items"]]
    indexed.post("/v1/collections/photos/images/remove", json={"image_ids": ids[1:2]})

    found = indexed.post("/v1/collections/photos/images/list", json={"image_ids": [*ids, 10**9]})
    many = indexed.post("/v1/collections/photos/images/list", json={"image_ids": list(range(1, 502))})

    assert [image["id"] for image in found.json()["items"]] == [ids[0], *ids[2:]]
    assert found.json()["total"] == len(ids) - 1
    assert many.status_code == 422


def test_the_map_is_drawn_by_the_command_line(indexed, settings, capsys):
    code = main(["map", "--home", str(settings.home), "--json"])

    said = json.loads(capsys.readouterr().out)
    assert (code, said["mapped"], said["placed"]) == (0, 24, 24)
