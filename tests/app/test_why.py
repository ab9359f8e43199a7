import numpy as np

from tests import pictures


def test_a_hit_says_where_it_matches_an_image_and_an_upload(indexed):
    first, second = (image["id"] for image in indexed.get("/v1/collections/photos/images?limit=2").json()["items"])
    form = {"file": ("cat.jpg", pictures.jpeg("cat"))}
    upload = indexed.post("/v1/collections/photos/queries", files=form).json()["query_id"]

    by_image = indexed.get("/v1/collections/photos/why", params={"image": second, "query": first})
    by_upload = indexed.get("/v1/collections/photos/why", params={"image": second, "query": upload}).json()

    for answer in (by_image.json(), by_upload):
        assert "what matches" in answer["sentence"]
        for heat in (answer["query"], answer["image"]):
            cells = np.array(heat["cells"])
            assert cells.shape == (heat["rows"], heat["columns"])
            assert cells.min() >= 0
            assert cells.max() == 1
    assert by_upload["query"]["area"] != [0, 0, 1, 1]  # the cat is no square: the encoder sees its middle


def test_a_prediction_says_where_it_sees_its_class(indexed):
    images = indexed.get("/v1/collections/photos/images?limit=100").json()["items"]
    for image in images:
        subject = image["folder"].rpartition("/")[2]
        indexed.post("/v1/collections/photos/labels", json={"image_ids": [image["id"]], "class": subject})

    said = indexed.get("/v1/collections/photos/why", params={"image": images[0]["id"], "class": "rocket"}).json()
    unknown = indexed.get("/v1/collections/photos/why", params={"image": images[0]["id"], "class": "zebra"})

    x, y, width, height = said["box"]
    assert 0 <= x < x + width <= 1.0001
    assert 0 <= y < y + height <= 1.0001
    assert "rocket" in said["sentence"]
    assert (unknown.status_code, unknown.json()["error"]) == (404, "NoSuchClass")


def test_why_says_what_it_lacks(indexed):
    image = indexed.get("/v1/collections/photos/images?limit=1").json()["items"][0]["id"]
    why = "/v1/collections/photos/why"

    neither = indexed.get(why, params={"image": image})
    gone = indexed.get(why, params={"image": image, "query": "q00"})
    early = indexed.get(why, params={"image": image, "class": "rocket"})

    huge = indexed.get(why, params={"image": image, "query": "9" * 40})  # no number that a catalog can hold

    assert [answer.status_code for answer in (neither, gone, early, huge)] == [422, 404, 409, 404]
