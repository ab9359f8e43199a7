"""Collections whose pictures may have several classes, over HTTP, on the command line and in what leaves them."""

import csv
import io
import json
import zipfile

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from app.cli import main
from app.questions import Question, in_turn
from app.reasons import AUDIT
from indexer.catalog import collection_named
from model.encoder import open_encoder
from tests.app.conftest import EACH, SUBJECTS, subject_of
from tests.app.test_api import images, label, of_subject

HERE = "/v1/collections/photos"
DRINKS = "drinks"  # coffee and rocket fuel: a class across the subjects
WITH_DRINKS = ("coffee", "rocket")


@pytest.fixture
def several(indexed):
    assert indexed.patch(HERE, json={"multi_label": True}).json()["multi_label"] is True
    return indexed


def answer_some(client, each=5):
    """Of `each` pictures of every subject: which subject, yes or no of each, and whether there are drinks."""
    for subject in SUBJECTS:
        ids = of_subject(client, subject, each)
        for name in SUBJECTS:
            label(client, ids, name, "yes" if name == subject else "no")
        label(client, ids, DRINKS, "yes" if subject in WITH_DRINKS else "no")


def test_a_request_that_began_before_several_classes_were_allowed_leaves_the_next_one_its_probe(indexed):
    engine = indexed.app.state.engine
    for subject in SUBJECTS:
        for name in SUBJECTS:
            label(indexed, of_subject(indexed, subject, 3), name, "yes" if name == subject else "no")
    before = collection_named(engine.workspace.engine, "photos")
    indexed.patch(HERE, json={"multi_label": True})

    late = engine.probes.fitted(before)
    now = engine.probes.fitted(collection_named(engine.workspace.engine, "photos"))

    assert (late.probe.several, now.probe.several) == (False, True)


def test_questions_come_from_each_queue_in_turn_no_picture_twice_and_none_is_thought_of_in_vain():
    thought = []

    def queue(name, *ids):
        for image_id in ids:
            thought.append(name)
            yield Question(image_id, name, "audit", AUDIT)

    three = in_turn([queue("a", 1, 2, 3), queue("b", 1, 4), queue("c", 5)], 3)
    counted = list(thought)
    everything = in_turn([queue("a", 1, 2, 3), queue("b", 1, 4), queue("c", 5)], 9)

    assert [(each.class_name, each.image_id) for each in three] == [("a", 1), ("b", 4), ("c", 5)]
    assert [each.image_id for each in everything] == [1, 4, 5, 2, 3]
    assert counted == ["a", "b", "b", "c"]
    assert in_turn([queue("a", 1), queue("d", 2)], 1)[0].image_id == 1
    assert "d" not in thought


def truth(image):
    subject = subject_of(image)
    return {subject, DRINKS} if subject in WITH_DRINKS else {subject}


def test_it_is_chosen_when_a_collection_is_made_or_later(client):
    made = client.post("/v1/collections", json={"name": "tags", "multi_label": True}).json()
    plain = client.post("/v1/collections", json={"name": "plain"}).json()

    assert (made["multi_label"], plain["multi_label"]) == (True, False)
    assert client.get("/v1/collections/tags").json()["multi_label"] is True


def test_turning_it_off_while_a_picture_has_two_classes_is_409_and_says_which(several):
    (first,) = of_subject(several, "cat", 1)
    label(several, [first], "cat")
    label(several, [first], "sofa")

    response = several.patch(HERE, json={"multi_label": False})

    assert response.status_code == 409
    assert response.json()["error"] == "SeveralClasses"
    assert f"image {first}: 'cat' and 'sofa'" in response.json()["detail"]
    label(several, [first], "sofa", "none")
    assert several.patch(HERE, json={"multi_label": False}).json()["multi_label"] is False


def test_a_picture_shows_every_class_and_what_was_said_of_each(several):
    (first,) = of_subject(several, "cat", 1)
    label(several, [first], "cat")
    label(several, [first], "sofa")
    label(several, [first], "dog", "no")

    shown = several.get(f"/v1/images/{first}").json()

    assert shown["classes"] == ["cat", "sofa"]
    assert shown["answers"] == {"cat": "yes", "dog": "no", "sofa": "yes"}
    assert [x["id"] for x in images(several, **{"class": "sofa"})["items"]] == [first]
    assert [x["id"] for x in images(several, **{"class": "cat"})["items"]] == [first]


def test_predictions_are_the_classes_above_their_lines(several):
    answer_some(several)

    found = several.get(f"{HERE}/predictions", params={"limit": 500}).json()
    drinks = several.get(f"{HERE}/predictions", params={"class": DRINKS, "limit": 500}).json()

    said = {x["image"]["id"]: {c["class"] for c in x["classes"]} for x in found["items"]}
    expected = {x["image"]["id"]: truth(x["image"]) for x in found["items"]}
    assert len(said) == EACH * len(SUBJECTS)
    assert sum(said[i] == expected[i] for i in said) >= 0.7 * len(said)  # an untrained network
    assert {x["image"]["id"] for x in drinks["items"]} == {i for i, names in said.items() if DRINKS in names}
    assert all(c["probability"] >= 0.5 for x in found["items"] for c in x["classes"])


def test_a_line_moves_what_is_predicted_and_its_figures(several):
    answer_some(several)
    before = several.get(f"{HERE}/predictions", params={"class": DRINKS}).json()["total"]

    changed = several.patch(f"{HERE}/classes/{DRINKS}", json={"line": 1.0})

    assert changed.json()["line"] == 1.0
    assert before > 0
    assert several.get(f"{HERE}/predictions", params={"class": DRINKS}).json()["total"] == 0
    per_class = {x["class"]: x for x in several.get(f"{HERE}/probe").json()["per_class"]}
    assert (per_class[DRINKS]["recall"], per_class[DRINKS]["precision"]) == (0, None)
    assert per_class["cat"]["recall"] > 0


def test_accepting_gives_every_class_above_its_line_of_which_nothing_was_said(several):
    answer_some(several)
    cats = of_subject(several, "cat", EACH)
    label(several, cats[-1:], "cat", "no")
    ids = [x["id"] for x in images(several, limit=500)["items"]]
    before = {x["id"]: x for x in images(several, limit=500)["items"]}

    done = several.post(f"{HERE}/labels", json={"image_ids": ids, "as_predicted": True}).json()

    after = {x["id"]: x["answers"] for x in images(several, limit=500)["items"]}
    expected = {i: dict(x["answers"]) for i, x in before.items()}
    for i, image in before.items():
        for each in image["predicted"]["classes"] if image["predicted"]["fits"] else ():
            expected[i].setdefault(each["class"], "yes")
    assert after == expected != {i: x["answers"] for i, x in before.items()}
    assert done["changed"] > 0
    several.post(f"{HERE}/labels/undo")
    assert {x["id"]: x["answers"] for x in images(several, limit=500)["items"]} == {
        i: x["answers"] for i, x in before.items()
    }


def test_a_filter_by_prediction_finds_every_class_of_a_picture(several):
    answer_some(several)

    for name in ("coffee", DRINKS):
        found = images(several, predicted=name, limit=500)["items"]
        assert found
        assert all(name in {c["class"] for c in x["predicted"]["classes"]} for x in found)


def test_the_probe_says_precision_and_recall_of_each_class_with_intervals(several):
    answer_some(several)

    said = several.get(f"{HERE}/probe").json()

    assert said["multi_label"] is True
    assert said["interval"][0] <= said["accuracy"] <= said["interval"][1]
    assert {x["class"] for x in said["per_class"]} == {*SUBJECTS, DRINKS}
    for each in said["per_class"]:
        assert each["labels"] + each["no"] == 5 * len(SUBJECTS) == sum(map(sum, each["confusion"]))
        assert each["recall_interval"][0] <= each["recall"] <= each["recall_interval"][1]


def test_the_pictures_behind_a_cell_of_a_class_are_shown(several):
    answer_some(several)
    per_class = {x["class"]: x for x in several.get(f"{HERE}/probe").json()["per_class"]}

    found = {}
    for row, actual in enumerate(("no", "yes")):
        for column, predicted in enumerate(("no", "yes")):
            query = {"class": "cat", "actual": actual, "predicted": predicted}
            page = several.get(f"{HERE}/probe/confusion", params=query).json()
            assert page["total"] == per_class["cat"]["confusion"][row][column]
            found[actual, predicted] = {subject_of(x) for x in page["items"]}

    assert found["yes", "yes"] == {"cat"}
    assert "cat" not in found["no", "no"]
    assert several.get(f"{HERE}/probe/confusion", params={"actual": "yes", "predicted": "no"}).status_code == 422


def test_without_a_no_the_probe_says_what_to_answer(several):
    label(several, of_subject(several, "cat", 3), "cat")

    response = several.get(f"{HERE}/predictions")

    assert response.status_code == 409
    assert "not 'cat' (no)" in response.json()["detail"]


def test_the_queue_asks_of_each_class_and_never_what_was_answered(several):
    label(several, of_subject(several, "cat", 2), "cat")
    label(several, of_subject(several, "coffee", 2), "coffee")
    label(several, of_subject(several, "rocket", 1), None, "none_of_these")

    items = several.get(f"{HERE}/suggestions", params={"limit": 12}).json()["items"]

    assert {x["class"] for x in items} == {"cat", "coffee"}
    assert len({x["image"]["id"] for x in items}) == len(items) == 12
    assert all(x["class"] not in x["image"]["answers"] for x in items)
    assert all(x["image"]["answer"] != "none_of_these" and x["reason"] for x in items)


def test_the_queue_of_one_class_mixes_reasons(several):
    answer_some(several, 4)

    items = several.get(f"{HERE}/suggestions", params={"limit": 12, "class": "cat"}).json()["items"]

    assert {x["class"] for x in items} == {"cat"}
    assert {"unsure", "rare"} <= {x["kind"] for x in items}


def test_a_wrong_answer_about_one_class_is_found(several):
    answer_some(several)
    (wrong,) = of_subject(several, "rocket", 1)
    label(several, [wrong], "cat", "yes")

    items = several.get(f"{HERE}/suggestions", params={"kind": "mislabelled"}).json()["items"]

    (found,) = [x["reason"] for x in items if (x["image"]["id"], x["class"]) == (wrong, "cat")]
    assert found.startswith("said to be cat, and without that answer")


def test_a_random_sample_says_how_many_of_each_class_are_still_to_be_found(several):
    answer_some(several)
    for _ in range(12):
        for item in several.get(f"{HERE}/suggestions", params={"kind": "audit", "limit": 12}).json()["items"]:
            label(
                several, [item["image"]["id"]], item["class"], "yes" if item["class"] in truth(item["image"]) else "no"
            )

    audit = several.get(f"{HERE}/probe").json()["audit"]

    assert audit["sample"] == EACH * len(SUBJECTS)
    found = {x["class"]: (x["found"], x["still_to_find"], x["interval"]) for x in audit["classes"]}
    assert found == {**{s: (EACH, 0, [0, 0]) for s in SUBJECTS}, DRINKS: (2 * EACH, 0, [0, 0])}


def test_the_csv_has_a_row_for_each_class_of_a_picture_and_can_be_sent_back(several):
    answer_some(several)
    (first,) = of_subject(several, "cat", 1)
    label(several, [first], None, "unsure")
    before = {x["id"]: (x["answers"], x["answer"]) for x in images(several, limit=500)["items"]}

    text = several.get(f"{HERE}/export?format=csv").text
    while several.post(f"{HERE}/labels/undo").json().get("can_undo"):
        pass
    sent = several.post(f"{HERE}/labels/csv", files={"file": ("labels.csv", text.encode())})

    rows = list(csv.DictReader(io.StringIO(text)))
    of_one = [row for row in rows if row["id"] == str(of_subject(several, "rocket", 1)[0])]
    assert {(row["class"], row["answer"]) for row in of_one} == {
        ("cat", "no"), ("coffee", "no"), ("rocket", "yes"), (DRINKS, "yes")
    }  # fmt: skip
    assert sent.status_code == 200
    assert sent.json()["unknown"] == []
    assert {x["id"]: (x["answers"], x["answer"]) for x in images(several, limit=500)["items"]} == before


def test_two_classes_in_a_csv_are_refused_where_pictures_have_one(indexed):
    path = images(indexed, limit=1)["items"][0]
    name = f"{path['folder']}/{path['name']}"
    text = f"path,class\n{name},cat\n{name},sofa\n".encode()

    refused = indexed.post(f"{HERE}/labels/csv", files={"file": ("labels.csv", text)})
    indexed.patch(HERE, json={"multi_label": True})
    taken = indexed.post(f"{HERE}/labels/csv", files={"file": ("labels.csv", text)})

    assert refused.status_code == 422
    assert "both 'cat' and 'sofa'" in refused.json()["detail"]
    assert taken.json()["changed"] == 2


def test_json_and_coco_hold_every_class(several):
    answer_some(several, EACH)

    said = several.get(f"{HERE}/export?format=json").json()
    coco = several.get(f"{HERE}/export?format=coco").json()

    assert said["multi_label"] is True
    shown = {x["id"]: truth(x) for x in images(several, limit=500)["items"]}
    assert {x["id"]: set(x["classes"]) for x in said["images"]} == shown
    assert all(set(x["probabilities"]) == {*SUBJECTS, DRINKS} for x in said["images"])
    names = {x["id"]: x["name"] for x in coco["categories"]}
    annotated = {}
    for each in coco["annotations"]:
        annotated.setdefault(each["image_id"], set()).add(names[each["category_id"]])
    assert annotated == shown
    refused = {x["id"]: {names[number] for number in x["neg_category_ids"]} for x in coco["images"]}
    assert refused == {i: {*SUBJECTS, DRINKS} - classes for i, classes in shown.items()}


def test_a_picture_is_in_the_folder_of_each_class_and_comes_back_with_them(several, settings, tmp_path, capsys):
    answer_some(several, EACH)
    out, home = tmp_path / "out", ["--home", str(settings.home)]

    assert main(["export", "collection", "photos", "--format", "folders", "--out", str(out), "--copy", *home]) == 0
    assert main(["collections", "back", "--multi-label", *home]) == 0
    assert main(["import", str(out), "--collection", "back", "--labels-from-folders", *home]) == 0

    counts = {folder.name: len(list(folder.iterdir())) for folder in out.iterdir()}
    assert counts == {**dict.fromkeys(SUBJECTS, EACH), DRINKS: 2 * EACH}
    back = several.get("/v1/collections/back/images", params={"limit": 500}).json()["items"]
    assert sorted(tuple(x["classes"]) for x in back) == sorted(
        tuple(sorted(truth(x))) for x in images(several, limit=500)["items"]
    )


def test_the_exported_graph_says_what_likeness_says(several, model_folder):
    answer_some(several)
    several.get(f"{HERE}/probe")

    answer = several.get(f"{HERE}/export?format=classifier")

    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist()}
    facts = json.loads(files["classifier.json"])
    session = onnxruntime.InferenceSession(files["classifier.onnx"])
    prepare = open_encoder(model_folder, "cpu").prepare
    listed = images(several, limit=500)["items"]
    previews = [Image.open(io.BytesIO(several.get(image["preview"]).content)) for image in listed]
    (p,) = session.run(["probabilities"], {"pixels": np.stack([prepare(x) for x in previews])})
    said = [{c for c, x, line in zip(facts["classes"], row, facts["lines"], strict=True) if x >= line} for row in p]
    assert facts["multi_label"] is True
    assert said == [{c["class"] for c in image["predicted"]["classes"]} for image in listed]
    assert b'facts["lines"]' in files["README.md"]


def test_pictures_are_classified_into_several_classes_on_the_command_line(several, settings, folder, tmp_path, capsys):
    answer_some(several)
    several.get(f"{HERE}/probe")
    out = tmp_path / "said.csv"
    command = ["predict", str(folder / "coffee"), "--csv", str(out), "--home", str(settings.home), "--json"]

    assert main(command) == 0

    said = json.loads(capsys.readouterr().out)["predictions"]
    rows = list(csv.DictReader(out.open()))
    above = {(p["path"], c["class"]) for p in said for c in p["classes"]}
    assert {(row["path"], row["class"]) for row in rows if row["class"]} == above
    assert sum({"coffee", DRINKS} == {c["class"] for c in p["classes"]} for p in said) >= 5  # an untrained network


def test_the_command_line_gives_a_no(several, settings, folder, capsys):
    picture = str(next((folder / "cat").iterdir()))
    home = ["--home", str(settings.home), "--json"]

    main(["label", "--set", "cat", picture, *home])
    main(["label", "--set", "dog", "--answer", "no", picture, *home])
    assert main(["label", "--set", "dog", "--answer", "maybe", picture, *home]) == 1

    answers = [x["answers"] for x in images(several, limit=500)["items"] if x["answers"]]
    assert answers == [{"cat": "yes", "dog": "no"}]


def test_fine_tuning_says_that_it_is_for_one_class(several):
    answer_some(several)

    response = several.post(f"{HERE}/finetunings", json={})

    assert response.status_code == 422
    assert "may have several classes" in response.json()["detail"]


def test_a_click_leaves_the_other_classes_as_they_are(several):
    answer_some(several)
    several.get(f"{HERE}/probe")
    before = several.post(f"{HERE}/search", json={"positive": of_subject(several, "cat", 1)}).json()["hits"]
    probabilities = {h["image"]["id"]: h["image"]["predicted"]["classes"] for h in before}

    label(several, of_subject(several, "rocket", EACH)[-1:], DRINKS, "yes")

    after = several.post(f"{HERE}/search", json={"positive": of_subject(several, "cat", 1)}).json()["hits"]
    for hit in after:
        others = [x for x in hit["image"]["predicted"]["classes"] if x["class"] != DRINKS]
        assert others == [x for x in probabilities[hit["image"]["id"]] if x["class"] != DRINKS]
