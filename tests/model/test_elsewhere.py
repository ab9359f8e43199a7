"""Exports as somebody else would use them: the documentation's own lines in plain timm, torchvision, ONNX Runtime."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator

from model.checkpoint import load_model, save_model
from model.elsewhere import FORMATS, TORCHVISION, default_name, export_model, write_export
from model.encoder import open_encoder
from model.errors import BadInput, DamagedModel
from model.info import Preparation
from model.network import build_backbone
from tests.pictures import jpeg, labelled_views, picture

PAGE = Path(__file__).parents[2] / "docs" / "using-a-model-elsewhere.md"
SIDE = 64
PREPARATION = Preparation(SIDE, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


def saved(models: Path, name: str, stem: str = "standard") -> Path:
    """A model whose batch norms have seen something, so that their statistics count too."""
    network = build_backbone(name, stem, seed=0).train()
    with torch.no_grad():
        for seed in range(3):
            network(torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) + 0.5)
    return models / save_model(network, PREPARATION, models, started_from="random").fingerprint


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("models"), "resnet18")


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("models"), "resnet18", "cifar")


@pytest.fixture(scope="module")
def exports(model, small, tmp_path_factory) -> Path:
    """A folder with the exports that the documentation speaks of, and a picture."""
    root = tmp_path_factory.mktemp("exports")
    for format_ in FORMATS:
        write_export(export_model(model, format_, f"encoder-{format_}"), root / f"encoder-{format_}")
    for format_, name in (("timm", "encoder-small"), ("torchvision", "encoder-small-torchvision")):
        write_export(export_model(small, format_, name), root / name)
    (root / "cat.jpg").write_bytes(jpeg("cat", 160))
    return root


@pytest.fixture
def snippets(exports, monkeypatch):
    """Run the page's Python under some headings, one after the other, and return the names it made."""

    def run(*headings: str) -> dict:
        monkeypatch.chdir(exports)
        torch.manual_seed(0)  # for the layers that the page puts on top
        names: dict = {}
        for heading in headings:
            section = re.search(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
            assert section is not None, heading
            programs = python(section[1])
            assert programs, heading
            for program in programs:
                exec(compile(program, f"{PAGE.name}: {heading}", "exec"), names)
        return names

    return run


def python(text: str) -> list[str]:
    # A comment that begins a line would look like a heading to `run`: there is none in these.
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def pictures() -> torch.Tensor:
    """(6, 3, SIDE, SIDE): two cuts of each of three photographs."""
    pixels, _ = labelled_views(("cat", "coffee", "rocket"), 2, size=SIDE)
    return (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.4) / 0.25


def assert_learns(network: nn.Module, loss, steps: int, lr: float) -> None:
    """A few steps of SGD on one batch bring its loss down by a third."""
    network.train()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=lr, momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < 2 / 3 * losses[0], losses


def test_plain_timm_gives_the_very_same_features(model, snippets):
    network, _ = load_model(model)
    x = pictures()

    loaded = snippets("timm")["network"]

    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))


def test_plain_torchvision_gives_the_same_features(model, snippets):
    network, _ = load_model(model)
    x = pictures()

    loaded = snippets("torchvision")["network"].eval()
    loaded.fc = nn.Identity()

    with torch.no_grad():
        torch.testing.assert_close(loaded(x), network(x))


def test_timm_learns_from_the_folder_how_pictures_are_prepared(model, snippets):
    names = snippets("timm")
    encoder = open_encoder(model, "cpu", 1)
    cat = picture("cat", 300)

    config = timm.data.resolve_model_data_config(names["network"])
    with torch.no_grad():
        vector = F.normalize(names["network"](names["prepare"](cat)[None]))[0].numpy()

    assert (config["mean"], config["std"], config["input_size"][1]) == ([0.5, 0.4, 0.3], [0.2, 0.25, 0.3], SIDE)
    assert vector @ encoder.encode(encoder.prepare(cat)[None])[0] > 0.999


def test_fine_tuning_in_timm_learns(snippets):
    classifier, x, y = snippets("timm")["classifier"], pictures(), torch.tensor([0, 0, 1, 1, 2, 2])

    assert classifier(x).shape == (6, 3)
    assert_learns(classifier, lambda: F.cross_entropy(classifier(x), y), steps=4, lr=0.02)


def test_fine_tuning_in_torchvision_learns(snippets):
    network, x, y = snippets("torchvision")["network"], pictures(), torch.tensor([0, 0, 1, 1, 2, 2])

    assert_learns(network, lambda: F.cross_entropy(network(x), y), steps=4, lr=0.02)


def test_detection_on_top_of_it_learns(model, snippets):
    names = snippets("torchvision", "Detection")
    network, _ = load_model(model)
    body = names["backbone"].body.state_dict()
    assert torch.equal(body["layer4.1.conv2.weight"], network.state_dict()["network.layer4.1.conv2.weight"])
    assert names["detector"].transform.image_mean == [0.5, 0.4, 0.3]

    # The same for pictures of 64 px: small anchors, few proposals.
    torch.manual_seed(0)
    detector = FasterRCNN(
        names["backbone"],
        num_classes=2,
        min_size=SIDE,
        max_size=SIDE,
        rpn_anchor_generator=AnchorGenerator(((8,), (16,), (32,), (48,), (64,)), ((1.0,),) * 5),
        rpn_pre_nms_top_n_train=50,
        rpn_post_nms_top_n_train=20,
        box_batch_size_per_image=16,
    )
    x = pictures()[:2] * 0.25 + 0.4
    x[:, :, 16:48, 12:44] = 1.0  # the thing: a white square
    targets = [{"boxes": torch.tensor([[12.0, 16.0, 44.0, 48.0]]), "labels": torch.tensor([1])} for _ in x]

    assert_learns(detector, lambda: sum(detector(list(x), targets).values()), steps=5, lr=0.02)


def test_segmentation_on_top_of_it_learns(snippets):
    segmenter, x = snippets("torchvision", "Segmentation")["segmenter"], pictures()[:2].clone()
    x[:, :, :, : SIDE // 2] += 2.0
    mask = torch.zeros(2, SIDE, SIDE, dtype=torch.long)
    mask[:, :, : SIDE // 2] = 1  # the thing: the bright half

    assert segmenter(x)["out"].shape == (2, 2, SIDE, SIDE)
    assert_learns(segmenter, lambda: F.cross_entropy(segmenter(x)["out"], mask), steps=5, lr=0.02)


def test_the_graph_gives_what_torch_gives(model, snippets):
    network, info = load_model(model)
    names = snippets("ONNX Runtime")
    pixels = np.asarray(names["picture"])[None]

    normalised = (pixels / 255 - np.array(info.preparation.mean)) / np.array(info.preparation.std)
    with torch.no_grad():
        expected = F.normalize(network(torch.from_numpy(normalised.transpose(0, 3, 1, 2)).float()))

    np.testing.assert_allclose(names["vectors"], expected, atol=2e-5)
    assert names["vectors"][0] @ open_encoder(model, "cpu", 1).encode(pixels)[0] == pytest.approx(1, abs=1e-5)


def test_the_stem_for_small_pictures_loads_as_the_page_says(small, snippets):
    network, _ = load_model(small)
    x = pictures()

    loaded = snippets("Networks for small pictures")["network"].eval()

    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))


@pytest.mark.parametrize(
    "name", ["encoder-timm", "encoder-torchvision", "encoder-onnx", "encoder-small", "encoder-small-torchvision"]
)
def test_the_readme_of_an_export_loads_it(name, model, small, exports, monkeypatch):
    [program] = python((exports / name / "README.md").read_text())
    monkeypatch.chdir(exports)

    names: dict = {}
    exec(compile(program, "README.md", "exec"), names)

    if "onnx" in name:
        assert names["vectors"].shape == (1, 512)
    else:
        network, _ = load_model(small if "small" in name else model)
        with torch.no_grad():
            torch.testing.assert_close(names["network"].eval()(pictures()), network(pictures()))


@pytest.mark.parametrize("name", ["test_vit", "mobilenetv3_small_050"])
def test_other_networks_come_out_for_timm(name, tmp_path):
    folder = saved(tmp_path, name)
    write_export(export_model(folder, "timm", "out"), tmp_path / "out")

    loaded = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()

    with torch.no_grad():
        torch.testing.assert_close(loaded(pictures()), load_model(folder)[0](pictures()))
    with pytest.raises(BadInput, match=f"torchvision has no {name} .*--format timm or onnx"):
        export_model(folder, "torchvision", "out")


@pytest.mark.parametrize("name", TORCHVISION)
def test_timm_and_torchvision_call_every_tensor_alike(name):
    with torch.device("meta"):
        ours, theirs = timm.create_model(name, num_classes=0), torchvision.models.get_model(name, weights=None)
        theirs.fc = nn.Identity()

    assert shapes(ours) == shapes(theirs)


def test_the_ready_segmenters_take_the_weights():
    from torchvision.models.segmentation import deeplabv3_resnet50, fcn_resnet101

    with torch.device("meta"):
        for name, make in (("resnet50", deeplabv3_resnet50), ("resnet101", fcn_resnet101)):
            segmenter = make(weights=None, weights_backbone=None)
            assert shapes(segmenter.backbone) == shapes(timm.create_model(name, num_classes=0))


def shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def test_what_leaves_is_float32_safetensors_and_text(tmp_path, model):
    network, info = load_model(model)
    half = save_model(network, info.preparation, tmp_path, started_from="random", half=True)

    files = export_model(tmp_path / half.fingerprint, "torchvision", "out")

    assert sorted(files) == ["README.md", "model.safetensors", "preparation.json"]
    tensors = json.loads(files["model.safetensors"][8 : 8 + int.from_bytes(files["model.safetensors"][:8], "little")])
    kinds = {value["dtype"] for name, value in tensors.items() if not name.endswith("num_batches_tracked")}
    assert kinds == {"F32"}
    facts = json.loads(files["preparation.json"])
    assert (facts["image_size"], facts["mean"], facts["model"]) == (SIDE, [0.5, 0.4, 0.3], half.fingerprint)
    assert default_name(half, "timm") == f"resnet18-{half.fingerprint}-timm"


def test_an_export_replaces_nothing(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "holiday.jpg").write_bytes(b"picture")

    with pytest.raises(BadInput, match="exists already"):
        write_export({"README.md": b""}, tmp_path / "mine")

    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["holiday.jpg"]


def test_a_format_there_is_not_and_an_altered_model_are_refused(model, tmp_path):
    copy = tmp_path / model.name
    shutil.copytree(model, copy)
    (copy / "weights.safetensors").write_bytes(b"\x00" + (copy / "weights.safetensors").read_bytes()[1:])

    with pytest.raises(BadInput, match="'keras' is not a format for a model: use timm, torchvision, onnx"):
        export_model(model, "keras", "out")
    with pytest.raises(DamagedModel):
        export_model(copy, "timm", "out")
