import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import CenterCrop, InterpolationMode, Resize

from model import encoder as encoder_module
from model.checkpoint import load_model, save_model
from model.encoder import Encoder, open_encoder
from model.errors import BadInput, DamagedModel
from model.images import square
from model.info import ONNX, ONNX_INFO, WEIGHTS, Preparation, read_info
from model.network import build_backbone
from tests.pictures import NAMES, encoded, picture, views

SIDE = 64


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A small ResNet with batch norm statistics of real pictures, and its exported graph."""
    models = tmp_path_factory.mktemp("models")
    network = build_backbone("resnet10t", seed=0)
    preparation = Preparation(SIDE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    network.train()
    with torch.no_grad():
        for name in NAMES[:4]:
            batch = np.stack([np.asarray(view) for view in views(name, 16, SIDE)])
            network((torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255 - 0.45) / 0.225)
    folder = models / save_model(network.eval(), preparation, models, started_from="random").fingerprint
    open_encoder(folder, "cpu", threads=2)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / saved.name))


@pytest.fixture(scope="module")
def encoder(saved) -> Encoder:
    return open_encoder(saved, "cpu", threads=2)


@pytest.fixture(scope="module")
def pixels(encoder) -> np.ndarray:
    return np.stack([encoder.prepare(view) for name in NAMES for view in views(name, 6)])  # (90, S, S, 3)


def test_vectors_are_unit_float32_of_the_promised_length(encoder, pixels):
    vectors = encoder.encode(pixels)

    assert vectors.shape == (90, encoder.info.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_onnx_runtime_equals_eager_torch(saved, encoder, pixels):
    network, info = load_model(saved)
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (info.preparation.mean, info.preparation.std))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255

    with torch.no_grad():
        features = network((images - mean) / std).numpy()
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    vectors = encoder.encode(pixels)

    assert np.abs(vectors - expected).max() < 1e-5
    assert (vectors * expected).sum(axis=1).min() >= 0.99999
    assert np.std(vectors @ vectors.T) > 0.01  # the pictures are told apart, so the comparison means something


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_onnx_runtime(saved, encoder, pixels):
    on_cuda = open_encoder(saved, "cuda").encode(pixels)

    assert np.abs(on_cuda - encoder.encode(pixels)).max() < 1e-4
    assert (on_cuda * encoder.encode(pixels)).sum(axis=1).min() >= 0.99999


def test_a_batch_equals_one_by_one(encoder, pixels):
    one_by_one = np.concatenate([encoder.encode(one[np.newaxis]) for one in pixels])

    np.testing.assert_allclose(encoder.encode(pixels), one_by_one, atol=1e-5)


def test_threads_do_not_change_the_vectors(saved, encoder, pixels):
    single = open_encoder(saved, "cpu", threads=1)

    np.testing.assert_allclose(single.encode(pixels[:8]), encoder.encode(pixels[:8]), atol=1e-5)


def test_no_pictures_are_no_vectors(encoder):
    assert encoder.encode(np.empty((0, SIDE, SIDE, 3), np.uint8)).shape == (0, encoder.info.dim)


def test_more_than_a_batch_keeps_its_order(encoder, pixels):
    many = np.concatenate([pixels, pixels[::-1]])  # 180, in three batches
    assert len(many) > 2 * encoder_module.BATCH

    vectors = encoder.encode(many)

    np.testing.assert_allclose(vectors[:90], vectors[90:][::-1], atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((SIDE, SIDE, 3), np.uint8),
        np.zeros((1, SIDE, SIDE + 1, 3), np.uint8),
        np.zeros((1, 3, SIDE, SIDE), np.uint8),
        np.zeros((1, SIDE, SIDE, 3), np.float32),
    ],
    ids=["not a batch", "other size", "channels first", "float"],
)
def test_pixels_of_a_wrong_shape_or_type_are_refused_in_words(encoder, wrong):
    with pytest.raises(BadInput, match=r"expected pixels \(N, 64, 64, 3\) uint8, got"):
        encoder.encode(wrong)


def test_prepare_cuts_the_square_that_the_model_was_trained_with(encoder):
    square = encoder.prepare(picture("coffee"))

    assert square.shape == (SIDE, SIDE, 3)
    assert square.dtype == np.uint8


def test_the_same_picture_in_another_format_gives_nearly_the_same_vector(encoder):
    from model.images import decode

    original = picture("cat", 160)
    again = decode(encoded(original, "WEBP", quality=90), "cat.webp")

    one, other = encoder.encode(np.stack([encoder.prepare(original), encoder.prepare(again)]))

    assert one @ other > 0.99


def test_encoding_on_a_cpu_does_not_load_torch(saved):
    code = (
        "import sys, pathlib, numpy as np\n"
        "from model.encoder import open_encoder\n"
        "vectors = open_encoder(pathlib.Path(sys.argv[1]), 'cpu').encode(np.zeros((1, 64, 64, 3), np.uint8))\n"
        "print(vectors.shape, 'torch' in sys.modules)"
    )

    run = subprocess.run([sys.executable, "-c", code, saved], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "(1, 512) False"


@pytest.mark.parametrize("damage", ["flipped", "missing", "no checksum", "foreign"])
def test_a_damaged_graph_is_not_used(folder, damage):
    graph = (folder / ONNX).read_bytes()
    if damage == "flipped":
        (folder / ONNX).write_bytes(_flipped(graph))
    elif damage == "missing":
        (folder / ONNX).unlink()
    elif damage == "no checksum":
        (folder / ONNX_INFO).unlink()
    else:
        about = json.loads((folder / ONNX_INFO).read_text())
        (folder / ONNX_INFO).write_text(json.dumps({**about, "fingerprint": "0" * 16}))

    assert encoder_module.cached_graph(folder, read_info(folder)) is None


def test_a_damaged_graph_is_made_again_from_the_weights(folder, encoder, pixels):
    graph = (folder / ONNX).read_bytes()
    (folder / ONNX).write_bytes(_flipped(graph))

    vectors = open_encoder(folder, "cpu").encode(pixels[:4])

    np.testing.assert_allclose(vectors, encoder.encode(pixels[:4]), atol=1e-6)
    assert encoder_module.cached_graph(folder, read_info(folder)) == (folder / ONNX).read_bytes()


def test_a_sound_graph_does_not_excuse_damaged_weights(folder):
    (folder / WEIGHTS).write_bytes(_flipped((folder / WEIGHTS).read_bytes()))

    with pytest.raises(DamagedModel):
        open_encoder(folder, "cpu")


def test_a_folder_that_cannot_be_written_is_used_all_the_same(folder, encoder, pixels, monkeypatch):
    for name in (ONNX, ONNX_INFO):
        (folder / name).unlink()

    def read_only(*_):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr("model.export.write_atomically", read_only)  # root may write anywhere, so chmod would not do

    np.testing.assert_allclose(open_encoder(folder, "cpu").encode(pixels[:4]), encoder.encode(pixels[:4]), atol=1e-6)
    assert not (folder / ONNX).exists()


def test_an_unknown_device_is_refused_by_name(saved):
    with pytest.raises(BadInput, match="'tpu' is none of them"):
        open_encoder(saved, "tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_asked_for_and_not_there_is_said_plainly(saved):
    with pytest.raises(BadInput, match="no CUDA device"):
        open_encoder(saved, "cuda")


def test_a_folder_that_is_not_there_is_no_model(tmp_path):
    with pytest.raises(DamagedModel, match="is not a model"):
        open_encoder(tmp_path / "nothing", "cpu")


def _flipped(data: bytes) -> bytes:
    """`data` with one byte changed in the middle."""
    changed = bytearray(data)
    changed[len(data) // 2] ^= 0xFF
    return bytes(changed)


def test_a_crop_is_cut_as_the_network_was_trained_to_see_it():
    image = picture("coffee")

    ours = square(image, 224, "centre", "bicubic", 0.875)

    theirs = np.asarray(CenterCrop(224)(Resize(256, InterpolationMode.BICUBIC)(image)))  # 224 / 0.875
    assert ours.shape == theirs.shape
    difference = np.abs(ours.astype(int) - theirs)
    assert difference.mean() < 2  # whole pixels there, exact edges here
    assert difference.mean() < np.abs(square(image, 224).astype(int) - theirs).mean() / 5


def test_the_first_opening_exports_in_a_process_of_its_own_and_leaves_this_one_without_torch(folder):
    for name in (ONNX, ONNX_INFO):
        (folder / name).unlink()
    program = (
        "import sys; from pathlib import Path; from model.encoder import open_encoder\n"
        "encoder = open_encoder(Path(sys.argv[1]), 'cpu'); print(encoder.device, 'torch' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["cpu", "False"]
    assert (folder / ONNX).exists()
    assert (folder / ONNX_INFO).exists()


def test_a_model_that_cannot_be_exported_is_said_to_be_damaged(folder):
    for name in (ONNX, ONNX_INFO, WEIGHTS):
        (folder / name).unlink()
    program = (
        "import sys; from pathlib import Path; from model.encoder import graph_of; from model.info import read_info\n"
        "graph_of(Path(sys.argv[1]), read_info(Path(sys.argv[1])))"
    )

    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True)

    said = done.stderr.strip().splitlines()[-1]
    assert "cannot be exported to ONNX" in said
    assert "is incomplete" in said
