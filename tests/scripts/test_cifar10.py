import json
import os
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression

from model.errors import BadInput
from model.network import starting_point
from model.train_command import Stop
from scripts.benchmarks.cifar10 import VARIANTS, main, read, recipe
from scripts.benchmarks.judge import encode, fit, knn_accuracy, linear_accuracy
from tests.pictures import write_folders

BUNCHES = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])  # a direction for each of three classes


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """The layout of CIFAR-10, with three pictures of each of two classes in either half."""
    folder = tmp_path_factory.mktemp("set") / "cifar10"
    for half, seed in (("train", 0), ("test", 1)):
        write_folders(folder / half, ("rocket", "cat"), 6, size=32, seed=seed)
    return folder


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The benchmark takes over the signals of its process, which here is that of all tests."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def bunches(count: int, noise: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`count` unit vectors (3 count, 3) around each class's direction, and their labels."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(3).repeat(count)
    return F.normalize(BUNCHES[labels] + noise * torch.randn(3 * count, 3, generator=random), dim=1), labels


def test_a_run_that_is_stopped_goes_on_when_called_again_and_counts_all_its_minutes(images, tmp_path, capsys):
    command = ["--quick", "--device", "cpu", "--json", "--images", str(images), "--out", str(tmp_path)]
    run = tmp_path / "quick-recipe-100-0"

    first = main([*command, "--minutes", "1e-6"])
    stopped = capsys.readouterr()
    second = main(command)
    finished = capsys.readouterr()

    assert (first, second) == (1, 0)
    assert stopped.out == ""
    assert stopped.err.splitlines()[-1].startswith("Stopped in epoch 1 of 1")
    rows = {each["metric"].split(",")[0]: each["value"] for each in json.loads(finished.out)["rows"]}
    seconds = [json.loads(line)["seconds"] for line in (run / "calls.jsonl").read_text().splitlines()]
    assert len(seconds) == 2
    assert rows["minutes of pretrain()"] == pytest.approx(sum(seconds) / 60, abs=1e-3)
    assert [json.loads(line)["step"] for line in (run / "run" / "metrics.jsonl").read_text().splitlines()] == [2]


def test_a_signal_asks_to_stop_and_so_does_the_end_of_the_minutes():
    stop = Stop(None)
    before = stop()

    os.kill(os.getpid(), signal.SIGTERM)

    assert (before, stop()) == (False, True)
    assert Stop(1e-9)()


def test_a_folder_and_its_archive_are_read_alike(images, tmp_path):
    archive = tmp_path / "cifar10.tar.xz"
    with tarfile.open(archive, "w:xz") as file:
        for path in sorted((images).rglob("*"), reverse=True):
            file.add(path, Path("cifar10") / path.relative_to(images), recursive=False)

    from_folder, names = read(images, "test", most=4)
    from_parent, _ = read(images.parent, "test", most=4)
    from_archive, same_names = read(archive, "test", most=4)

    assert names == same_names == ["cat"] * 4 + ["rocket"] * 4
    assert from_folder == from_parent
    assert [path.read_bytes() for path in from_folder] == from_archive


def test_a_folder_of_another_layout_is_refused_with_the_layout(tmp_path):
    write_folders(tmp_path, ("cat",), 2, size=32)

    with pytest.raises(BadInput, match="train/<class>"):
        read(tmp_path, "train", None)


@pytest.mark.parametrize("epochs", [100, 500])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_changes_the_recipe_and_predicts_what_comes_of_it(variant, epochs):
    settings = recipe(epochs, variant, "cpu", 0)

    assert (settings != recipe(epochs, "recipe", "cpu", 0)) == (variant != "recipe")
    assert VARIANTS[variant].prediction


def test_four_views_are_compared_at_equal_views_and_equal_steps():
    two, four = (recipe(100, variant, "cpu", 0) for variant in ("recipe", "views-4"))

    assert two.views * two.batch_size == four.views * four.batch_size
    assert two.views * two.epochs == four.views * four.epochs
    assert two.epochs / two.batch_size == four.epochs / four.batch_size


def test_neighbours_vote_by_their_cosine():
    known = F.normalize(torch.tensor([[1.0, 0], [0.6, 0.8], [0.6, 0.8]]), dim=1)
    labels = torch.tensor([0, 1, 1])
    asked = torch.tensor([[1.0, 0]])  # cosines 1, 0.6, 0.6: votes 1 against 2 exp(-4)

    near = knn_accuracy(known, labels, asked, torch.tensor([0]), k=3)
    alone = knn_accuracy(known, labels, torch.tensor([[0.0, 1]]), torch.tensor([1]), k=1)

    assert (near, alone) == (1, 1)
    assert knn_accuracy(known, labels, asked, torch.tensor([1]), k=3) == 0


def test_the_linear_classifier_is_that_of_scikit_learn():
    x, y = bunches(100, noise=0.8, seed=0)

    ours = fit(x, y, 1e-2, torch.zeros(3, 4))

    theirs = LogisticRegression(C=1 / (1e-2 * len(x)), tol=1e-8, max_iter=1000).fit(x.numpy(), y.numpy())
    assert np.allclose(ours[:, :-1].numpy(), theirs.coef_, atol=2e-3)


def test_linear_accuracy_is_high_where_a_plane_separates_and_chance_where_nothing_does():
    known, labels = bunches(200, noise=0.1, seed=0)
    asked, truth = bunches(100, noise=0.1, seed=1)
    shuffled = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(2))]

    assert linear_accuracy(known, labels, asked, truth)[0] > 0.99
    assert linear_accuracy(known, shuffled, asked, truth)[0] < 0.6


def test_pictures_are_judged_by_the_vectors_that_search_would_have(tmp_path):
    start = starting_point("random", "test_resnet", 32, tmp_path, seed=0)
    pixels = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))

    vectors = encode(start.backbone, start, pixels, torch.device("cpu"))

    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (start.preparation.mean, start.preparation.std))
    with torch.no_grad():
        expected = F.normalize(start.backbone.eval()((pixels / 255 - mean) / std), dim=1)
    assert torch.allclose(vectors, expected, atol=1e-5)


def test_every_variants_prediction_is_in_the_docs():
    said = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()

    for name, variant in VARIANTS.items():
        assert f"| `{name}` | {variant.prediction} |" in said
