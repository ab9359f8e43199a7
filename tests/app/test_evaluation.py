"""`likeness evaluate` on the layouts that labelled pictures come in."""

import json
import shutil

import pytest

from app.cli import main
from app.evaluation import evaluate_folder, halves_of
from app.workspace import all_models
from model.errors import BadInput, Cancelled
from tests import pictures

SUBJECTS = ("galaxies", "grass", "retina")  # as far apart as an untrained network can tell
EACH = 8


def measure(workspace, folder, progress=lambda share, message: None, stop=lambda: False):
    return evaluate_folder(workspace, all_models(workspace.home)[0], folder, progress, stop)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("classes")
    pictures.write_folders(root, SUBJECTS, EACH)
    return root


@pytest.fixture(scope="session")
def halves(tmp_path_factory):
    """ImageNet's layout: train/<wnid>/*.JPEG and val/<wnid>/*.JPEG."""
    root = tmp_path_factory.mktemp("imagenet")
    for half, each, seed in (("train", 6, 1), ("val", 4, 2)):
        for path in pictures.write_folders(root / half, SUBJECTS, each, seed=seed):
            path.rename(path.with_suffix(".JPEG"))
    return root


def test_class_folders_without_halves_are_judged_fold_by_fold_with_progress(workspace, folder):
    heard = []

    value = measure(workspace, folder, progress=lambda share, message: heard.append((share, message)))

    assert (value["protocol"], value["train"], value["val"]) == ("stratified 5-fold", None, None)
    assert (value["images"], value["folds"], len(value["lambda"])) == (len(SUBJECTS) * EACH, 5, 5)
    assert value["linear"] > 0.8
    assert value["knn"] > 0.5
    assert value["interval"][0] <= value["linear"] <= value["interval"][1]
    shares = [share for share, _ in heard]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert "24 of 24 pictures" in heard[0][1]


def test_the_layout_of_imagenet_works_as_it_is(workspace, halves):
    value = measure(workspace, halves)

    assert (value["protocol"], value["train"], value["val"]) == ("train/val", 18, 12)
    assert (value["images"], value["classes"], value["refused"]) == (30, sorted(SUBJECTS), 0)
    assert (value["folds"], len(value["lambda"])) == (1, 1)
    assert value["linear"] > 0.7
    assert value["knn"] > 1 / len(SUBJECTS)


def test_the_train_half_is_learnt_from_and_the_other_judged_on(workspace, halves, tmp_path):
    shutil.copytree(halves, tmp_path / "in")
    one, other = (tmp_path / "in" / "val" / name for name in SUBJECTS[:2])
    one.rename(tmp_path / "spare")
    other.rename(one)
    (tmp_path / "spare").rename(other)  # two of three classes now have each other's name: to be judged, not learnt

    value = measure(workspace, tmp_path / "in")

    assert value["linear"] < 0.5
    assert value["knn"] < 0.5


def test_halves_are_known_by_their_usual_names(tmp_path):
    def with_folders(*names):
        root = tmp_path / "-".join(names)
        for name in names:
            (root / name / "class").mkdir(parents=True)
        return [half.name for half in halves_of(root) or []]

    assert with_folders("train", "test") == ["train", "test"]
    assert with_folders("Train", "Valid") == ["Train", "Valid"]
    assert with_folders("train", "val", "test") == ["train", "val"]
    assert with_folders("cat", "dog") == with_folders("train", "bus") == []


def test_folders_called_train_and_test_without_folders_in_them_are_classes(workspace, folder, tmp_path):
    shutil.copytree(folder / "grass", tmp_path / "in" / "train")
    shutil.copytree(folder / "retina", tmp_path / "in" / "test")

    value = measure(workspace, tmp_path / "in")

    assert (value["classes"], value["train"]) == (["test", "train"], None)


def test_a_class_that_only_val_has_is_refused_before_anything_is_encoded(workspace, halves, tmp_path):
    shutil.copytree(halves, tmp_path / "in")
    shutil.rmtree(tmp_path / "in" / "train" / "grass")
    heard = []

    with pytest.raises(BadInput, match=r"val has classes that .*train has no pictures of: grass"):
        measure(workspace, tmp_path / "in", progress=lambda share, message: heard.append(message))

    assert heard == []


def test_a_broken_picture_is_counted_and_costs_nothing_else(workspace, halves, tmp_path):
    shutil.copytree(halves, tmp_path / "in")
    (tmp_path / "in" / "train" / "grass" / "broken.JPEG").write_bytes(pictures.jpeg()[:300])

    value = measure(workspace, tmp_path / "in")

    assert (value["refused"], value["train"], value["val"]) == (1, 18, 12)
    assert value["linear"] > 0.7


def test_pictures_that_none_can_be_read_of_are_refused_in_words(workspace, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "1.jpg").write_bytes(b"no picture")

    with pytest.raises(BadInput, match="None of the pictures can be read"):
        measure(workspace, tmp_path / "in")


def test_one_class_is_refused_in_words(workspace, folder):
    with pytest.raises(BadInput, match="at least two folders of pictures"):
        measure(workspace, folder / "grass")


def test_it_can_be_stopped(workspace, folder):
    for asked in (1, 3):  # while encoding, and while fitting
        left = [asked]

        def stop(left=left):
            left[0] -= 1
            return left[0] <= 0

        with pytest.raises(Cancelled, match="nothing was measured"):
            measure(workspace, folder, stop=stop)


def test_the_command_prints_one_json_document(workspace, halves, capsys):
    assert main(["evaluate", "--images", str(halves), "--home", str(workspace.home.root), "--json"]) == 0

    value = json.loads(capsys.readouterr().out)
    assert {"images", "classes", "knn", "linear", "folds", "seconds", "refused", "protocol", "lambda"} <= set(value)
    assert value["protocol"] == "train/val"
