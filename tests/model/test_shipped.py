"""The encoder that ships, by a small one in its place: what is promised must hold for any, and while there is none."""

import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from model import shipped
from model.checkpoint import load_model, save_model
from model.errors import DamagedModel
from model.info import WEIGHTS, ModelInfo, read_verified
from model.network import starting_point


@pytest.fixture
def there(tmp_path, monkeypatch) -> ModelInfo:
    """A ResNet-18 at 48 px that ships, kept as float16."""
    start = starting_point("random", "resnet18", 48, tmp_path, seed=5)
    info = save_model(start.backbone, start.preparation, tmp_path / "made", started_from="random", half=True)
    shutil.copytree(tmp_path / "made" / info.fingerprint, tmp_path / "default")
    (tmp_path / "default" / shipped.CARD).write_text("# What it was trained on\n")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "default")
    return info


@pytest.fixture
def missing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "default")


def test_what_ships_in_this_checkout_is_whole_small_enough_and_has_a_card():
    if not shipped.suits("resnet18"):
        pytest.skip("no encoder in model/default: scripts/train_default makes it")

    info, weights = read_verified(shipped.FOLDER)

    assert len(weights) <= 25_000_000
    assert {file.name for file in shipped.FOLDER.iterdir()} >= {shipped.CARD, WEIGHTS}
    card = (shipped.FOLDER / shipped.CARD).read_text()
    assert info.fingerprint in card
    assert ("PROVISIONAL" in card) == bool(info.training["provisional"])


def test_half_the_bytes_give_a_float32_network_with_nearly_the_same_features_and_a_fingerprint_of_its_own(tmp_path):
    start = starting_point("random", "resnet18", 48, tmp_path, seed=5)

    full, half = (
        save_model(start.backbone, start.preparation, tmp_path, started_from="random", half=half)
        for half in (False, True)
    )

    sizes = [(tmp_path / info.fingerprint / WEIGHTS).stat().st_size for info in (full, half)]
    networks = [load_model(tmp_path / info.fingerprint)[0] for info in (full, half)]
    images = torch.rand(4, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = (network(images) for network in networks)
    assert full.fingerprint != half.fingerprint
    assert sizes[1] < 0.51 * sizes[0]
    assert {tensor.dtype for tensor in networks[1].parameters()} == {torch.float32}
    assert (F.cosine_similarity(one, other) > 0.9999).all()
    assert not torch.equal(one, other)


def test_it_is_where_default_starts_with_its_own_preparation(there, tmp_path):
    start = starting_point("default", "resnet18", None, tmp_path / "models", seed=0)

    assert start.started_from == there.fingerprint
    assert start.preparation == there.preparation
    assert starting_point("default", "resnet18", 32, tmp_path, seed=0).preparation.image_size == 32


def test_another_backbone_starts_from_random_weights_and_not_from_a_network_that_was_not_asked_for(there, tmp_path):
    start = starting_point("default", "resnet10t", 48, tmp_path, seed=0)

    assert (start.started_from, start.backbone.name) == ("random", "resnet10t")
    assert shipped.bring_into(tmp_path / "models", "resnet10t") is None


def test_a_copy_in_the_data_folder_is_the_same_model_with_its_card(there, tmp_path):
    first, again = (shipped.bring_into(tmp_path / "models") for _ in range(2))

    copy = tmp_path / "models" / there.fingerprint
    assert first == again == read_verified(copy)[0] == there
    assert (copy / shipped.CARD).read_text() == "# What it was trained on\n"


def test_a_damaged_copy_is_brought_again(there, tmp_path):
    shipped.bring_into(tmp_path / "models")
    (tmp_path / "models" / there.fingerprint / WEIGHTS).write_bytes(b"half")

    shipped.bring_into(tmp_path / "models")

    assert read_verified(tmp_path / "models" / there.fingerprint)[0] == there


def test_weights_that_were_altered_are_refused(there, tmp_path):
    weights = bytearray((shipped.FOLDER / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (shipped.FOLDER / WEIGHTS).write_bytes(weights)

    with pytest.raises(DamagedModel, match="altered"):
        shipped.bring_into(tmp_path / "models")
    with pytest.raises(DamagedModel, match="altered"):
        starting_point("default", "resnet18", None, tmp_path, seed=0)


def test_without_one_default_is_random_and_nothing_is_copied(missing, tmp_path: Path):
    assert starting_point("default", "resnet18", 48, tmp_path, seed=0).started_from == "random"
    assert shipped.bring_into(tmp_path / "models") is None
    assert not (tmp_path / "models").exists()
