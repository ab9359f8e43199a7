"""`likeness doctor` says how it is, and what to do where it is not well."""

import pytest

from app.doctor import examine
from tests.faults.corrupt import damage


def test_a_sound_installation_has_no_problems(indexed, workspace):
    said = examine(workspace)

    assert said["problems"] == []
    [index] = said["indexes"]
    assert (index["collection"], index["vectors"], index["recall_at_10"]) == ("photos", 24, 1.0)
    assert said["schema"] == "0004" or said["schema"] > "0004"
    assert said["libraries"]["torch"]


@pytest.mark.promise(8, 33)
def test_every_problem_is_a_sentence_that_says_what_to_do(indexed, workspace, monkeypatch):
    indexed.post("/v1/collections/photos/indexes")
    damage(next((workspace.home.root / "indexes").rglob("*.faiss")), "flipped byte")
    monkeypatch.setattr("app.doctor.LITTLE", 1 << 60)
    monkeypatch.setattr("app.doctor.requires", lambda name: ["pillow>=99", "nothing-of-this-name>=1", "numpy>=2.0"])

    said = " ".join(examine(workspace)["problems"])

    assert "run `likeness index`" in said
    assert "1 jobs of the lane 'pictures' wait and no worker runs: start `likeness serve`" in said
    assert "make room before importing more" in said
    assert "pillow is" in said
    assert "nothing-of-this-name is not installed" in said
    assert "numpy" not in said
