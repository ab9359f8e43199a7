from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from model import network as network_module
from model.checkpoint import save_model
from model.errors import BadInput, WeightsUnavailable
from model.network import ProjectionHead, build_backbone, starting_point
from model.settings import choose_stem


@pytest.mark.parametrize(
    ("name", "dim"),
    [
        ("resnet18", 512),
        ("resnet50", 2048),
        ("resnet101", 2048),
        ("mobilenetv3_small_050", 1024),
        ("convnext_atto", 320),
        ("vit_tiny_patch16_224", 192),
    ],
)
def test_any_timm_backbone_turns_pictures_into_features_of_the_size_it_says(name, dim):
    backbone = build_backbone(name, seed=0).eval()

    with torch.no_grad():
        features = backbone(torch.zeros(2, 3, 64, 64))

    assert features.shape == (2, dim)
    assert (backbone.name, backbone.stem, backbone.dim) == (name, "standard", dim)


@pytest.mark.parametrize(("stem", "side"), [("standard", 2), ("cifar", 8)])
def test_the_cifar_stem_keeps_the_detail_of_small_pictures(stem, side):
    backbone = build_backbone("resnet18", stem, seed=0)

    with torch.no_grad():
        features = backbone.network.forward_features(torch.zeros(1, 3, 64, 64))

    assert features.shape[-2:] == (side, side)


@pytest.mark.parametrize(
    ("native", "backbone", "expected"),
    [
        (32, "resnet18", "cifar"),
        (64, "resnet50.a1_in1k", "cifar"),
        (65, "resnet18", "standard"),
        (320, "resnet18", "standard"),
        (32, "convnext_atto", "standard"),
    ],
)
def test_the_pictures_own_size_decides_the_stem(native, backbone, expected):
    assert choose_stem("auto", native, backbone) == expected


def test_pretrained_weights_keep_the_stem_they_were_learnt_with():
    assert choose_stem("auto", 32, "resnet18", "timm:resnet18.tv_in1k") == "standard"
    assert choose_stem("cifar", 32, "resnet18", "timm:resnet18.tv_in1k") == "cifar"


def test_a_stem_that_was_chosen_stays():
    assert choose_stem("standard", 32, "resnet18") == "standard"
    with pytest.raises(BadInput, match="auto, standard, cifar"):
        choose_stem("tiny", 32, "resnet18")


def test_a_backbone_without_such_a_stem_says_so():
    with pytest.raises(BadInput, match="CIFAR stem is for ResNets"):
        build_backbone("convnext_atto", "cifar")


def test_a_misspelt_backbone_gets_a_suggestion():
    with pytest.raises(BadInput, match=r"did you mean .*resnet18"):
        build_backbone("resnet_18")


def test_the_seed_decides_the_weights_and_leaves_other_random_numbers_alone():
    torch.manual_seed(5)
    undisturbed = torch.rand(3)

    torch.manual_seed(5)
    one, same, other = (build_backbone("resnet10t", seed=seed) for seed in (1, 1, 2))

    assert torch.equal(torch.rand(3), undisturbed)
    weights = [next(b.parameters()) for b in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_projection_head_is_linear_batch_norm_relu_linear():
    head = ProjectionHead(16, 32, 8)

    assert [type(layer).__name__ for layer in head] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert head(torch.randn(4, 16)).shape == (4, 8)


def test_a_random_start_says_so(tmp_path):
    start = starting_point("random", "resnet10t", 48, tmp_path, seed=0)

    assert start.started_from == "random"
    assert start.preparation.image_size == 48


def test_an_earlier_model_brings_its_backbone_and_preparation(tmp_path):
    first = starting_point("random", "resnet10t", 48, tmp_path, seed=3)
    info = save_model(first.backbone, first.preparation, tmp_path, started_from="random")

    start = starting_point(info.fingerprint, "resnet18", 32, tmp_path, seed=0)

    assert start.started_from == info.fingerprint
    assert start.backbone.name == "resnet10t"
    assert start.preparation.image_size == 32
    assert torch.equal(next(start.backbone.parameters()), next(first.backbone.parameters()))


@pytest.mark.parametrize("init", ["0123456789abcdef", "../elsewhere", ""])
def test_a_model_that_is_not_there_is_refused_by_name(tmp_path, init):
    with pytest.raises(BadInput, match="there is no model"):
        starting_point(init, "resnet10t", 48, tmp_path / "models", seed=0)


def test_a_size_that_the_backbone_cannot_take_is_refused_before_training(tmp_path):
    with pytest.raises(BadInput, match="does not take pictures of 64x64"):
        starting_point("random", "mixer_s32_224", 64, tmp_path, seed=0)


def test_pretrained_weights_that_cannot_be_had_are_a_plain_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(network_module.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(WeightsUnavailable, match="connect to the internet once"):
        starting_point("timm:resnet10t.c3_in1k", "resnet10t", 64, tmp_path, seed=0)


def weights_of(name: str, folder: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A file as the hub has it: all weights of the network, those of its classifier included."""
    network = timm.create_model(name, pretrained=False)
    save_file(network.state_dict(), folder / "model.safetensors")
    return folder / "model.safetensors", network.state_dict()


@pytest.mark.parametrize("name", ["test_resnet.r160_in1k", "test_vit.r160_in1k"])
def test_a_file_of_pretrained_weights_brings_the_preparation_they_were_made_for(tmp_path, monkeypatch, name):
    monkeypatch.setattr(network_module.constants, "HF_HUB_OFFLINE", True)
    file, weights = weights_of(name, tmp_path)

    start = starting_point(f"timm:{name}={file}", "resnet18", None, tmp_path, seed=0)

    expected = timm.data.resolve_model_data_config(start.backbone.network)
    kept = start.preparation
    assert (kept.image_size, kept.crop, kept.fit) == (160, expected["crop_pct"], "centre")
    assert (kept.mean, kept.std, kept.interpolation) == (
        *(expected["mean"], expected["std"], expected["interpolation"]),
    )
    assert kept.crop < 1
    for parameter, tensor in start.backbone.network.named_parameters():
        assert torch.equal(tensor, weights[parameter]), parameter
    assert start.started_from == f"timm:{name}=model.safetensors"  # not where on this machine


def test_a_vision_transformer_takes_sizes_that_are_no_multiple_of_its_patch(tmp_path):
    file, _ = weights_of("test_vit.r160_in1k", tmp_path)

    start = starting_point(f"timm:test_vit.r160_in1k={file}", "resnet18", 100, tmp_path, seed=0)

    assert start.preparation.image_size == 100


def test_a_file_that_lacks_weights_is_refused_instead_of_leaving_them_random(tmp_path):
    file, weights = weights_of("test_resnet.r160_in1k", tmp_path)
    save_file({name: tensor for name, tensor in weights.items() if name != "layer1.0.conv1.weight"}, file)

    with pytest.raises(BadInput, match="does not hold the weights of a test_resnet"):
        starting_point(f"timm:test_resnet.r160_in1k={file}", "resnet18", None, tmp_path, seed=0)


def test_a_file_of_another_network_is_refused(tmp_path):
    file, _ = weights_of("test_vit.r160_in1k", tmp_path)

    with pytest.raises(BadInput, match="does not hold the weights of a resnet10t"):
        starting_point(f"timm:resnet10t={file}", "resnet18", None, tmp_path, seed=0)


def test_a_file_that_could_run_programs_is_not_read(tmp_path):
    (tmp_path / "model.pth").write_bytes(b"cos\nsystem\n")

    with pytest.raises(BadInput, match="not a safetensors file"):
        starting_point(f"timm:resnet10t={tmp_path / 'model.pth'}", "resnet18", None, tmp_path, seed=0)
