import numpy as np
import pytest

from model.errors import BadInput
from model.evaluate import knn_accuracy
from scripts.benchmarks.encoder import neighbours, table
from scripts.benchmarks.labelled import Labelled, read
from scripts.benchmarks.trade import not_square, part_of
from tests.pictures import NAMES, encoded, picture, write_folders


def bunches(each: int, noise: float) -> tuple[np.ndarray, list[str]]:
    """`each` unit vectors (3 each, 3) around the direction of each of three classes."""
    rng = np.random.default_rng(0)
    vectors = np.repeat(np.eye(3, dtype=np.float32), each, axis=0)
    vectors += noise * rng.normal(size=vectors.shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), [name for name in "abc" for _ in range(each)]


def test_folds_are_asked_of_the_other_folds_and_agree_with_leaving_one_out():
    vectors, classes = bunches(60, noise=0.6)

    by_folds = neighbours(vectors, classes)

    assert by_folds == pytest.approx(knn_accuracy(vectors, classes), abs=0.04)
    assert 0.5 < by_folds < 0.95
    assert neighbours(vectors, list(np.random.default_rng(1).permutation(classes))) < 0.5


def test_a_class_is_the_folder_of_a_picture_and_what_is_none_is_left_out(tmp_path):
    write_folders(tmp_path / "set", ("cat", "rocket"), 4, size=48)
    (tmp_path / "set" / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "set" / "cover.jpg").write_bytes(encoded(picture("moon", 48)))

    whole, some = read(tmp_path / "set"), read(tmp_path / "set").sample(2)

    assert whole.name == "set"
    assert whole.classes == ["cat"] * 4 + ["rocket"] * 4
    assert some.classes == ["cat"] * 2 + ["rocket"] * 2
    assert set(some.previews) < set(whole.previews)
    with pytest.raises(BadInput, match="two folders"):
        read(tmp_path / "set" / "cat")


def test_only_the_encoder_that_ships_has_targets_and_weights_that_cannot_be_had_are_named():
    measures = ("linear", "k-NN, k=20", "5-shot", "precision@10")
    low, high = (dict.fromkeys(measures, (value, None)) for value in (40.0, 80.0))

    rows = {each.metric: each for each in table("steel", {"shipped": high, "untrained": low}, "not here")}

    shipped, untrained = (rows[f"steel: 5-shot, {who}"] for who in ("shipped", "untrained"))
    assert (shipped.target, shipped.met, shipped.baseline, shipped.ratio) == ("≥ 70", True, 40, 2)
    assert (untrained.target, untrained.baseline) == ("", None)
    assert rows["steel: linear, shipped"].target == ""
    assert rows["steel: linear, supervised"].status == "not measured: not here"


def test_fits_are_compared_on_pictures_that_are_not_square_and_on_parts_of_them(tmp_path):
    for name in ("cat", "coffee"):
        picture(name, 60).save(tmp_path / f"{name}.png")
    picture("moon", 60).save(tmp_path / "square.png")

    pictures = not_square(tmp_path, 10)

    assert sorted(each.size for each in pictures) == sorted(picture(name, 60).size for name in ("cat", "coffee"))
    part = part_of(pictures[0], np.random.default_rng(0))
    share = part.width * part.height / (pictures[0].width * pictures[0].height)
    assert 0.35 < share < 0.85
    assert part.width / part.height == pytest.approx(pictures[0].width / pictures[0].height, rel=0.05)


def test_halves_share_no_picture_and_every_class_is_in_both():
    from scripts.benchmarks.adapt import halves

    whole = Labelled("set", [bytes([number]) for number in range(20)], [name for name in NAMES[:2] for _ in range(10)])

    one, other = halves(whole)

    assert sorted(one.previews + other.previews) == whole.previews
    assert [sorted(each.classes) for each in (one, other)] == [sorted(whole.classes[::2])] * 2
