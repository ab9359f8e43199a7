import json

import numpy as np
import pytest
from PIL import Image

from model import evaluate
from model.compare import Measured, compare, measure
from model.errors import BadInput, TooFewLabels
from model.evaluate import (
    colour_histogram,
    effective_rank,
    few_shot_accuracy,
    knn_accuracy,
    linear_accuracy,
    places,
    precision_at,
)
from model.info import ModelInfo, Preparation
from tests.pictures import NAMES, picture, views


def unit(rows: object) -> np.ndarray:
    vectors = np.asarray(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def random_unit(count: int, dim: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, dim)))


# On a quarter circle, at 0, 10, 20, 50 and 60 degrees: small enough to work every answer out by hand.
ANGLES = np.radians([0, 10, 20, 50, 60])
FAN = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)
FAN_LABELS = ["a", "a", "b", "b", "b"]


def test_precision_is_the_part_of_the_nearest_that_share_the_label():
    # Nearest: 0 -> 10 (a), 10 -> 0 or 20 (tie), ... so the tie is moved aside first.
    fan = FAN.copy()
    fan[1] = [np.cos(np.radians(9)), np.sin(np.radians(9))]

    # k=1: 0->9 yes, 9->0 yes, 20->9 no, 50->60 yes, 60->50 yes.
    assert precision_at(1, fan, FAN_LABELS) == pytest.approx(4 / 5)
    # k=2: 0->9,20 half; 9->0,20 half; 20->9,0 none; 50->60,20 both; 60->50,20 both.
    assert precision_at(2, fan, FAN_LABELS) == pytest.approx((0.5 + 0.5 + 0 + 1 + 1) / 5)


def test_a_picture_is_never_an_answer_to_itself():
    vectors = unit([[1, 0], [1, 0], [0, 1], [0, 1]])

    assert precision_at(1, vectors, ["a", "b", "c", "d"]) == 0


def test_precision_does_not_depend_on_the_size_of_the_blocks(monkeypatch):
    vectors, labels = random_unit(100, 8), [str(i % 3) for i in range(100)]
    whole = precision_at(5, vectors, labels), knn_accuracy(vectors, labels, 5)

    monkeypatch.setattr(evaluate, "BLOCK", 7)

    assert (precision_at(5, vectors, labels), knn_accuracy(vectors, labels, 5)) == pytest.approx(whole)


@pytest.mark.parametrize("k", [0, 5, -1])
def test_more_neighbours_than_there_are_is_refused_in_words(k):
    with pytest.raises(BadInput, match="k must be from 1 to 4 for 5 pictures"):
        precision_at(k, FAN, FAN_LABELS)


def test_near_neighbours_have_more_votes_than_far_ones():
    # The first has one neighbour of its own kind, very near, and two others far away: 1 > 2 * exp(-0.5 / 0.07).
    vectors = unit([[1, 0], [1, 0.05], [0.5, 0.9], [0.5, -0.9]])

    assert knn_accuracy(vectors, ["a", "a", "b", "b"], k=3) == pytest.approx(2 / 4)
    assert knn_accuracy(vectors, ["a", "a", "b", "b"], k=3, temperature=100) == 0


def test_accuracies_are_perfect_on_separate_classes_and_chance_on_noise():
    labels = [str(i % 4) for i in range(200)]
    apart = unit(np.eye(4)[np.arange(200) % 4] + 0.05 * random_unit(200, 4))
    noise = random_unit(200, 16)

    assert knn_accuracy(apart, labels, 10) == linear_accuracy(apart, labels).accuracy == 1
    assert few_shot_accuracy(apart, labels, shots=2, draws=3)[0] == 1
    assert knn_accuracy(noise, labels, 10) < 0.4
    assert linear_accuracy(noise, labels).interval[0] < 0.25
    assert few_shot_accuracy(noise, labels, shots=5, draws=5)[0] == pytest.approx(0.25, abs=0.08)


def test_few_shot_accuracy_grows_with_the_labels_and_its_interval_holds_the_mean():
    labels = [str(i % 4) for i in range(400)]
    vectors = unit(np.eye(4, 32)[np.arange(400) % 4] + 2 * random_unit(400, 32))

    (few, few_interval), (many, _) = (few_shot_accuracy(vectors, labels, shots, draws=6) for shots in (1, 20))

    assert many > few + 0.1
    assert few_interval[0] < few < few_interval[1]


def test_few_shots_need_a_label_left_to_judge_by():
    with pytest.raises(TooFewLabels, match="1 more of 'a'"):
        few_shot_accuracy(FAN, FAN_LABELS, shots=2)


def test_a_histogram_knows_colour_and_nothing_else():
    red, blue = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (5, 9), (0, 0, 255))
    cat = picture("cat", 64)

    one, other, upright, mirrored = colour_histogram([red, blue, cat, cat.transpose(Image.Transpose.ROTATE_180)])

    assert one @ other == 0
    assert np.argmax(one) == 3 * 16
    np.testing.assert_array_equal(upright, mirrored)
    assert np.linalg.norm(upright) == pytest.approx(1)


def test_effective_rank_of_equal_directions_is_their_number():
    # Roy & Vetterli 2007: k equal singular values have effective rank k.
    assert effective_rank(np.tile(np.eye(5, 16, dtype=np.float32), (10, 1))) == pytest.approx(5)
    assert effective_rank(np.tile(unit([[3, 4]]), (10, 1))) == pytest.approx(1)


def test_effective_rank_equals_its_definition_by_singular_values():
    vectors = random_unit(50, 12) * np.linspace(1, 3, 12, dtype=np.float32)
    values = np.linalg.svd(vectors, compute_uv=False)
    part = values / values.sum()

    assert effective_rank(vectors) == pytest.approx(np.exp(-(part * np.log(part)).sum()), rel=1e-5)


def test_the_place_of_a_picture_is_how_many_are_as_near_as_its_own_view():
    one = unit([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    other = unit([[1, 0.15, 0], [0, 0.2, 1], [0, 0.1, 1]])  # the third's own view is a little nearer than the second's

    assert places(one, other).tolist() == [1, 1, 1]
    assert places(one, other[[1, 0, 2]]).tolist() == [3, 2, 1]


def test_a_model_that_gives_every_picture_the_same_vector_comes_last():
    same = np.tile(unit([[1, 2, 3]]), (50, 1))

    assert places(same, same).tolist() == [50] * 50


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
        centred = grid - grid.mean(axis=1, keepdims=True) + 1e-3
        return unit(centred)


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    return [view for name in NAMES for view in views(name, 8)]


@pytest.fixture(scope="module")
def poor(images) -> Measured:
    return measure(TinyEncoder(1), images)


@pytest.fixture(scope="module")
def good(images) -> Measured:
    return measure(TinyEncoder(8), images)


def test_the_same_views_are_measured_for_every_model(images, poor):
    again = measure(TinyEncoder(1), images)

    np.testing.assert_array_equal(again.one, poor.one)
    assert not np.array_equal(poor.one, poor.other)


def test_a_model_compared_with_itself_is_the_same(good):
    report = compare(good, good)

    assert report["verdict"] == "same"
    assert report["measures"][0]["difference"] == 0
    assert report["measures"][0]["interval"] == [0, 0]
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


def test_labels_decide_when_they_see_a_difference(images, poor, good):
    names = [name for name in NAMES for _ in range(8)]
    halves = ["bright" if np.asarray(image).mean() > 110 else "dark" for image in images]

    # With vectors that hold the answer itself, and views that find nothing, only the labels speak for the new model.
    answer = unit(np.array([[1.0, 0.1] if half == "dark" else [0.1, 1.0] for half in halves]))
    oracle = Measured(answer, np.ones_like(answer), np.ones_like(answer))
    report = compare(poor, oracle, halves)

    assert [m["name"] for m in report["measures"]] == ["accuracy_from_5_labels", "found_again"]
    assert [m["verdict"] for m in report["measures"]] == ["better", "worse"]
    assert report["verdict"] == "better"
    assert "a probe from 5 labels per class is right for 100 of 100" in report["sentence"]
    assert compare(good, good, names)["verdict"] == "same"


def test_pictures_without_a_label_and_classes_with_few_are_left_out(images, good):
    names: list[str | None] = [name if name in NAMES[:2] else None for name in NAMES for _ in range(8)]

    report = compare(good, good, names)

    assert [m["name"] for m in report["measures"]] == ["found_again"]  # 8 labels are not 5 and as many to judge by


def test_chance_is_not_called_better():
    verdicts = []
    for seed in range(40):
        one, other, third, fourth = (random_unit(60, 4, seed=4 * seed + i) for i in range(4))
        verdicts.append(compare(Measured(one, one, other), Measured(third, third, fourth))["verdict"])

    assert verdicts.count("same") >= 34  # 38 of 40 on average


def test_too_few_pictures_tell_nothing(poor, good):
    few = [Measured(m.vectors[:9], m.one[:9], m.other[:9]) for m in (poor, good)]

    report = compare(*few)

    assert report["verdict"] == "same"
    assert report["sentence"] == "9 pictures are too few to tell the models apart."


def test_the_report_is_plain_json(poor, good):
    names = [name for name in NAMES for _ in range(8)]

    assert json.loads(json.dumps(compare(poor, good, names)))["images"] == len(names)


def test_models_measured_on_other_pictures_are_not_compared(poor):
    with pytest.raises(BadInput, match="the same pictures"):
        compare(poor, Measured(poor.vectors[:5], poor.one[:5], poor.other[:5]))


def test_training_for_real_is_called_better_than_not_training(tmp_path):
    """The whole way, with real networks and pictures: random weights before, a short SimCLR run after."""
    torch = pytest.importorskip("torch")
    from model.checkpoint import save_model
    from model.encoder import open_encoder
    from model.network import starting_point
    from model.train import TrainSettings, pretrain

    # In other colours every time, or an untrained network would do by colour alone.
    rng = np.random.default_rng(0)
    cuts = [np.asarray(view)[..., rng.permutation(3)] for name in NAMES[:10] for view in views(name, 20, 64)]
    labels = [name for name in NAMES[:10] for _ in range(20)]
    pixels = torch.from_numpy(np.stack(cuts)).permute(0, 3, 1, 2).contiguous()
    start = starting_point("random", "test_resnet", 32, tmp_path, seed=0)
    settings = TrainSettings(
        epochs=25, batch_size=32, image_size=32, preset="drawing", optimizer="adamw", learning_rate=0.002, device="cpu"
    )
    trained = pretrain(pixels, start, settings, tmp_path / "run")

    networks = (start.backbone, trained.backbone)
    infos = [save_model(network, start.preparation, tmp_path, started_from="random") for network in networks]
    pictures = [Image.fromarray(cut) for cut in cuts]
    before, after = (measure(open_encoder(tmp_path / info.fingerprint, "cpu", 2), pictures) for info in infos)

    assert compare(before, after)["verdict"] == "better"
    assert compare(after, before)["verdict"] == "worse"
    report = compare(before, after, labels)
    assert [m["verdict"] for m in report["measures"]] == ["better", "better"], report["sentence"]
