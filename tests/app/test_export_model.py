"""A model leaves: by `likeness export model`, and by the same over HTTP."""

import io
import json
import zipfile

import numpy as np
import onnxruntime
import pytest

from app.cli import main
from model.encoder import open_encoder
from tests import pictures


def test_the_command_writes_a_folder_and_says_what_is_in_it(workspace, model_folder, tmp_path, capsys):
    out, home = tmp_path / "mine", str(workspace.home.root)
    command = ["export", "model", model_folder.name[:6], "--format", "torchvision", "--out", str(out), "--home", home]

    assert main([*command, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    again = main(command)

    assert value["files"] == sorted(path.name for path in out.iterdir())
    assert (value["model"], value["format"], value["path"]) == (model_folder.name, "torchvision", str(out))
    assert 'load_file("mine/model.safetensors")' in (out / "README.md").read_text()
    assert again == 1
    assert "exists already" in capsys.readouterr().err


def test_without_a_name_the_folder_is_named_after_the_model(workspace, model_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    main(["export", "model", model_folder.name, "--format", "onnx", "--home", str(workspace.home.root)])

    folder = f"resnet18-{model_folder.name}-onnx"
    assert sorted(path.name for path in (tmp_path / folder).iterdir()) == [
        "README.md",
        "model.onnx",
        "preparation.json",
    ]
    assert folder in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none", "--format", "onnx"], "There is no model that begins with 'none'"),
        (["{model}", "--format", "keras"], "'keras' is not a format for a model: use timm, torchvision, onnx."),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(arguments, sentence, workspace, model_folder, tmp_path, capsys):
    given = [argument.format(model=model_folder.name) for argument in arguments]

    code = main(["export", "model", *given, "--out", str(tmp_path / "out"), "--home", str(workspace.home.root)])

    assert code == 1
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_over_http_it_is_a_zip_that_works(client, model_folder):
    response = client.get(f"/v1/models/{model_folder.name}/export", params={"format": "onnx"})

    name = f"resnet18-{model_folder.name}-onnx"
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == f'attachment; filename="{name}.zip"'
    archive = zipfile.ZipFile(io.BytesIO(response.content))
    assert sorted(archive.namelist()) == [f"{name}/README.md", f"{name}/model.onnx", f"{name}/preparation.json"]
    pixels = np.asarray(pictures.picture("cat", 32).crop((0, 0, 32, 32)))[None]
    [vectors] = onnxruntime.InferenceSession(archive.read(f"{name}/model.onnx")).run(["vectors"], {"pixels": pixels})
    np.testing.assert_allclose(vectors, open_encoder(model_folder, "cpu", 1).encode(pixels), atol=1e-6)


def test_over_http_timm_is_the_default_and_other_formats_are_422(client, model_folder):
    weights = client.get(f"/v1/models/{model_folder.name}/export")
    wrong = client.get(f"/v1/models/{model_folder.name}/export", params={"format": "keras"})
    unknown = client.get("/v1/models/none/export")

    names = {name.rpartition("/")[2] for name in zipfile.ZipFile(io.BytesIO(weights.content)).namelist()}
    assert names == {"model.safetensors", "config.json", "preparation.json", "README.md"}
    assert (wrong.status_code, unknown.status_code) == (422, 404)
