"""The classifier leaves Likeness and says the same elsewhere; pictures leave by class."""

import io
import json
import zipfile

import numpy as np
import onnxruntime
from PIL import Image

from app.cli import main
from model.encoder import open_encoder
from tests.app.conftest import EACH, SUBJECTS, subject_of
from tests.app.test_api import images, label, of_subject


def label_some(client, each=4):
    for subject in SUBJECTS:
        label(client, of_subject(client, subject, each), subject)
    client.get("/v1/collections/photos/probe")


def test_plain_onnxruntime_says_of_every_picture_what_likeness_says(indexed, model_folder):
    label_some(indexed)

    answer = indexed.get("/v1/collections/photos/export?format=classifier")

    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist()}
    session = onnxruntime.InferenceSession(files["classifier.onnx"])
    facts = json.loads(files["classifier.json"])
    prepare = open_encoder(model_folder, "cpu").prepare
    listed = images(indexed, limit=500)["items"]
    previews = [Image.open(io.BytesIO(indexed.get(image["preview"]).content)) for image in listed]
    (p,) = session.run(["probabilities"], {"pixels": np.stack([prepare(x) for x in previews])})
    assert facts["classes"] == sorted(SUBJECTS)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert [facts["classes"][i] for i in p.argmax(axis=1)] == [image["predicted"]["class"] for image in listed]
    np.testing.assert_allclose(p.max(axis=1), [image["predicted"]["probability"] for image in listed], atol=2e-3)


def test_the_command_writes_the_same_classifier_and_nothing_that_could_run(indexed, settings, tmp_path, capsys):
    from safetensors.numpy import load

    label_some(indexed)
    out = tmp_path / "mine"

    assert main(["export", "classifier", "photos", "--out", str(out), "--home", str(settings.home), "--json"]) == 0

    value = json.loads(capsys.readouterr().out)
    names = sorted(path.name for path in out.iterdir())
    assert value["files"] == names == ["README.md", "classifier.json", "classifier.onnx", "probe.safetensors"]
    tensors = load((out / "probe.safetensors").read_bytes())
    facts = json.loads((out / "classifier.json").read_bytes())
    assert tensors["weights"].shape == (len(SUBJECTS), facts["dim"])
    assert 'InferenceSession("mine/classifier.onnx")' in (out / "README.md").read_text()


def test_folders_by_class_hold_links_to_the_pictures_or_copies(indexed, settings, folder, tmp_path, capsys):
    label_some(indexed, EACH)
    command = ["export", "collection", "photos", "--format", "folders", "--home", str(settings.home)]

    main([*command, "--out", str(tmp_path / "links")])
    main([*command, "--out", str(tmp_path / "copies"), "--copy"])
    again = main([*command, "--out", str(tmp_path / "links")])

    for kind in ("links", "copies"):
        for subject in SUBJECTS:
            found = sorted((tmp_path / kind / subject).iterdir())
            assert len(found) == EACH
            assert all(file.is_symlink() == (kind == "links") for file in found)
            originals = {path.read_bytes() for path in (folder / subject).iterdir()}
            assert {file.read_bytes() for file in found} == originals
    assert again == 1
    assert "exists already" in capsys.readouterr().err


def test_coco_has_an_annotation_for_every_label(indexed):
    label_some(indexed, 2)

    said = indexed.get("/v1/collections/photos/export?format=coco").json()

    names = {category["id"]: category["name"] for category in said["categories"]}
    truth = {image["id"]: subject_of(image) for image in images(indexed, limit=500)["items"]}
    assert len(said["images"]) == len(SUBJECTS) * EACH
    assert len(said["annotations"]) == 2 * len(SUBJECTS)
    assert all(names[each["category_id"]] == truth[each["image_id"]] for each in said["annotations"])
    assert all(image["width"] > 0 for image in said["images"])
