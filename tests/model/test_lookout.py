"""What is looked at while a model learns, and what whoever stops a training early is left with."""

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from model import lookout
from model.errors import Cancelled
from model.lookout import LABELLED, NEAREST, SAMPLE, watched
from model.resume import METRICS, PINNED, read_state
from model.train import pretrain
from tests.model.runs import TINY, after, lines
from tests.pictures import NAMES

IDS = [100 + row for row in range(36)]  # of the images that `pixels` shows, six of each photograph
SUBJECT = {image_id: NAMES[row // 6] for row, image_id in enumerate(IDS)}
EPOCH = 4  # steps


@pytest.fixture
def qualities(monkeypatch):
    """Makes the quality of every evaluation what a test says; the last one for those after it."""

    def set_to(*values):
        left = list(values)
        monkeypatch.setattr(lookout, "recall_at_1", lambda one, other: left.pop(0) if len(left) > 1 else left[0])

    return set_to


def weights_after(steps, pixels, start, run):
    with pytest.raises(Cancelled):
        pretrain(pixels, start, TINY, run, stop=after(steps))
    return {k.removeprefix("network.backbone."): t for k, t in read_state(run).items() if k.startswith("network.backb")}


def assert_same_weights(backbone, expected):
    ours = backbone.state_dict()
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in ours)


def test_enough_keeps_the_weights_whose_quality_was_best(pixels, start, tmp_path, qualities):
    qualities(0.5, 0.9, 0.7)
    second_epoch = weights_after(2 * EPOCH, pixels, start, tmp_path / "until then")

    qualities(0.5, 0.9, 0.7)
    trained = pretrain(pixels, start, TINY, tmp_path / "run", enough=after(2 * EPOCH + 2))

    assert_same_weights(trained.backbone, second_epoch)
    assert trained.metrics["quality"] == 0.9
    assert trained.record["kept_epoch"] == 2
    assert trained.record["stopped_in_epoch"] == 2.5
    assert [line.get("quality") for line in lines(tmp_path / "run")] == [0.5, 0.9, 0.7]


def test_the_best_survives_a_stop(pixels, start, tmp_path, qualities):
    qualities(0.5, 0.9, 0.7)
    second_epoch = weights_after(2 * EPOCH, pixels, start, tmp_path / "until then")

    qualities(0.5, 0.9, 0.7)
    with pytest.raises(Cancelled):
        pretrain(pixels, start, TINY, tmp_path / "run", stop=after(2 * EPOCH + 1))
    qualities(0.6)
    trained = pretrain(pixels, start, TINY, tmp_path / "run", enough=lambda: True)

    assert_same_weights(trained.backbone, second_epoch)


def test_enough_before_the_first_evaluation_keeps_what_there_is(pixels, start, tmp_path):
    trained = pretrain(pixels, start, TINY, tmp_path, enough=lambda: True)

    assert trained.record["kept_epoch"] == trained.record["stopped_in_epoch"] == 0.25
    assert not torch.equal(next(trained.backbone.parameters()), next(start.backbone.parameters()))


def test_a_training_that_reaches_its_end_keeps_the_end(pixels, start, finished, tmp_path, qualities):
    qualities(0.9, 0.5, 0.1)

    trained = pretrain(pixels, start, TINY, tmp_path)

    assert trained.metrics["quality"] == 0.1
    assert "kept_epoch" not in trained.record


def test_pinned_pictures_are_asked_for_before_the_first_step_and_at_every_evaluation(pixels, start, tmp_path):
    sample = watched(IDS, [IDS[7], IDS[0]], {}, size=40)

    pretrain(pixels, start, replace(TINY, precision="float32"), tmp_path, sample=sample)

    said = [json.loads(line) for line in (tmp_path / PINNED).read_text().splitlines()]
    assert [(line["step"], line["epoch"]) for line in said] == [(0, 0), (4, 1), (8, 2), (12, 3)]
    for line in said:
        assert [query["image"] for query in line["queries"]] == [IDS[7], IDS[0]]
        for query in line["queries"]:
            near = query["nearest"]
            assert len({one["image"] for one in near} - {query["image"]}) == NEAREST
            assert [one["cosine"] for one in near] == sorted((one["cosine"] for one in near), reverse=True)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (start.preparation.mean, start.preparation.std))
    with torch.no_grad():
        vectors = F.normalize(start.backbone.eval()((pixels / 255 - mean) / std)).numpy()
    cosines = dict(zip(IDS, vectors @ vectors[7], strict=True))
    near = said[0]["queries"][0]["nearest"]  # of an untrained network, which calls all pictures nearly the same
    assert [one["cosine"] for one in near] == pytest.approx([cosines[one["image"]] for one in near], abs=1e-4)
    assert near[-1]["cosine"] >= sorted(cosines.values())[-NEAREST - 1] - 1e-4
    assert [q["nearest"] for q in said[-1]["queries"]] != [q["nearest"] for q in said[0]["queries"]]


def test_labels_give_knn_beside_the_quality_without_them(pixels, start, tmp_path):
    pretrain(pixels, start, TINY, tmp_path / "with", sample=watched(IDS, [], SUBJECT, size=40))
    pretrain(pixels, start, TINY, tmp_path / "without", sample=watched(IDS, [IDS[0]], {}, size=40))

    for line in lines(tmp_path / "with"):
        assert line["knn_labels"] == 36
        assert 1 / 6 < line["knn"] <= 1  # by lot it would be a sixth
    assert all("knn" not in line for line in lines(tmp_path / "without"))


def test_looking_changes_nothing_of_what_is_learnt(pixels, start, finished, tmp_path):
    pretrain(pixels, start, TINY, tmp_path, sample=watched(IDS, IDS[:4], SUBJECT, size=40))

    ours, theirs = read_state(tmp_path), read_state(finished)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert [line["loss"] for line in lines(tmp_path)] == [line["loss"] for line in lines(finished)]
    assert (tmp_path / METRICS).exists()


def test_the_sample_is_bounded_and_always_the_same():
    ids = list(range(5000))
    labels = {i: f"class {i % 3}" for i in ids[:3000]}

    sample, again = (watched(ids, [4999, 4, 4999, 5000], labels, size=64) for _ in range(2))

    assert sample is not None
    assert again is not None
    assert sample.ids == again.ids
    assert sample.rows.tolist() == sample.ids
    assert len(set(sample.ids)) == SAMPLE
    assert [sample.ids[place] for place in sample.pins] == [4999, 4]  # once each; 5000 is not there
    assert sum(label is not None for label in sample.labels) == LABELLED


@pytest.mark.parametrize("labels", [{}, {100: "a", 101: "b"}, dict.fromkeys(IDS, "one class")])
def test_without_pins_and_labels_that_say_something_nothing_more_is_looked_at(labels):
    assert watched(IDS, [], labels, size=40) is None
