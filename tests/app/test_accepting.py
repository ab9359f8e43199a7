"""Predictions accepted at once: looked at first, one action, and never what is like nothing labelled."""

import pytest

from app.accepting import accept as write
from app.accepting import acceptable
from app.engine import Engine
from app.workspace import Workspace
from indexer.catalog import collection_named
from tests.app.conftest import EACH, SUBJECTS
from tests.app.test_api import label, of_subject

HERE = "/v1/collections/photos"
PATH, IMAGES, SEARCH, SUGGESTIONS, PROBE = (
    f"{HERE}/{part}" for part in ("labels", "images", "search", "suggestions", "probe")
)
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
    client.get(PROBE)  # waits until probabilities do not change any more
    items = client.get("/v1/collections/photos/predictions", params={"limit": 500}).json()["items"]
    return {item["image"]["id"]: item for item in items if item["image"]["class"] is None}


def ids_of(images):
    return {image["id"] for image in images}


def said_of(client, ids):
    """What is predicted of some images, once probabilities do not change any more."""
    client.get(PROBE)
    items = client.get(IMAGES, params={"limit": 500}).json()["items"]
    return {image["id"]: image["predicted"] for image in items if image["id"] in ids}


def standing(client):
    return {x["image_id"]: (x["class"], x["answer"]) for x in client.get(PATH, params={"limit": 500}).json()["items"]}


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


def test_unsure_and_none_of_these_are_answers_that_nothing_overwrites_or_asks_about_again(taught):
    unsure, none = of_subject(taught, "cat", 8)[7], of_subject(taught, "rocket", 1)[0]
    label(taught, [unsure], None, "unsure")
    label(taught, [none], None, "none_of_these")

    listed = {
        answer: ids_of(taught.get(IMAGES, params={"labelled": answer, "limit": 500}).json()["items"])
        for answer in ("true", "false")
    }
    alike = taught.post(SEARCH, json={"positive": [none], "filter": OPEN, "limit": 500}).json()["hits"]
    asked = ids_of(x["image"] for x in taught.get(SUGGESTIONS, params={"limit": 100}).json()["items"])
    said = said_of(taught, [unsure, none])
    by_id = accept(taught, filter=None, image_ids=[unsure, none]).json()
    accept(taught, filter={**OPEN, "min_probability": 0})
    for_all = accept(taught, filter={"min_probability": 0}).json()

    assert {unsure, none} <= listed["true"]
    assert not {unsure, none} & (listed["false"] | asked | ids_of(x["image"] for x in alike))
    assert standing(taught)[unsure] == (None, "unsure")
    assert standing(taught)[none] == (None, "none_of_these")
    assert (for_all["changed"], for_all["action"], by_id["changed"]) == (0, 0, 0)
    assert by_id["left_alone"] == sum(x["fits"] for x in said.values()) >= 1


def test_classes_given_by_hand_are_left_alone_and_counted_though_the_classifier_does_not_believe_them(indexed):
    ids = [i for subject in SUBJECTS for i in of_subject(indexed, subject, EACH)]
    label(indexed, ids[::3], "coffee")  # every third picture, whatever it shows: nothing can be learnt from that
    label(indexed, sorted(set(ids) - set(ids[::3])), "cat")
    before, said = standing(indexed), said_of(indexed, ids)
    differ = [i for i, x in said.items() if x["class"] == "cat" and x["fits"] and before[i][0] == "coffee"]

    found = accept(indexed, filter={"predicted": "cat"}).json()

    assert (found["changed"], found["action"], found["left_alone"]) == (0, 0, len(differ))
    assert differ
    assert standing(indexed) == before


def test_a_class_that_a_picture_is_said_not_to_be_is_not_accepted(taught):
    said = said_of(taught, of_subject(taught, "rocket", EACH))
    for i, x in said.items():
        label(taught, [i], x["class"], "no")

    found = accept(taught, filter=None, image_ids=list(said)).json()

    assert (found["changed"], found["left_alone"]) == (0, len(said))
    assert {i: standing(taught)[i] for i in said} == {i: (x["class"], "no") for i, x in said.items()}


def test_an_answer_given_while_an_acceptance_is_written_stands(taught, settings):
    """Between looking at what stands and writing, another process may label."""
    workspace = Workspace.open(settings)
    engine = Engine(workspace)
    collection = collection_named(workspace.engine, "photos")
    ids = of_subject(taught, "rocket", EACH)
    found = acceptable(engine, collection, ids)
    late = next(iter(found.said))
    label(taught, [late], None, "unsure")

    write(engine, collection, found, "bulk", None, None)

    assert standing(taught)[late] == (None, "unsure")
    assert sum(standing(taught).get(i) == (p.class_name, "yes") for i, p in found.said.items()) == len(ids) - 1
    workspace.engine.dispose()


def test_what_changed_since_the_preview_is_not_accepted_unseen(taught):
    ids = list(predictions(taught))
    taught.get(PROBE)
    seen = accept(taught, preview=True).json()["seen"]
    label(taught, ids[:1], "rocket")

    refused = accept(taught, seen=seen)
    untouched = taught.get(PATH).json()["total"]
    taught.get(PROBE)
    again = accept(taught, preview=True).json()
    done = accept(taught, seen=again["seen"])

    assert (refused.status_code, refused.json()["error"], untouched) == (409, "NotAsSeen", 7)
    assert (done.status_code, done.json()["changed"]) == (200, again["changed"])
    assert accept(taught, seen=seen, preview=True).status_code == 422
