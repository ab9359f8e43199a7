"""How good the probe is: every figure with its interval, and honest where pictures belong together."""

from types import SimpleNamespace

import numpy as np

from app.crossvalidation import cross_validate, cross_validate_apart
from app.judgement import sentences
from app.together import groups_of
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


def test_the_probe_over_http_says_all_of_it_with_intervals(indexed):
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, EACH - 1), subject)

    said = indexed.get("/v1/collections/photos/probe").json()

    assert [x["class"] for x in said["per_class"]] == said["classes"] == sorted(SUBJECTS)
    for each in said["per_class"]:
        low, high = each["recall_interval"]
        assert low <= each["recall"] <= high
    assert sum(x["labels"] for x in said["reliability"]) == said["labels"]
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
