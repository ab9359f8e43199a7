import dataclasses
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as to_safetensors

from model import files
from model.checkpoint import load_model, save_model
from model.errors import DamagedModel
from model.files import PARTIAL, create_folder_atomically, remove_partials, write_atomically
from model.info import INFO, WEIGHTS, ModelInfo, Preparation, fingerprint, read_info, read_verified
from model.network import Backbone, build_backbone

PREPARATION = Preparation(32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture(scope="module")
def network() -> Backbone:
    return build_backbone("resnet10t", seed=0)


@pytest.fixture
def folder(network, tmp_path) -> Path:
    """A small model as it is on disk."""
    return tmp_path / save_model(network, PREPARATION, tmp_path, started_from="random").fingerprint


def test_a_saved_model_comes_back_with_the_same_weights_and_info(network, tmp_path):
    training = {"epochs": 3, "losses": (1.5, 1.25)}

    info = save_model(network, PREPARATION, tmp_path, started_from="random", training=training)
    loaded, loaded_info = load_model(tmp_path / info.fingerprint)

    assert loaded_info == info == read_info(tmp_path / info.fingerprint)
    assert (loaded.name, loaded.stem, loaded.dim) == ("resnet10t", "standard", 512)
    assert info.training == {"epochs": 3, "losses": [1.5, 1.25]}
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert not loaded.training


def test_the_folder_holds_exactly_weights_and_info(folder):
    assert sorted(path.name for path in folder.iterdir()) == [INFO, WEIGHTS]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_saving_the_same_model_again_keeps_the_first(network, folder):
    again = save_model(network, PREPARATION, folder.parent, started_from="elsewhere", training={"epochs": 9})

    assert again == read_info(folder)
    assert again.started_from == "random"


def test_saving_over_a_damaged_copy_repairs_it(network, folder):
    (folder / WEIGHTS).write_bytes(b"half")

    save_model(network, PREPARATION, folder.parent, started_from="random")

    assert load_model(folder)[1].fingerprint == folder.name
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_weights_trained_in_half_precision_are_kept_as_float32(tmp_path):
    half = build_backbone("resnet10t", seed=0).bfloat16()

    info = save_model(half, PREPARATION, tmp_path, started_from="random")

    weights = load_model(tmp_path / info.fingerprint)[0].state_dict()
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32, torch.int64}


CHANGES = {
    "backbone": "resnet18",
    "stem": "cifar",
    "dim": 256,
    "preview_side": 640,
    "preview_recipe": "another recipe",
    "arithmetic": "int8",
    "image_size": 64,
    "mean": (0.5, 0.456, 0.406),
    "std": (0.5, 0.224, 0.225),
    "fit": "squeeze",
    "interpolation": "bilinear",
}


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_decides_a_vector_decides_the_fingerprint(folder, name):
    info, weights = read_verified(folder)
    if name in PREPARATION.__dict__:
        changed = dataclasses.replace(info, preparation=dataclasses.replace(PREPARATION, **{name: CHANGES[name]}))
    else:
        changed = dataclasses.replace(info, **{name: CHANGES[name]})

    assert fingerprint(weights, dataclasses.asdict(changed)) != info.fingerprint


def test_one_changed_weight_changes_the_fingerprint(network, folder, tmp_path):
    other = build_backbone("resnet10t", seed=0)
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1e-3

    assert save_model(other, PREPARATION, tmp_path, started_from="random").fingerprint != folder.name


def test_when_and_how_a_model_was_trained_does_not_change_the_fingerprint(folder):
    info, weights = read_verified(folder)
    changed = dataclasses.replace(info, created="2001-01-01T00:00:00+00:00", started_from="x", training={"epochs": 1})

    assert fingerprint(weights, dataclasses.asdict(changed)) == info.fingerprint


@pytest.mark.promise(10)
@pytest.mark.parametrize("at", [0, 9, 1000, -1], ids=["length", "header", "tensors", "end"])
def test_one_flipped_byte_of_the_weights_is_refused(folder, at):
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[at] ^= 0x40
    (folder / WEIGHTS).write_bytes(data)

    with pytest.raises(DamagedModel, match="altered"):
        load_model(folder)


@pytest.mark.promise(10)
@pytest.mark.parametrize("name", [WEIGHTS, INFO])
@pytest.mark.parametrize("damage", ["missing", "empty", "half"])
def test_a_missing_or_cut_file_is_refused(folder, name, damage):
    path = folder / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 if damage == "half" else 0])

    with pytest.raises(DamagedModel):
        load_model(folder)


@pytest.mark.parametrize(
    "text",
    ["[]", "null", "{}", '{"format": 99}', "[" * 100_000, '{"format": 1, "preparation": {"image_size": "big"}}'],
    ids=["list", "null", "empty", "newer", "deep", "wrong types"],
)
def test_an_info_that_is_not_ours_is_refused(folder, text):
    (folder / INFO).write_text(text)

    with pytest.raises(DamagedModel):
        read_info(folder)


def test_an_edited_info_is_refused(folder):
    fields = json.loads((folder / INFO).read_text())
    fields["preparation"]["image_size"] = 64
    (folder / INFO).write_text(json.dumps(fields))

    with pytest.raises(DamagedModel, match="altered"):
        load_model(folder)


class _Hostile:
    """Unpickled, it makes a folder: the mark that it was executed."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.promise(10)
@pytest.mark.parametrize("signed", [False, True], ids=["fingerprint of another", "fingerprint of the pickle"])
def test_a_pickle_named_as_weights_is_refused_and_leaves_no_mark(folder, tmp_path, signed):
    mark = tmp_path / "mark"
    _replace_weights(folder, pickle.dumps(_Hostile(mark)), signed)

    with pytest.raises(DamagedModel):
        load_model(folder)
    assert not mark.exists()


@pytest.mark.promise(10)
def test_the_hostile_pickle_above_would_have_left_its_mark(tmp_path):
    pickle.loads(pickle.dumps(_Hostile(tmp_path / "mark")))

    assert (tmp_path / "mark").exists()


def test_weights_of_another_network_are_refused(folder):
    _replace_weights(folder, to_safetensors({"weight": torch.zeros(3)}), signed=True)

    with pytest.raises(DamagedModel, match="does not hold the weights of a resnet10t"):
        load_model(folder)


@pytest.mark.promise(5)
@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path, monkeypatch, step):
    path = tmp_path / "state"
    write_atomically(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, {"write": "fdopen", "fsync": "fsync", "replace": "replace"}[step], full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    monkeypatch.undo()

    assert path.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_folder_that_could_not_be_filled_leaves_the_old_one_and_no_temporary(tmp_path):
    create_folder_atomically(tmp_path / "model", lambda partial: (partial / "a").touch())

    def half(partial: Path) -> None:
        (partial / "b").touch()
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        create_folder_atomically(tmp_path / "model", half)

    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["model", "model/a"]


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    (tmp_path / f"{PARTIAL}1").write_bytes(b"half")
    (tmp_path / f"{PARTIAL}2").mkdir()
    (tmp_path / f"{PARTIAL}2" / "weights").touch()
    (tmp_path / "kept").touch()

    remove_partials(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_files_are_as_readable_as_the_umask_allows(tmp_path):
    previous = os.umask(0o022)
    try:
        write_atomically(tmp_path / "file", b"")
    finally:
        os.umask(previous)

    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def _replace_weights(folder: Path, data: bytes, signed: bool) -> None:
    """Put `data` where the weights are; `signed` as an attacker would, with a fingerprint that fits."""
    (folder / WEIGHTS).write_bytes(data)
    if signed:
        fields = json.loads((folder / INFO).read_text())
        fields["fingerprint"] = fingerprint(data, fields)
        (folder / INFO).write_text(json.dumps(fields))
        ModelInfo.from_json((folder / INFO).read_text())


def test_a_crop_is_part_of_the_fingerprint_and_none_leaves_it_as_it_was_before_there_was_a_choice(network, tmp_path):
    whole, cut = (
        save_model(network, dataclasses.replace(PREPARATION, crop=crop), tmp_path, started_from="random")
        for crop in (1.0, 0.875)
    )
    weights = (tmp_path / whole.fingerprint / WEIGHTS).read_bytes()
    earlier = dataclasses.asdict(whole)
    del earlier["preparation"]["crop"]

    assert fingerprint(weights, earlier) == whole.fingerprint != cut.fingerprint
    assert read_verified(tmp_path / cut.fingerprint)[0].preparation.crop == 0.875


@pytest.mark.parametrize("crop", [0, 1.1, -0.5])
def test_a_crop_is_a_share_of_the_picture(crop):
    with pytest.raises(ValueError, match="crop must be above 0 and at most 1"):
        Preparation(32, (0, 0, 0), (1, 1, 1), crop=crop)
