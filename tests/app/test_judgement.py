"""How good the probe is: every figure with its interval, and honest where pictures belong together."""

from types import SimpleNamespace

import numpy as np

from app.crossvalidation import cross_validate, cross_validate_apart
from app.judgement import sentences
from app.together import groups_of
from model.quality import figures
from tests.app.conftest import EACH, SUBJECTS
from tests.app.test_api import label, of_subject
from tests.app.test_labelling import suggested
from tests.model.test_probe import clusters


def test_a_process_of_its_own_finds_what_this_one_finds():
    vectors, labels = clusters({"a": 10, "b": 10, "c": 10}, noise=0.3)
    groups = np.arange(30) // 2

    here, there = (check(vectors, labels, groups) for check in (cross_validate, cross_validate_apart))

    assert here.probe.choice == there.probe.choice
    assert here.quality.accuracy == there.quality.accuracy
    assert (here.quality.confusion == there.quality.confusion).all()
    np.testing.assert_allclose(here.quality.unseen, there.quality.unseen, atol=1e-4)
    assert here.more["kept_together"] is there.more["kept_together"] is True
    assert there.more["curve"]["points"] == here.more["curve"]["points"]


def test_too_few_labels_come_back_from_the_other_process_as_what_is_missing():
    vectors, labels = clusters({"a": 6, "b": 1})

    assert "1 more of 'b'" in str(cross_validate_apart(vectors, labels, np.arange(7)).quality)


def test_a_cross_validation_that_comes_to_no_end_is_not_said_to_lack_labels(indexed, monkeypatch):
    monkeypatch.setattr("app.crossvalidation.PATIENCE", 0.001)  # seconds; no process is done by then
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, 4), subject)

    said = indexed.get("/v1/collections/photos/probe").json()
    behind = indexed.get("/v1/collections/photos/probe/confusion", params={"actual": "cat", "predicted": "cat"})

    assert said["accuracy"] is None
    assert "failed" in said["note"]
    assert said["note_said"] == {"name": "failed", "values": {"error": "NotMeasured"}}
    assert (behind.status_code, behind.json()["error"]) == (503, "NotMeasured")
    assert indexed.get("/v1/collections/photos/predictions").json()["total"] > 0


def test_with_one_label_a_class_probabilities_are_said_to_be_a_guess_until_they_can_be_measured(indexed):
    def probe(each):
        for subject in SUBJECTS:
            label(indexed, of_subject(indexed, subject, each), subject)
        return indexed.get("/v1/collections/photos/probe").json()

    guessed, measured = probe(1), probe(3)

    assert (guessed["calibrated"], measured["calibrated"]) == (False, True)
    assert any("cautious guess" in line for line in sentences(guessed))
    assert not any("cautious guess" in line for line in sentences(measured))


def test_the_probe_over_http_says_all_of_it_with_intervals(indexed):
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, EACH - 1), subject)

    said = indexed.get("/v1/collections/photos/probe").json()

    assert [x["class"] for x in said["per_class"]] == said["classes"] == sorted(SUBJECTS)
    judged = [each for each in said["per_class"] if each["note"] is None]
    assert len(judged) >= 2
    for each in judged:
        low, high = each["recall_interval"]
        assert low <= each["recall"] <= high
    assert sum(x["labels"] for x in said["reliability"]) == said["judged"] == sum(x["labels"] for x in judged)
    assert said["curve"]["interval"][0] <= said["curve"]["interval"][1]
    assert any(line.startswith("10 more labels are worth about") for line in sentences(said))


def test_the_audit_says_how_many_of_a_class_are_still_to_be_found(indexed):
    for item in suggested(indexed, kind="audit", limit=8):
        folder = item["image"]["folder"].rpartition("/")[2]
        label(indexed, [item["image"]["id"]], "cat" if folder == "cat" else "other")

    audit = indexed.get("/v1/collections/photos/probe").json()["audit"]

    cat = next(x for x in audit["classes"] if x["class"] == "cat")
    assert (audit["sample"], audit["images"]) == (8, len(SUBJECTS) * EACH)
    assert cat["interval"][0] <= EACH - cat["found"] <= cat["interval"][1]


def images(*rows):
    return [SimpleNamespace(id=i, folder=f, camera=c, taken_at=t) for i, (f, c, t) in enumerate(rows)]


def test_a_burst_is_kept_together_and_the_next_hour_is_not(monkeypatch):
    rows = images(
        ("a", "X", "2024-05-01T10:00:00"), ("a", "X", "2024-05-01T10:00:04"), ("a", "X", "2024-05-01T11:00:00"),
        ("a", "Y", "2024-05-01T10:00:02"), ("a", None, None),
    )  # fmt: skip
    monkeypatch.setattr("app.together.get_images", lambda engine, ids: [rows[i] for i in ids])

    first, second, later, other, undated = groups_of(None, range(5), ["p", "q", "p", "q", "p"]).tolist()

    assert first == second
    assert len({first, later, other, undated}) == 4


def test_folders_are_kept_together_unless_they_are_the_classes(monkeypatch):
    rows = images(*[(folder, None, None) for folder in "aabb" * 2])
    monkeypatch.setattr("app.together.get_images", lambda engine, ids: [rows[i] for i in ids])

    across = groups_of(None, range(8), ["p", "q"] * 4)
    classes = groups_of(None, range(8), [row.folder for row in rows])

    assert across.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert len(set(classes.tolist())) == 8


def test_the_first_none_of_these_takes_no_figure_of_the_other_classes_away(indexed):
    for subject in SUBJECTS[:2]:
        label(indexed, of_subject(indexed, subject, EACH), subject)
    before = indexed.get("/v1/collections/photos/probe").json()
    label(indexed, of_subject(indexed, SUBJECTS[2], 1), None, "none_of_these")

    said = indexed.get("/v1/collections/photos/probe").json()

    assert before["judged"] == said["judged"] == 2 * EACH
    assert said["labels"] == 2 * EACH + 1
    assert abs(said["accuracy"] - before["accuracy"]) < 0.2
    assert said["curve"]["points"]
    assert sum(map(sum, said["confusion"])) == said["judged"]
    lacking = {x["class"]: x["note"] for x in said["per_class"] if x["note"]}
    assert lacking == {"none of these": "To measure how good 'none of these' is, label 1 more picture of it."}
    assert any(line.endswith(lacking["none of these"]) for line in sentences(said))
    assert indexed.get("/v1/collections/photos/suggestions", params={"kind": "mislabelled"}).status_code == 200


def test_figures_of_each_class_count_what_belongs_together_as_one():
    vectors, labels = clusters({"a": 20, "b": 20}, noise=0.8)
    copies, groups = np.tile(vectors, (6, 1)), np.tile(np.arange(40), 6)

    once = figures(cross_validate(vectors, labels, np.arange(40)).quality)["per_class"][0]
    copied = figures(cross_validate(copies, labels * 6, groups).quality)["per_class"][0]

    assert once["recall"] < 1
    widths = [each["recall_interval"][1] - each["recall_interval"][0] for each in (once, copied)]
    assert widths[1] > 0.7 * widths[0]  # as if each were another picture, 0.4 of it
