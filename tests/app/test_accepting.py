"""Predictions accepted at once: looked at first, one action, and never what is like nothing labelled."""

import pytest

from tests.app.test_api import label, of_subject

PATH = "/v1/collections/photos/labels"
OPEN = {"labelled": False}


@pytest.fixture
def taught(indexed):
    """Three labels of two subjects."""
    for subject in ("cat", "coffee"):
        label(indexed, of_subject(indexed, subject, 3), subject)
    return indexed


def accept(client, **body):
    return client.post(PATH, json={"as_predicted": True, "filter": OPEN, **body})


def predictions(client):
    items = client.get("/v1/collections/photos/predictions", params={"limit": 500}).json()["items"]
    return {item["image"]["id"]: item for item in items if item["image"]["class"] is None}


def test_a_preview_says_what_would_change_least_sure_first_and_writes_nothing(taught):
    said = predictions(taught)

    found = accept(taught, preview=True).json()

    assert found["changed"] == len(said) == sum(found["classes"].values())
    assert found["expected_wrong"] == pytest.approx(sum(1 - x["probability"] for x in said.values()), abs=0.02)
    shown = [image["predicted"]["probability"] for image in found["preview"]]
    assert shown == sorted(shown)
    assert taught.get(PATH).json()["total"] == 6


def test_each_picture_gets_its_own_class_and_one_undo_takes_all_back(taught):
    said = predictions(taught)

    found = accept(taught).json()

    given = {x["image_id"]: x["class"] for x in taught.get(PATH, params={"limit": 500}).json()["items"]}
    assert {i: given[i] for i in said} == {i: x["class"] for i, x in said.items()}
    assert found["labelled"] == 6 + len(said)

    assert taught.post(f"{PATH}/undo").json()["changed"] == len(said)
    assert taught.get(PATH).json()["total"] == 6


def test_only_those_above_the_line_are_accepted(taught):
    sure = sorted(x["probability"] for x in predictions(taught).values())
    line = (sure[len(sure) // 2 - 1] + sure[len(sure) // 2]) / 2  # the answers are rounded: of none of them

    found = accept(taught, filter={**OPEN, "min_probability": line}).json()

    assert found["changed"] == len(sure) - len(sure) // 2


def test_what_is_like_nothing_labelled_is_left_out(indexed):
    for subject in ("cat", "coffee"):
        label(indexed, [*of_subject(indexed, subject, 8)], subject)
    label(indexed, of_subject(indexed, "rocket", 4), "cat")  # nineteen labels and more say what is rare
    strange = [i for i, x in predictions(indexed).items() if not x["image"]["predicted"]["fits"]]

    found = accept(indexed, preview=True).json()

    assert found["changed"] == len(predictions(indexed)) - len(strange)


def test_a_class_beside_it_is_refused_in_a_sentence_and_too_few_labels_are_409(indexed):
    answer = accept(indexed, **{"class": "cat"})
    assert answer.status_code == 422
    assert "leave class and answer out" in answer.json()["detail"]

    assert accept(indexed).status_code == 409


def test_once_all_is_accepted_there_is_nothing_left_to_accept(taught):
    accept(taught)

    again = accept(taught).json()

    assert (again["changed"], again["action"]) == (0, 0)
