from tests import pictures
from tests.app.conftest import do_jobs


def test_duplicates_are_listed_and_dismissed_by_the_api(client, workspace, model_folder):
    shots = [(f"{name}.jpg", pictures.encoded(pictures.picture(name, 200))) for name in ("cat", "rocket", "coffee")]
    copy = ("cat small.jpg", pictures.encoded(pictures.picture("cat", 200).resize((150, 100)), quality=60))
    client.post("/v1/collections", json={"name": "photos"})
    client.post("/v1/collections/photos/images", files=[("files", file) for file in (*shots, copy)])
    early = client.get("/v1/collections/photos/duplicates")
    client.post("/v1/collections/photos/indexes", json={"model": model_folder.name})
    do_jobs(workspace)

    found = client.get("/v1/collections/photos/duplicates").json()
    [members] = [item["images"] for item in found["items"]]
    said = client.post(
        "/v1/collections/photos/duplicates/dismiss", json={"image_ids": [image["id"] for image in members]}
    )
    after = client.get("/v1/collections/photos/duplicates").json()

    assert (early.status_code, early.json()["error"]) == (409, "NoIndex")
    assert [image["name"] for image in members] == ["cat.jpg", "cat small.jpg"]
    assert (found["total"], after["total"], said.json()) == (1, 0, {"dismissed": 1})
    assert client.post("/v1/collections/photos/duplicates/dismiss", json={"image_ids": [1]}).status_code == 422
