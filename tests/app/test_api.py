"""The HTTP contract, end to end on real pictures: upload, import, search, label, predict, undo, remove, export."""

import io
import zipfile

import pytest

from tests import pictures
from tests.app.conftest import EACH, SUBJECTS, do_jobs, subject_of


def label(client, ids, name, answer="yes"):
    body = {"image_ids": ids, "class": name, "answer": answer}
    return client.post("/v1/collections/photos/labels", json=body)


def images(client, **parameters):
    return client.get("/v1/collections/photos/images", params=parameters).json()


def of_subject(client, subject, count):
    return [image["id"] for image in images(client, folder=f"photos/{subject}", limit=500)["items"]][:count]


def test_an_upload_becomes_searchable_without_another_request(client, workspace, model_folder):
    client.post("/v1/collections", json={"name": "photos"})
    files = [
        ("files", ("holiday/cat.jpg", pictures.jpeg("cat"))),
        ("files", ("holiday/coffee.jpg", pictures.jpeg("coffee"))),
        ("files", ("notes.txt", b"no picture")),
    ]

    job = client.post("/v1/collections/photos/images", files=files)
    do_jobs(workspace)
    done = client.get(f"/v1/jobs/{job.json()['id']}").json()
    found = images(client, sort="oldest")["items"]
    search = client.post("/v1/collections/photos/search", json={"positive": [found[0]["id"]]})

    assert job.status_code == 202
    assert done["state"] == "succeeded"
    assert [item["name"] for item in done["result"]["added"]] == ["cat.jpg", "coffee.jpg"]
    assert [item["path"] for item in done["result"]["refused"]] == ["notes.txt"]
    assert found[0]["folder"] == "holiday"
    assert [hit["image"]["name"] for hit in search.json()["hits"]] == ["coffee.jpg"]
    assert list((workspace.home.root / "uploads").iterdir()) == []


def test_an_uploaded_zip_is_unpacked_into_folders(client, workspace, model_folder):
    client.post("/v1/collections", json={"name": "photos"})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("../../outside/cat.jpg", pictures.jpeg("cat"))

    client.post("/v1/collections/photos/images", files=[("files", ("album.zip", packed.getvalue()))])
    do_jobs(workspace)

    (image,) = images(client)["items"]
    assert (image["name"], image["folder"]) == ("cat.jpg", "album/outside")
    assert client.get(f"/v1/images/{image['id']}/original").content == pictures.jpeg("cat")


def test_search_finds_the_same_subject_first(indexed):
    (cat,) = of_subject(indexed, "cat", 1)

    answer = indexed.post("/v1/collections/photos/search", json={"positive": [cat], "limit": 5}).json()

    assert answer["total"] == len(SUBJECTS) * EACH - 1
    assert cat not in [hit["image"]["id"] for hit in answer["hits"]]
    assert subject_of(answer["hits"][0]["image"]) == "cat"
    scores = [hit["score"] for hit in answer["hits"]]
    assert scores == sorted(scores, reverse=True)


def test_pages_of_a_search_fit_together(indexed):
    (cat,) = of_subject(indexed, "cat", 1)

    def page(offset, limit):
        body = {"positive": [cat], "offset": offset, "limit": limit}
        answer = indexed.post("/v1/collections/photos/search", json=body).json()
        return [hit["image"]["id"] for hit in answer["hits"]]

    assert page(0, 4) + page(4, 4) == page(0, 8)


def test_an_uploaded_query_finds_its_own_picture_in_the_collection(indexed, folder):
    file = folder / "coffee" / "03.jpg"
    query = indexed.post("/v1/collections/photos/queries", files={"file": ("x.jpg", file.read_bytes())})

    hits = indexed.post("/v1/collections/photos/search", json={"positive": [query.json()["query_id"]]}).json()["hits"]

    assert query.status_code == 201
    assert (hits[0]["image"]["name"], subject_of(hits[0]["image"])) == ("03.jpg", "coffee")
    assert hits[0]["cosine"] >= 0.999
    assert indexed.get(query.json()["preview"]).headers["content-type"] in ("image/jpeg", "image/png")


def test_a_box_of_an_image_is_a_query_that_finds_the_image(indexed):
    (rocket,) = of_subject(indexed, "rocket", 1)
    body = {"image_id": rocket, "box": [0.02, 0.02, 0.98, 0.98]}

    query = indexed.post("/v1/collections/photos/queries", json=body).json()["query_id"]
    hits = indexed.post("/v1/collections/photos/search", json={"positive": [query]}).json()["hits"]

    assert hits[0]["image"]["id"] == rocket


def test_negatives_push_their_kind_down(indexed):
    cat, coffee = of_subject(indexed, "cat", 1) + of_subject(indexed, "coffee", 1)

    def coffees_on_top(positive, negative):
        body = {"positive": positive, "negative": negative, "limit": EACH}
        hits = indexed.post("/v1/collections/photos/search", json=body).json()["hits"]
        return sum(subject_of(hit["image"]) == "coffee" for hit in hits)

    assert coffees_on_top([cat], [coffee]) < coffees_on_top([cat, coffee], [])


def test_search_before_there_is_an_index_says_what_to_do(client):
    client.post("/v1/collections", json={"name": "photos"})

    answer = client.post("/v1/collections/photos/search", json={"positive": [1]})

    assert answer.status_code == 409
    assert answer.json()["error"] == "NoIndex"


def test_few_labels_become_predictions_for_every_image(indexed):
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, 5), subject)

    listed = indexed.get("/v1/collections/photos/predictions").json()
    probe = indexed.get("/v1/collections/photos/probe").json()

    right = [item["class"] == subject_of(item["image"]) for item in listed["items"]]
    assert listed["total"] == len(SUBJECTS) * EACH
    assert listed["classes"] == sorted(SUBJECTS)
    assert sum(right) / len(right) > 0.9
    assert probe["labels"] == 15
    assert probe["interval"][0] <= probe["accuracy"] <= probe["interval"][1]
    assert sum(map(sum, probe["confusion"])) == 15
    assert images(indexed, predicted="cat", min_probability=0.5)["total"] >= 5


def test_a_click_is_answered_at_once_and_cross_validation_says_when_it_is_done(indexed):
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, 5), subject)

    at_once = indexed.get("/v1/collections/photos/predictions").json()
    early = indexed.get("/v1/collections/photos/probe", params={"wait": False}).json()
    probe = indexed.get("/v1/collections/photos/probe").json()
    later = indexed.get("/v1/collections/photos/predictions").json()

    assert (at_once["settled"], at_once["total"]) == (False, len(SUBJECTS) * EACH)
    assert (early["settled"], early["accuracy"], early["note"]) == (False, None, "Cross-validation is under way.")
    assert (probe["settled"], later["settled"]) == (True, True)
    assert probe["interval"][0] < probe["accuracy"] >= 0.6

    label(indexed, of_subject(indexed, "cat", 6), "cat")

    assert indexed.get("/v1/collections/photos/predictions").json()["settled"] is False


def test_pages_of_predictions_fit_together(indexed):
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, 2), subject)
    indexed.get("/v1/collections/photos/probe")

    def page(offset, limit):
        answer = indexed.get("/v1/collections/photos/predictions", params={"offset": offset, "limit": limit}).json()
        return [item["image"]["id"] for item in answer["items"]]

    whole = page(0, 500)
    assert len(whole) == len(SUBJECTS) * EACH
    assert page(0, 7) + page(7, 7) + page(14, 500) == whole


def test_what_resembles_no_label_does_not_fit(indexed):
    for subject in ("cat", "coffee"):
        label(indexed, of_subject(indexed, subject, EACH), subject)
    for image_id in of_subject(indexed, "rocket", 3):
        label(indexed, [image_id], "cat", "no")
    few = indexed.get("/v1/collections/photos/predictions", params={"fits": False}).json()
    label(indexed, of_subject(indexed, "rocket", 4), "rocket")

    many = indexed.get("/v1/collections/photos/predictions", params={"fits": False}).json()

    assert few["total"] == 0  # sixteen labels are too few to call anything novel
    assert all(item["fits"] is False for item in many["items"])
    assert many["total"] <= EACH


def test_a_new_picture_is_classified_as_the_same_picture_in_the_collection_is(indexed, folder):
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, 5), subject)
    indexed.get("/v1/collections/photos/probe")  # waits until nothing will change any more
    (image,) = images(indexed, text="rocket 07")["items"]
    files = [
        ("files", ("new.jpg", (folder / "rocket" / "07.jpg").read_bytes())),
        ("files", ("broken.jpg", b"\xff\xd8\xff nothing")),
    ]

    good, bad = indexed.post("/v1/collections/photos/predict", files=files).json()["predictions"]

    assert good["class"] == image["predicted"]["class"]
    assert good["probability"] == pytest.approx(image["predicted"]["probability"], abs=0.01)
    assert sum(good["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert "damaged" in bad["error"] or "not a picture" in bad["error"]
    assert images(indexed)["total"] == len(SUBJECTS) * EACH


@pytest.mark.parametrize("labels", [{}, {"cat": 3}], ids=["no labels", "one class"])
def test_too_few_labels_are_said_honestly(indexed, labels):
    for name, count in labels.items():
        label(indexed, of_subject(indexed, name, count), name)

    answer = indexed.get("/v1/collections/photos/predictions")

    assert answer.status_code == 409
    assert answer.json()["error"] == "TooFewLabels"
    assert "two classes" in answer.json()["detail"]


def test_undo_and_redo_take_a_whole_gesture(indexed):
    ids = of_subject(indexed, "cat", 3)
    label(indexed, ids, "cat")
    label(indexed, ids[:1], "tiger")

    undone = indexed.post("/v1/collections/photos/labels/undo").json()
    after_undo = images(indexed, **{"class": "cat"})["total"]
    indexed.post("/v1/collections/photos/labels/redo")
    after_redo = images(indexed, **{"class": "cat"})["total"]

    assert undone["can_undo"] is True
    assert undone["can_redo"] is True
    assert (after_undo, after_redo) == (3, 2)


def test_undo_with_nothing_to_undo_is_409(indexed):
    answer = indexed.post("/v1/collections/photos/labels/undo")

    assert (answer.status_code, answer.json()["error"]) == (409, "NothingToUndo")


def test_a_removed_image_leaves_lists_and_searches_at_once_and_stays_out(indexed, workspace, folder):
    cat, other = of_subject(indexed, "cat", 2)

    removed = indexed.post("/v1/collections/photos/images/remove", json={"image_ids": [other]})
    hits = indexed.post("/v1/collections/photos/search", json={"positive": [cat], "limit": 500}).json()
    again = indexed.post("/v1/collections/photos/imports", json={"path": str(folder)}).json()
    do_jobs(workspace)

    assert removed.json() == {"removed": 1}
    assert other not in [hit["image"]["id"] for hit in hits["hits"]]
    assert hits["total"] == len(SUBJECTS) * EACH - 2
    assert indexed.get(f"/v1/jobs/{again['id']}").json()["result"]["removed"] == 1
    assert images(indexed)["total"] == len(SUBJECTS) * EACH - 1
    assert indexed.get(f"/v1/images/{other}").status_code == 404
    assert len(list(folder.rglob("*.jpg"))) == len(SUBJECTS) * EACH


def test_suggestions_are_unlabelled_and_give_a_reason(indexed):
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, 2), subject)

    found = indexed.get("/v1/collections/photos/suggestions", params={"limit": 6}).json()

    assert found["total"] == len(SUBJECTS) * (EACH - 2)
    assert len({item["image"]["id"] for item in found["items"]}) == 6
    assert all(item["image"]["class"] is None and item["reason"] for item in found["items"])


@pytest.mark.promise(15)
def test_the_active_model_changes_only_to_one_with_an_index(indexed, workspace, model_folder):
    from model.checkpoint import save_model
    from model.network import starting_point

    start = starting_point("random", "resnet18", 32, workspace.home.models, seed=1)
    other = save_model(start.backbone, start.preparation, workspace.home.models, started_from="random").fingerprint

    refused = indexed.patch("/v1/collections/photos", json={"active_model": other})
    indexed.post("/v1/collections/photos/indexes", json={"model": other})
    do_jobs(workspace)
    back = indexed.patch("/v1/collections/photos", json={"active_model": model_folder.name})

    assert (refused.status_code, refused.json()["error"]) == (409, "NoIndex")
    assert back.json()["active_model"] == model_folder.name
    assert {m["fingerprint"] for m in indexed.get("/v1/models").json()["items"]} >= {other, model_folder.name}


def test_a_training_over_http_ends_with_a_report_and_a_model(indexed, workspace):
    body = {"epochs": 2, "batch_size": 8, "image_size": 32, "adopt": "always"}
    job = indexed.post("/v1/collections/photos/trainings", json=body).json()

    do_jobs(workspace)
    done = indexed.get(f"/v1/jobs/{job['id']}").json()

    assert done["state"] == "succeeded", done["error"]
    assert done["result"]["verdict"] in ("better", "same", "worse")
    assert done["result"]["warnings"] == []
    assert indexed.get("/v1/collections/photos").json()["active_model"] == done["result"]["model"]
    rows = indexed.get(f"/v1/jobs/{job['id']}/metrics").json()["rows"]
    assert rows[-1]["epoch"] == 2
    assert {"loss", "learning_rate", "views_per_s"} <= set(rows[-1])
    assert indexed.get(f"/v1/models/{done['result']['model']}/report").json()["verdict"] == done["result"]["verdict"]
    assert list(workspace.home.run("x").parent.iterdir()) == []


def test_export_has_a_row_for_every_image(indexed):
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, 3), subject)

    text = indexed.get("/v1/collections/photos/export?format=csv").text.splitlines()
    rows = indexed.get("/v1/collections/photos/export?format=json").json()["images"]

    assert text[0] == "id,path,name,folder,class,predicted,probability"
    assert len(text) == 1 + len(rows) == 1 + len(SUBJECTS) * EACH
    assert sum(row["class"] == "cat" for row in rows) == 3


def test_saved_searches_come_back_and_go(indexed):
    body = {"name": "cats", "positive": of_subject(indexed, "cat", 2), "filter": {"text": "cat"}, "min_score": 0.2}
    path = "/v1/collections/photos/searches"

    saved = indexed.post(path, json=body).json()
    listed = indexed.get(path).json()["items"]
    again = {key: value for key, value in listed[0].items() if key not in ("id", "name")}
    found = [
        indexed.post("/v1/collections/photos/search", json=each).json()
        for each in (again, {k: v for k, v in body.items() if k != "name"})
    ]
    gone = indexed.delete(f"{path}/{saved['id']}")

    assert listed == [{**body, "id": saved["id"], "negative": []}]
    assert found[0]["hits"] == found[1]["hits"] != []
    assert (gone.status_code, indexed.get(path).json()["total"]) == (204, 0)


@pytest.mark.promise(31)
def test_pictures_are_served_inert(indexed):
    (cat,) = of_subject(indexed, "cat", 1)

    preview, rendition, original = (indexed.get(f"/v1/images/{cat}/{x}") for x in ("preview", "rendition", "original"))

    assert preview.headers["content-type"].startswith("image/")
    assert rendition.headers["content-type"] == "image/jpeg"
    assert original.headers["content-disposition"] == "attachment"
    for answer in (preview, rendition, original):
        assert answer.status_code == 200
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.promise(22)
@pytest.mark.parametrize("data", [b"", b"<svg/>", pictures.jpeg()[:400]], ids=["empty", "svg", "truncated"])
def test_an_undecodable_query_is_422_and_says_why(indexed, data):
    answer = indexed.post("/v1/collections/photos/queries", files={"file": ("cat.jpg", data)})

    assert answer.status_code == 422
    assert answer.json()["error"] == "CannotDecode"
    assert answer.json()["detail"].startswith("cat.jpg: ")
    assert answer.json()["request_id"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "error"),
    [
        ("GET", "/v1/collections/none", None, 404, "NoSuchCollection"),
        ("GET", "/v1/images/999999", None, 404, "NoSuchImage"),
        ("GET", "/v1/jobs/999", None, 404, "NoSuchJob"),
        ("GET", "/v1/models/beef", None, 404, "NoSuchModel"),
        ("GET", "/v1/nothing", None, 404, "NoSuchPath"),
        ("POST", "/v1/collections", {"name": "photos"}, 409, "CollectionExists"),
        ("POST", "/v1/collections", {"name": "../etc"}, 422, "BadInput"),
        ("POST", "/v1/collections/photos/imports", {"path": "/no/such/folder"}, 422, "BadInput"),
        ("POST", "/v1/collections/photos/imports", {"path": "a\0b"}, 422, "BadInput"),
        ("POST", "/v1/collections/photos/imports", {"path": "~nobody-of-that-name/x"}, 422, "BadInput"),
        ("POST", "/v1/collections/photos/imports", {"path": "/" + "x" * 300}, 422, "BadInput"),
        ("GET", "/v1/collections/photos/images?folder=" + "x" * 60_000, None, 422, "BadInput"),
        ("POST", "/v1/collections/photos/search", {"positive": []}, 422, "BadInput"),
        ("POST", "/v1/collections/photos/search", {"positive": [10**30]}, 422, "BadInput"),
        ("POST", "/v1/collections/photos/search", {"positive": ["q0"]}, 404, "NoSuchQuery"),
        ("POST", "/v1/collections/photos/labels", {"image_ids": [77777], "class": "x"}, 404, "NoSuchImage"),
        ("POST", "/v1/collections/photos/labels", {"class": "x"}, 422, "BadInput"),
        ("POST", "/v1/collections/photos/images/remove", {"filter": {}}, 422, "BadInput"),
        ("GET", "/v1/collections/photos/images?limit=0", None, 422, "BadInput"),
        ("GET", "/v1/collections/photos/images?sort=size", None, 422, "BadInput"),
        ("POST", "/v1/collections/photos/trainings", {"preset": "nonsense"}, 422, "BadInput"),
        ("PUT", "/v1/collections", None, 405, "MethodNotAllowed"),
    ],
)
def test_bad_input_gets_its_status_and_one_sentence(indexed, method, path, body, status, error):
    answer = indexed.request(method, path, json=body)

    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.json()["detail"].strip()
    assert "Traceback" not in answer.text


def test_a_picture_too_long_and_narrow_for_a_preview_is_refused_not_fatal(indexed):
    long = pictures.encoded(pictures.picture("coffee").resize((330, 70_000)), "PNG", compress_level=1)

    answer = indexed.post("/v1/collections/photos/queries", files={"file": ("scroll.png", long)})

    assert (answer.status_code, answer.json()["error"]) == (422, "CannotDecode")
    assert "too long and narrow" in answer.json()["detail"]


def test_the_index_job_after_an_upload_leaves_the_active_model_to_the_person(indexed, workspace):
    from app import work
    from indexer.catalog import collection_named, update_collection
    from model.checkpoint import save_model
    from model.network import starting_point

    start = starting_point("random", "resnet18", 32, workspace.home.models, seed=2)
    other = save_model(start.backbone, start.preparation, workspace.home.models, started_from="random").fingerprint
    collection = collection_named(workspace.engine, "photos")

    def person_changes_model(share, message):
        update_collection(workspace.engine, collection, {"active_model": other})

    work.index(workspace, collection, progress=person_changes_model)

    assert collection_named(workspace.engine, "photos").active_model == other


def test_lists_go_on_while_the_index_is_damaged(indexed, workspace):
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, 2), subject)
    (file,) = (workspace.home.root / "indexes").rglob("*.faiss")
    file.write_bytes(b"nonsense")
    indexed.app.state.engine._indexes.clear()  # as after a restart

    listed, classes = images(indexed), indexed.get("/v1/collections/photos/classes")
    search = indexed.post("/v1/collections/photos/search", json={"positive": [1]})

    assert listed["total"] == len(SUBJECTS) * EACH
    assert classes.status_code == 200
    assert search.status_code == 503


@pytest.mark.promise(8, 33)
def test_readiness_is_honest_about_a_damaged_index(indexed, workspace):
    (file,) = (workspace.home.root / "indexes").rglob("*.faiss")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    indexed.app.state.engine._indexes.clear()  # as after a restart

    answer = indexed.get("/v1/ready")

    assert (answer.status_code, answer.json()["error"]) == (503, "DamagedIndex")
    assert "likeness index" in answer.json()["detail"]


def test_the_api_documentation_loads_nothing_from_outside(client):
    page = client.get("/v1/docs").text

    assert "http://" not in page
    assert "https://" not in page
    assert client.get("/v1/docs-files/swagger-ui-bundle.js").status_code == 200
