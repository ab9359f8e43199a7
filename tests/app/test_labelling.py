"""What to label next: every suggestion has a reason that is true."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from app.audit import audit_order, audited
from app.cli import main
from tests.app.conftest import EACH, SUBJECTS, subject_of
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

    assert "unsure" in {item["kind"] for item in items}
    assert len({item["image"]["id"] for item in items}) == len(items) == 4  # all that are left
    assert all(item["image"]["class"] is None and item["reason"] for item in items)


def test_who_asks_again_after_every_label_meets_the_whole_mixture(indexed, monkeypatch):
    monkeypatch.setattr("app.labelling.MIX", ("unsure", "audit"))
    label_most(indexed)
    met = []
    for _ in range(4):
        (first,) = suggested(indexed, limit=1)
        met.append(first["kind"])
        label(indexed, [first["image"]["id"]], subject_of(first["image"]))

    assert met == ["unsure", "audit", "unsure", "audit"]


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

    preview = indexed.post(f"{path}/kittens/merge", json={"into": "cats", "preview": True}).json()
    looked_at = {item["name"]: item["labels"] for item in indexed.get(path).json()["items"]}
    merged = indexed.post(f"{path}/kittens/merge", json={"into": "cats"}).json()
    after = {item["name"]: item["labels"] for item in indexed.get(path).json()["items"]}
    action = indexed.post("/v1/collections/photos/labels/undo").json()["action"]
    undone = {item["name"]: item["labels"] for item in indexed.get(path).json()["items"]}

    assert action == {**action, "kind": "merge", "class": "kittens", "to": "cats", "answer": None, "images": 2}
    assert preview == merged == {"moved": 2, "into": "cats"}
    assert looked_at == {"cats": 3, "kittens": 2}
    assert after == {"cats": 5}
    assert undone == {"cats": 3, "kittens": 2}


def test_a_class_is_renamed_with_another_colour_and_key_and_undo_says_what_it_took_back(indexed):
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, 2), subject)
    path, last = "/v1/collections/photos/classes", SUBJECTS[-1]
    before = indexed.get(path).json()

    said = indexed.patch(f"{path}/{last}", json={"name": "other", "colour": "#123456", "key": "1"}).json()
    after = [(x["name"], x["colour"], x["key"], x["labels"]) for x in indexed.get(path).json()["items"]]
    taken = indexed.patch(f"{path}/other", json={"name": SUBJECTS[0]}).json()
    bad = indexed.patch(f"{path}/other", json={"name": "none of these"}).json()
    undone = indexed.post("/v1/collections/photos/labels/undo").json()

    assert said == {"name": "other", "colour": "#123456"}
    assert after[0] == ("other", "#123456", "1", 2)
    assert after[-1][0] == SUBJECTS[0]
    assert (taken["error"], bad["error"]) == ("ClassExists", "BadClassName")
    assert (undone["of"], undone["changed"]) == ("classes", 0)
    assert (undone["action"]["kind"], undone["action"]["class"], undone["action"]["to"]) == ("rename", last, "other")
    assert indexed.get(path).json() == before


def test_a_label_for_a_class_that_was_renamed_goes_to_it_and_for_one_that_was_removed_is_409(indexed):
    cats = of_subject(indexed, "cat", 3)
    label(indexed, cats[:2], "cat")
    path = "/v1/collections/photos"
    body = {"image_ids": cats[2:], "class": "cat", "known": True}

    plain = indexed.post(f"{path}/labels", json=body | {"image_ids": cats[:1]}).json()
    unsure = indexed.post(f"{path}/labels", json={"image_ids": cats[2:], "answer": "unsure"}).json()
    indexed.post(f"{path}/labels/undo")
    indexed.patch(f"{path}/classes/cat", json={"name": "tabby"})
    given = indexed.post(f"{path}/labels", json=body)
    classes = {item["name"]: item["labels"] for item in indexed.get(f"{path}/classes").json()["items"]}
    indexed.delete(f"{path}/classes/tabby")
    refused = indexed.post(f"{path}/labels", json=body)
    undone = indexed.post(f"{path}/labels/undo").json()

    assert (given.json()["changed"], given.json()["class"]) == (1, "tabby")
    assert classes == {"tabby": 3}
    assert (plain["class"], unsure["class"]) == ("cat", None)
    assert (refused.status_code, refused.json()["error"]) == (409, "ClassGone")
    assert "'cat'" in refused.json()["detail"]
    assert (undone["action"]["kind"], undone["action"]["class"], undone["of"]) == ("remove", "tabby", "classes")
    assert {item["name"]: item["labels"] for item in indexed.get(f"{path}/classes").json()["items"]} == {"tabby": 3}


def test_a_preview_for_a_class_that_was_renamed_says_what_happens_and_for_one_that_was_removed_is_409(indexed):
    cats = of_subject(indexed, "cat", 3)
    label(indexed, cats[:2], "cat")
    path = "/v1/collections/photos"
    body = {"image_ids": cats, "class": "cat", "known": True, "preview": True}

    indexed.patch(f"{path}/classes/cat", json={"name": "tabby"})
    given, taken = (indexed.post(f"{path}/labels", json=body | {"answer": answer}) for answer in ("yes", "none"))
    indexed.delete(f"{path}/classes/tabby")
    refused = indexed.post(f"{path}/labels", json=body)

    assert [image["id"] for image in given.json()["preview"]] == cats[2:]
    assert (given.json()["changed"], taken.json()["changed"]) == (1, 2)
    assert given.json()["class"] == "tabby"
    assert (refused.status_code, refused.json()["error"]) == (409, "ClassGone")


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


def test_the_pictures_behind_every_cell_of_the_confusion_are_those_it_counts(indexed):
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, 6), subject)
    (wrong,) = of_subject(indexed, "rocket", 1)
    label(indexed, [wrong], "cat")
    path = "/v1/collections/photos/probe"
    said = indexed.get(path).json()

    cells = {
        (actual, predicted): indexed.get(f"{path}/confusion", params={"actual": actual, "predicted": predicted}).json()
        for actual in said["classes"]
        for predicted in said["classes"]
    }
    unknown = indexed.get(f"{path}/confusion", params={"actual": "cat", "predicted": "dog"})

    assert [[cells[a, p]["total"] for p in said["classes"]] for a in said["classes"]] == said["confusion"]
    assert all(image["class"] == a for (a, _), cell in cells.items() for image in cell["items"])
    assert wrong in [image["id"] for image in cells["cat", "rocket"]["items"]]
    assert sum(cell["total"] for cell in cells.values()) == 18
    assert unknown.status_code == 422
    assert "'dog' is not in the confusion" in unknown.json()["detail"]


def test_an_exported_csv_labels_the_same_pictures_again_in_one_step_that_undo_takes_back(indexed):
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, 3), subject)
    path = "/v1/collections/photos/labels"
    said = {"image_ids": of_subject(indexed, "cat", 4)[3:], "answer": "none_of_these"}
    indexed.post(path, json=said)
    exported = indexed.get("/v1/collections/photos/export").content

    def standing():
        items = indexed.get(path, params={"limit": 500}).json()["items"]
        return {item["image_id"]: (item["class"], item["answer"]) for item in items}

    before = standing()
    again = indexed.post(f"{path}/csv", files={"file": ("labels.csv", exported)}).json()
    indexed.post(path, json={"image_ids": list(before), "answer": "none"})
    emptied = standing()
    csv = exported + b"99,/nowhere/dog.jpg,dog.jpg,,dog,,\r\n"
    back = indexed.post(f"{path}/csv", files={"file": ("labels.csv", csv)}, data={"by": "Ada"}).json()
    returned = standing()
    indexed.post(f"{path}/undo")

    assert (again["changed"], again["action"]) == (0, 0)
    assert emptied == {}
    assert (back["changed"], back["labelled"], back["unknown"]) == (10, 10, ["/nowhere/dog.jpg"])
    assert returned == before
    assert standing() == {}


def test_a_csv_that_cannot_be_right_is_refused_with_a_sentence_and_changes_nothing(indexed):
    path = "/v1/collections/photos/labels"
    (image,) = indexed.get("/v1/collections/photos/images", params={"limit": 1}).json()["items"]
    name = f"{image['folder']}/{image['name']}"

    def refused(data):
        answer = indexed.post(f"{path}/csv", files={"file": ("labels.csv", data)})
        assert answer.status_code == 422
        return answer.json()["detail"]

    assert "is given both 'cat' and 'dog'" in refused(f"{name},cat\n{name},dog\n".encode())
    assert "row 1: expected path,class" in refused(b"only a path\n")
    assert "cannot be read as CSV" in refused(b"\xff\xfe\x00")
    assert "gives no picture a class" in refused(b"path,class\n")
    assert "None of the pictures" in refused(b"/nowhere/dog.jpg,dog\n")
    assert indexed.get(path).json()["total"] == 0


def test_pictures_that_fit_no_class_say_so_on_the_command_line_as_in_the_collection(
    indexed, settings, folder, tmp_path, capsys
):
    for subject in SUBJECTS[:2]:
        label(indexed, of_subject(indexed, subject, EACH), subject)
    label(indexed, of_subject(indexed, SUBJECTS[2], 4), None, "none_of_these")
    indexed.get("/v1/collections/photos/probe")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    command = ["predict", str(folder), str(tmp_path / "broken.png"), "--csv", str(tmp_path / "said.csv")]

    assert main([*command, "--home", str(settings.home)]) == 0

    found = indexed.get("/v1/collections/photos/images", params={"limit": 500}).json()["items"]
    here = {f"{x['folder']}/{x['name']}": "yes" if x["predicted"]["fits"] else "no" for x in found}
    rows = list(csv.DictReader((tmp_path / "said.csv").open()))
    said = {"/".join(Path(row["path"]).parts[-2:]): row["fits"] for row in rows if not row["error"]}
    assert {x["fits"] for x in rows if x["error"]} == {""}
    assert {"/".join(name.split("/")[-2:]): fits for name, fits in here.items()} == said
    assert set(said.values()) == {"yes", "no"}
    printed = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("(fits no class)") for line in printed) == list(said.values()).count("no")


def test_ticks_and_crosses_of_a_search_are_labels_of_one_action(indexed):
    here = "/v1/collections/photos"
    cats, coffees = of_subject(indexed, "cat", 2), of_subject(indexed, "coffee", 2)
    body = {"image_ids": cats, "not_image_ids": coffees, "class": "cat"}

    said = indexed.post(f"{here}/labels", json=body).json()

    def answers():
        return {x["image_id"]: (x["class"], x["answer"]) for x in indexed.get(f"{here}/labels").json()["items"]}

    assert said["changed"] == 4
    assert answers() == dict.fromkeys(cats, ("cat", "yes")) | dict.fromkeys(coffees, ("cat", "no"))
    indexed.post(f"{here}/labels/undo")
    assert answers() == {}
    for wrong in ({"not_image_ids": cats}, {"answer": "no"}, {"preview": True}, {"class": None}):
        assert indexed.post(f"{here}/labels", json=body | wrong).status_code == 422
    assert answers() == {}


def test_steps_are_taken_back_and_done_again_on_the_command_line(indexed, settings, folder, capsys):
    def run(*arguments):
        code = main(["label", *arguments, "--home", str(settings.home), "--json"])
        printed = capsys.readouterr()
        return json.loads(printed.out)["labelled"] if code == 0 else printed.err

    assert run("--set", "cat", str(folder / "cat" / "00.jpg"), str(folder / "cat" / "01.jpg")) == 2
    assert run("--set", "cup", str(folder / "coffee" / "00.jpg")) == 3
    assert run("--clear") == 0
    assert [run("--undo"), run("--undo"), run("--undo")] == [3, 2, 0]
    assert "nothing to undo" in run("--undo")
    assert [run("--redo"), run("--redo"), run("--redo")] == [2, 3, 0]
    assert "nothing to do again" in run("--redo")
    indexed.patch("/v1/collections/photos/classes/cat", json={"name": "kitten"}).raise_for_status()
    assert [run("--undo"), run("--undo")] == [0, 3]
    assert {x["name"] for x in indexed.get("/v1/collections/photos/classes").json()["items"]} == {"cat", "cup"}
