"""What a report says of two models: its verdict above all, with models known to be better, worse and the same."""

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from model.compare import compare, side_by_side
from model.errors import BadInput
from model.export import PixelsToVectors
from model.images import square
from model.info import ModelInfo, Preparation
from model.measure import VIEWS, Measured, measure
from model.network import Backbone
from model.train import pretrain
from tests.model.runs import TINY, as_pixels, tiny_pixels, tiny_start
from tests.pictures import NAMES, views

EACH = 8
LABELS = [name for name in NAMES for _ in range(EACH)]


def unit(rows: object) -> np.ndarray:
    vectors = np.asarray(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def random_measured(seed: int, count: int = 60, dim: int = 4) -> Measured:
    rng = np.random.default_rng(seed)
    return Measured(unit(rng.normal(size=(count, dim))), np.arange(count), unit(rng.normal(size=(2, count, dim))))


class TinyEncoder:
    """Without learning: the mean colour on a grid of `cells` x `cells`. One cell is a poor model, eight a good one."""

    info = ModelInfo("0" * 16, "tiny", "standard", 3, Preparation(64, (0, 0, 0), (1, 1, 1)), 320, "random")

    def __init__(self, cells: int) -> None:
        self.cells = cells

    def prepare(self, image: Image.Image) -> np.ndarray:
        return np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR))

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        n, step = len(pixels), 64 // self.cells
        grid = pixels.reshape(n, self.cells, step, self.cells, step, 3).mean(axis=(2, 4)).reshape(n, -1)
        return unit(grid - grid.mean(axis=1, keepdims=True) + 1e-3)


class TorchEncoder:
    """A network as it is, without the seconds that saving it and making a graph of it for the CPU take."""

    def __init__(self, network: Backbone, preparation: Preparation) -> None:
        self.info = ModelInfo("0" * 16, network.name, network.stem, network.dim, preparation, 320, "random")
        self._network = PixelsToVectors(network, self.info).eval()

    def prepare(self, image: Image.Image) -> np.ndarray:
        return square(image, self.info.preparation.image_size)

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self._network(torch.from_numpy(pixels)).numpy()


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    return [view for name in NAMES for view in views(name, EACH)]


@pytest.fixture(scope="module")
def both(images) -> list[Measured]:
    return measure([TinyEncoder(1), TinyEncoder(8)], [(image, True) for image in images])


@pytest.fixture(scope="module")
def poor(both) -> Measured:
    return both[0]


@pytest.fixture(scope="module")
def good(both) -> Measured:
    return both[1]


def test_every_model_sees_the_same_views_which_differ_from_each_other(images, poor):
    (again,) = measure([TinyEncoder(1)], ((image, True) for image in images))

    np.testing.assert_array_equal(again.views, poor.views)
    assert again.views.shape[:2] == (VIEWS, len(images))
    assert not np.array_equal(poor.views[0], poor.views[1])


def test_only_the_pictures_asked_for_are_changed_and_their_views_do_not_depend_on_the_others(images, good):
    heard: list[int] = []

    (some,) = measure([TinyEncoder(8)], ((image, i % 3 == 0) for i, image in enumerate(images)), watch=heard.append)

    assert some.asked.tolist() == list(range(0, len(images), 3))
    np.testing.assert_array_equal(some.views, good.views[:, ::3])
    np.testing.assert_array_equal(some.vectors, good.vectors)
    assert heard == [64, len(images)]


@pytest.mark.parametrize("pictures", [[], [True], [False, False]], ids=["none", "one", "none asked for"])
def test_too_few_pictures_to_measure_are_refused_in_words(pictures):
    with pytest.raises(BadInput, match="no two pictures"):
        measure([TinyEncoder(1)], [(Image.new("RGB", (9, 9)), asked) for asked in pictures])


def test_a_model_compared_with_itself_is_the_same(good):
    report = compare(good, good, LABELS, LABELS)

    assert report["verdict"] == "same"
    assert {(m["difference"], *m["interval"], m["verdict"]) for m in report["measures"]} == {(0, 0, 0, "same")}
    assert report["sentence"].startswith("No difference that can be told")


def test_a_better_model_is_called_better_and_the_other_way_round_worse(poor, good):
    forth, back = compare(poor, good), compare(good, poor)

    assert (forth["verdict"], back["verdict"]) == ("better", "worse")
    assert forth["measures"][0]["difference"] == -back["measures"][0]["difference"]
    low, high = forth["measures"][0]["interval"]
    assert 0 < low < forth["measures"][0]["difference"] < high
    before, after = forth["measures"][0]["place"]
    assert 1 <= after < before <= 120
    assert forth["sentence"].startswith(f"Better: a changed picture finds itself at place {after:.1f} of 120, ")


def test_the_measures_agree_with_the_places_they_come_from():
    # Four pictures on the axes; one view each, of which the first two find their own and the others a neighbour's.
    axes = np.eye(4, dtype=np.float32)
    shown = Measured(axes, np.arange(4), axes[np.newaxis, [0, 1, 3, 2]])

    again, first, among_ten = compare(shown, shown)["measures"]

    # A view at place 1 twice; the others share the last places with whatever has cosine 0 as well.
    assert again["place"] == [pytest.approx(4**0.5)] * 2
    assert again["median_place"] == [2.5, 2.5]
    assert (first["name"], first["before"]) == ("recall_at_1", 0.5)
    assert (among_ten["name"], among_ten["before"]) == ("recall_at_10", 1)


def test_labels_decide_when_they_see_a_difference(images, poor, good):
    halves = ["bright" if np.asarray(image).mean() > 110 else "dark" for image in images]

    # With vectors that hold the answer itself, and views that find nothing, only the labels speak for the new model.
    answer = unit(np.array([[1.0, 0.1] if half == "dark" else [0.1, 1.0] for half in halves]))
    oracle = Measured(answer, poor.asked, np.ones((VIEWS, *answer.shape), np.float32))
    report = compare(poor, oracle, labels=halves)

    verdicts = {m["name"]: m["verdict"] for m in report["measures"]}
    assert (verdicts["accuracy_from_5_labels"], verdicts["found_again"]) == ("better", "worse")
    assert (report["verdict"], report["decided_by"]) == ("better", "accuracy_from_5_labels")
    assert "a probe from 5 labels per class is right for 100 of 100" in report["sentence"]


@pytest.mark.parametrize(("each", "tried"), [(4, []), (5, [1]), (8, [1]), (9, [1, 5]), (23, [1, 5]), (24, [1, 5, 20])])
def test_a_probe_is_tried_from_as_many_labels_as_leave_four_to_judge_by(each, tried, monkeypatch):
    monkeypatch.setattr("model.compare.DRAWS", 2)
    labels: list[str | None] = [*["a"] * each, *["b"] * each, "only one", *[None] * (99 - 2 * each)]

    report = compare(random_measured(0, 100), random_measured(1, 100), labels=labels)

    assert [m["shots"] for m in report["measures"] if "shots" in m] == tried


def test_few_labels_are_shown_but_never_decide():
    report = compare(random_measured(0), random_measured(1), labels=[*"aaaaabbbbb", *[None] * 50])

    assert report["measures"][0]["pictures"] == 10
    assert report["decided_by"] == "found_again"


def test_pictures_kept_out_are_judged_alone_when_they_are_enough_and_the_sentence_says_so(monkeypatch):
    monkeypatch.setattr("model.compare.DRAWS", 2)
    held_out = np.arange(200) % 2 == 0
    models = [random_measured(seed, 200) for seed in range(2)]
    some = [Measured(m.vectors, np.flatnonzero(held_out), m.views[:, held_out]) for m in models]

    report = compare(*some, labels=[str(i // 2 % 2) for i in range(200)], held_out=held_out)

    assert (report["images"], report["held_out"], report["gallery"]) == (100, 100, 200)
    assert all(90 <= m["pictures"] <= 100 for m in report["measures"])  # but for labels that a probe always had
    assert not any(m["trained_on"] for m in report["measures"])
    assert report["sentence"].endswith(" pictures kept out of the training.")


def test_of_a_small_collection_all_are_judged_and_the_sentence_says_that_they_were_trained_on():
    held_out = np.arange(60) % 2 == 0

    report = compare(random_measured(0), random_measured(1), labels=[*"ab"] * 30, held_out=held_out)

    assert (report["images"], report["held_out"]) == (60, 30)
    assert all(m["trained_on"] for m in report["measures"])
    assert report["sentence"].endswith("Judged on 60 pictures, most of them trained on, for too few were kept out.")


def test_chance_is_not_called_better():
    verdicts = [compare(random_measured(2 * i), random_measured(2 * i + 1))["verdict"] for i in range(40)]

    assert verdicts.count("same") >= 34  # 38 of 40 on average


def test_too_few_pictures_tell_nothing(poor, good):
    few = [Measured(m.vectors[:9], m.asked[:9], m.views[:, :9]) for m in (poor, good)]

    report = compare(*few)

    assert report["verdict"] == "same"
    assert report["sentence"] == "9 pictures are too few to tell the models apart."


def test_folders_are_compared_when_there_are_two(poor, good):
    one, several = compare(poor, good, [""] * len(LABELS)), compare(poor, good, LABELS)

    (agreement,) = [m for m in several["measures"] if m["name"] == "folder_agreement"]
    assert agreement["chance"] == pytest.approx((EACH - 1) / (len(LABELS) - 1))
    assert agreement["before"] > 2 * agreement["chance"] < agreement["after"]
    assert len(several["folders"]["groups"]) == len(NAMES)
    assert one["folders"] is None
    assert "folder_agreement" not in [m["name"] for m in one["measures"]]


def test_the_report_is_plain_json(poor, good):
    report = compare(poor, good, LABELS, LABELS, np.arange(len(LABELS)) % 2 == 0)

    assert json.loads(json.dumps(report, allow_nan=False))["images"] == len(LABELS)


def test_models_measured_on_other_pictures_are_not_compared(poor):
    fewer = Measured(poor.vectors[:5], poor.asked[:5], poor.views[:, :5])
    others = Measured(poor.vectors, poor.asked[::-1], poor.views)

    for other in (fewer, others):
        with pytest.raises(BadInput, match="the same pictures"):
            compare(poor, other)
    with pytest.raises(BadInput, match="the same pictures"):
        compare(poor, poor, labels=["a"])


def test_the_queries_are_fixed_and_none_is_an_answer_to_itself(poor, good):
    queries = side_by_side(poor, good)

    assert queries == side_by_side(poor, good)
    assert len({q["query"] for q in queries}) == 24
    for query in queries:
        assert len(set(query["before"])) == len(set(query["after"])) == 6
        assert query["query"] not in query["before"] + query["after"]
    nearest = good.vectors @ good.vectors[queries[0]["query"]]
    assert queries[0]["after"][0] == np.argsort(nearest)[-2]


def test_what_is_held_out_never_reaches_the_weights(tmp_path):
    pixels = tiny_pixels()
    first = pretrain(pixels, tiny_start(tmp_path), TINY, tmp_path / "one")
    pixels[first.held_out] = 255 - pixels[first.held_out]

    again = pretrain(pixels, tiny_start(tmp_path), TINY, tmp_path / "two")

    assert again.held_out == first.held_out
    assert len(set(first.held_out)) == 3
    for one, other in zip(first.backbone.state_dict().values(), again.backbone.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_training_for_real_is_better_than_none_and_spoiled_weights_are_worse(tmp_path):
    """The whole way, with real networks and pictures: random weights, a short SimCLR run, and its weights shuffled."""
    from model.network import starting_point

    # In other colours every time, or an untrained network would do by colour alone.
    rng = np.random.default_rng(0)
    cuts = [np.asarray(view)[..., rng.permutation(3)] for name in NAMES[:10] for view in views(name, 20, 64)]
    labels = [name for name in NAMES[:10] for _ in range(20)]
    start = starting_point("random", "test_resnet", 32, tmp_path, seed=0)
    settings = replace(
        TINY, epochs=25, batch_size=32, preset="drawing", learning_rate=0.002, head_hidden=512, head_out=128
    )
    trained = pretrain(as_pixels(np.stack(cuts)), start, settings, tmp_path / "run")

    spoiled = deepcopy(trained.backbone)
    with torch.no_grad():
        for weights in spoiled.parameters():
            weights.copy_(weights.flatten()[torch.randperm(weights.numel())].view_as(weights))
    encoders = [TorchEncoder(network, start.preparation) for network in (start.backbone, trained.backbone, spoiled)]
    before, after, worse = measure(encoders, [(Image.fromarray(cut), True) for cut in cuts])

    assert compare(before, after)["verdict"] == "better"
    assert compare(after, worse)["verdict"] == "worse"
    assert compare(after, after)["verdict"] == "same"
    report = compare(before, after, labels=labels)
    verdicts = {m["name"]: m["verdict"] for m in report["measures"]}
    assert (verdicts["accuracy_from_5_labels"], verdicts["found_again"]) == ("better", "better"), report["sentence"]
