"""An int8 copy is a model of its own: its vectors are float32's but for rounding, and nothing mixes the two up."""

import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from model import shipped
from model.checkpoint import load_model
from model.elsewhere import export_model
from model.encoder import Encoder, open_encoder
from model.errors import BadInput, DamagedModel
from model.evaluate import nearest_kept
from model.images import make_preview
from model.info import INFO, INT8_WEIGHTS, ModelInfo, fingerprint, read_info, read_verified
from model.int8 import save_int8
from model.network import starting_point
from tests.pictures import NAMES, jpeg, views

RECORD = {"collection": "photos", "collection_id": 1, "pictures": 60}


@pytest.fixture(scope="module")
def exact(tmp_path_factory) -> Encoder:
    """The encoder that ships, in float32."""
    models = tmp_path_factory.mktemp("models")
    info = shipped.bring_into(models)
    if info is None:
        pytest.skip("no encoder ships with this copy")
    return open_encoder(models / info.fingerprint, "cpu", threads=2)


@pytest.fixture(scope="module")
def models(exact, tmp_path_factory) -> Path:
    return next(
        path for path in tmp_path_factory.getbasetemp().glob("models*") if (path / exact.info.fingerprint).exists()
    )


@pytest.fixture(scope="module")
def squares(exact) -> np.ndarray:
    return np.stack([exact.prepare(view) for name in NAMES for view in views(name, 8)])  # (120, S, S, 3)


@pytest.fixture(scope="module")
def copy(exact, models, squares) -> ModelInfo:
    return save_int8(models / exact.info.fingerprint, models, squares[::2], RECORD)


@pytest.fixture(scope="module")
def integers(copy, models) -> Encoder:
    return open_encoder(models / copy.fingerprint, "cpu", threads=2)


def test_the_copy_is_a_model_of_its_own_that_says_what_it_comes_from(exact, copy, models):
    assert copy.fingerprint != exact.info.fingerprint
    assert (copy.arithmetic, copy.started_from) == ("int8", exact.info.fingerprint)
    assert (copy.preparation, copy.dim) == (exact.info.preparation, exact.info.dim)
    assert copy.training == {**exact.info.training, "int8": RECORD}
    assert {path.name for path in (models / copy.fingerprint).iterdir()} == {INFO, INT8_WEIGHTS}
    assert (models / copy.fingerprint / INT8_WEIGHTS).stat().st_size < 0.3 * 4 * 11_176_512  # bytes of float32 weights


def test_it_really_computes_in_integers(copy, models):
    graph = onnx.load(models / copy.fingerprint / INT8_WEIGHTS)

    weights = [tensor for tensor in graph.graph.initializer if tensor.data_type == onnx.TensorProto.INT8]
    kernels = [tensor for tensor in weights if len(tensor.dims) == 4]
    assert len(kernels) == 19  # of ResNet-18's 20 convolutions: the one that sees the pixels stays float32
    assert max(np.abs(onnx.numpy_helper.to_array(kernel).astype(int)).max() for kernel in kernels) == 64


def test_its_vectors_are_those_of_float32_but_for_rounding(exact, integers, squares):
    floats, ints = exact.encode(squares), integers.encode(squares)

    assert (floats * ints).sum(axis=1).min() >= 0.998
    assert nearest_kept(floats, ints, np.arange(len(squares))) >= 0.95
    assert np.abs(floats - ints).max() > 1e-4  # it is another arithmetic


def test_the_same_pictures_give_the_same_fingerprint_and_others_another(exact, copy, models, squares):
    again = save_int8(models / exact.info.fingerprint, models, squares[::2], RECORD)
    other = save_int8(models / exact.info.fingerprint, models, squares[:30], RECORD)

    assert again.fingerprint == copy.fingerprint
    assert other.fingerprint not in (copy.fingerprint, exact.info.fingerprint)


def test_the_fingerprint_covers_the_graph_and_the_arithmetic(copy, models):
    info, weights = read_verified(models / copy.fingerprint)

    assert fingerprint(weights, asdict(info)) == copy.fingerprint
    assert fingerprint(weights + b"\0", asdict(info)) != copy.fingerprint
    assert fingerprint(weights, asdict(replace(info, arithmetic="float32"))) != copy.fingerprint


def test_a_damaged_copy_is_refused_and_never_replaced_by_float32(copy, models, tmp_path):
    folder = Path(shutil.copytree(models / copy.fingerprint, tmp_path / copy.fingerprint))
    data = bytearray((folder / INT8_WEIGHTS).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / INT8_WEIGHTS).write_bytes(data)

    with pytest.raises(DamagedModel, match="does not match its fingerprint"):
        open_encoder(folder, "cpu")
    (folder / INT8_WEIGHTS).unlink()
    with pytest.raises(DamagedModel, match=r"weights\.onnx is missing"):
        open_encoder(folder, "cpu")


def test_an_arithmetic_that_is_not_known_is_no_model(copy, models, tmp_path):
    folder = Path(shutil.copytree(models / copy.fingerprint, tmp_path / copy.fingerprint))
    (folder / INFO).write_text((folder / INFO).read_text().replace('"int8",', '"int4",', 1))

    with pytest.raises(DamagedModel, match="arithmetic is one of float32, int8"):
        read_info(folder)


def test_a_picture_finds_itself_through_a_query_at_cosine_1(integers):
    for name in NAMES:
        for side in (160, 900):  # kept without loss, and made smaller
            data = jpeg(name, side)
            imported, asked = (
                integers.encode(integers.square(make_preview(data, name).data, name)[np.newaxis])[0]
                for name in ("imported", "query")
            )
            assert imported @ asked >= 0.999


def test_batches_do_not_change_its_vectors(integers, squares):
    one_by_one = np.concatenate([integers.encode(one[np.newaxis]) for one in squares[:8]])

    np.testing.assert_allclose(integers.encode(squares)[:8], one_by_one, atol=1e-5)


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_it_runs_on_the_cpu_wherever_it_is_opened(copy, models, monkeypatch, device):
    monkeypatch.setattr("model.encoder.has_cuda", lambda: True)

    assert open_encoder(models / copy.fingerprint, device).device == "cpu"


def test_what_needs_weights_is_told_to_use_the_model_it_comes_from(copy, models):
    sentence = f"{copy.fingerprint} is an int8 copy of {copy.started_from}"

    with pytest.raises(BadInput, match=sentence):
        load_model(models / copy.fingerprint)
    with pytest.raises(BadInput, match=sentence):
        starting_point(copy.fingerprint, "resnet18", None, models, 0)
    for format_ in ("timm", "torchvision"):
        with pytest.raises(BadInput, match=sentence):
            export_model(models / copy.fingerprint, format_, "out")


def test_its_graph_can_be_taken_elsewhere(copy, models):
    files = export_model(models / copy.fingerprint, "onnx", "out")

    assert files["model.onnx"] == (models / copy.fingerprint / INT8_WEIGHTS).read_bytes()
    assert copy.fingerprint in files["README.md"].decode()


def test_opening_it_needs_no_torch(copy, models):
    code = (
        "import sys, pathlib, numpy as np\n"
        "from model.encoder import open_encoder\n"
        "vectors = open_encoder(pathlib.Path(sys.argv[1]), 'auto').encode(np.zeros((1, 96, 96, 3), np.uint8))\n"
        "print(vectors.shape, 'torch' in sys.modules)"
    )

    run = subprocess.run([sys.executable, "-c", code, models / copy.fingerprint], capture_output=True, text=True)

    assert run.stdout.strip() == "(1, 512) False", run.stderr


def test_making_one_says_nothing_on_stdout(exact, models, squares, capfd):
    save_int8(models / exact.info.fingerprint, models, squares[:16], RECORD)

    assert capfd.readouterr().out == ""
