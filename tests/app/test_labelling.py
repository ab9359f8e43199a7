"""What to label next: every suggestion has a reason that is true."""

import numpy as np
import pytest

from app.audit import audit_order, audited
from tests.app.conftest import SUBJECTS, subject_of
from tests.app.test_api import label, of_subject

PATH = "/v1/collections/photos/suggestions"


def suggested(client, **parameters):
    return client.get(PATH, params={"limit": 10, **parameters}).json()["items"]


def label_most(client):
    """Enough for a mixture: seven labels of cats and coffees, six of rockets."""
    for subject, count in zip(SUBJECTS, (7, 7, 6), strict=True):
        label(client, of_subject(client, subject, count), subject)


def test_before_there_are_labels_typical_pictures_of_different_groups_come_first(indexed):
    items = suggested(indexed, limit=3)

    assert {item["kind"] for item in items} == {"typical"}
    assert len({subject_of(item["image"]) for item in items}) >= 2


def test_with_enough_labels_there_is_a_mixture_that_names_no_picture_twice(indexed):
    label_most(indexed)

    items = suggested(indexed)

    assert {"unsure", "typical"} <= {item["kind"] for item in items}
    assert len({item["image"]["id"] for item in items}) == len(items) == 4  # all that are left
    assert all(item["image"]["class"] is None and item["reason"] for item in items)


def test_a_picture_with_the_wrong_label_is_found(indexed):
    label_most(indexed)
    (wrong,) = of_subject(indexed, "rocket", 1)
    label(indexed, [wrong], "cat")

    items = suggested(indexed, kind="mislabelled")

    assert items[0]["image"]["id"] == wrong
    assert items[0]["reason"].startswith("labelled cat, and without that label it would be rocket")


def test_a_class_with_few_labels_is_looked_for(indexed):
    label(indexed, of_subject(indexed, "cat", 8), "cat")
    label(indexed, of_subject(indexed, "coffee", 8), "coffee")
    label(indexed, of_subject(indexed, "rocket", 2), "rocket")

    items = suggested(indexed, kind="rare", limit=4)

    assert {item["reason"] for item in items} == {"may be rocket, which has only 2 labels"}
    assert sum(subject_of(item["image"]) == "rocket" for item in items) >= 3


def test_the_audit_asks_in_an_order_that_labels_do_not_change(indexed):
    first, second, third = (item["image"]["id"] for item in suggested(indexed, kind="audit", limit=3))
    label(indexed, [first], "cat")

    assert [item["image"]["id"] for item in suggested(indexed, kind="audit", limit=2)] == [second, third]


def test_an_unknown_kind_is_refused(indexed):
    assert indexed.get(PATH, params={"kind": "best"}).status_code == 422


def test_the_order_of_an_audit_is_shuffled_and_new_images_fall_anywhere_in_it():
    ids = np.arange(1, 10_001)

    order = audit_order(ids)
    grown = audit_order(np.arange(1, 20_001))

    assert sorted(order) == ids.tolist()
    assert abs(np.corrcoef(order, np.arange(len(order)))[0, 1]) < 0.03
    assert grown[np.isin(grown, ids)].tolist() == order.tolist()
    assert np.mean(grown[:2000] > 10_000) == pytest.approx(0.5, abs=0.05)


def test_a_sample_is_whole_up_to_the_first_image_without_an_answer():
    ids = np.arange(1, 101)
    order = audit_order(ids)

    assert audited(ids, order[[0, 1, 2, 4]]).tolist() == order[:3].tolist()
    assert audited(ids, ids).tolist() == order.tolist()
    assert audited(ids, order[5:]).tolist() == []


def test_pictures_like_those_that_are_none_of_the_classes_fit_nothing(indexed):
    label(indexed, of_subject(indexed, "cat", 5), "cat")
    label(indexed, of_subject(indexed, "coffee", 5), "coffee")
    body = {"image_ids": of_subject(indexed, "rocket", 5), "answer": "none_of_these", "by": "Ada"}

    said = indexed.post("/v1/collections/photos/labels", json=body).json()
    rockets = indexed.get("/v1/collections/photos/images", params={"folder": "photos/rocket"}).json()["items"]
    one = indexed.get(f"/v1/images/{body['image_ids'][0]}").json()

    assert (said["changed"], said["labelled"]) == (5, 15)
    assert [(x["class"], x["answer"]) for x in rockets].count((None, "none_of_these")) == 5
    new = [x["predicted"] for x in rockets if x["answer"] is None]
    assert sum(x["class"] == "none of these" and not x["fits"] for x in new) >= 2
    assert [item["name"] for item in indexed.get("/v1/collections/photos/classes").json()["items"]] == ["cat", "coffee"]
    assert "Ada" in str(one)


def test_classes_are_merged_over_http_and_undo_takes_it_back(indexed):
    label(indexed, of_subject(indexed, "cat", 3), "cats")
    label(indexed, of_subject(indexed, "coffee", 2), "kittens")
    path = "/v1/collections/photos/classes"

    merged = indexed.post(f"{path}/kittens/merge", json={"into": "cats"}).json()
    after = {item["name"]: item["labels"] for item in indexed.get(path).json()["items"]}
    indexed.post("/v1/collections/photos/labels/undo")
    undone = {item["name"]: item["labels"] for item in indexed.get(path).json()["items"]}

    assert merged == {"moved": 2, "into": "cats"}
    assert after == {"cats": 5}
    assert undone == {"cats": 3, "kittens": 2}


def test_accepting_all_above_a_line_is_previewed_and_undone_in_one_step(indexed):
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, 4), subject)
    indexed.get("/v1/collections/photos/probe")  # probabilities will not change any more
    path = "/v1/collections/photos/labels"
    body = {"filter": {"predicted": "cat", "min_probability": 0.5, "labelled": False}, "class": "cat", "source": "bulk"}

    preview = indexed.post(path, json={**body, "preview": True}).json()
    before = indexed.get(path).json()["total"]
    done = indexed.post(path, json=body).json()
    after = indexed.get(path).json()["total"]
    indexed.post(f"{path}/undo")

    assert preview["changed"] == len(preview["preview"]) == done["changed"] >= 1
    assert all(image["predicted"]["class"] == "cat" for image in preview["preview"])
    assert (before, after) == (12, 12 + done["changed"])
    assert indexed.get(path).json()["total"] == 12
