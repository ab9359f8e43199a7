"""A collection leaves as one file and comes back the same, in an empty home or beside others; damaged, not at all."""

import json
import shutil
import sqlite3
import zipfile
from contextlib import closing

import pytest
from starlette.testclient import TestClient

from app.api import create_api
from app.cli import main
from app.settings import Settings
from tests import pictures
from tests.app.conftest import EACH, SUBJECTS, do_jobs
from tests.app.test_api import images, label, of_subject

HERE = "/v1/collections/photos"


@pytest.fixture
def labelled(indexed):
    return taught(indexed)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, indexed_home):
    """A bundle and the home it is of. What is refused changes neither, so the tests of that share them."""
    home = tmp_path_factory.mktemp("bundle") / "home"
    shutil.copytree(indexed_home, home, symlinks=True)
    with served(home) as client:
        return bundled(taught(client), home.parent / "photos.zip"), home


def taught(indexed):
    for subject in SUBJECTS:
        label(indexed, of_subject(indexed, subject, 4), subject)
    label(indexed, of_subject(indexed, "cat", 7)[5:], None, "none_of_these")
    label(indexed, of_subject(indexed, "cat", 1), "coffee")
    indexed.post(f"{HERE}/labels/undo")
    indexed.patch(f"{HERE}/classes/coffee", json={"colour": "#123456", "key": "1"})
    indexed.post(f"{HERE}/classes/rocket/merge", json={"into": "coffee"})
    indexed.post(f"{HERE}/labels/undo")
    ids = of_subject(indexed, "cat", 2)
    indexed.post(f"{HERE}/searches", json={"name": "cats", "positive": ids[:1], "negative": ids[1:]})
    indexed.get(f"{HERE}/probe")
    return indexed


def bundled(client, path, **parameters):
    response = client.get(f"{HERE}/export", params={"format": "bundle", **parameters})
    assert response.status_code == 200
    path.write_bytes(response.content)
    return path


def served(home):
    return TestClient(create_api(Settings(home=home, threads=1)), base_url="http://localhost")


def said_of(client, name="photos"):
    """Everything that must be the same, with pictures by name."""
    here = f"/v1/collections/{name}"
    client.get(f"{here}/probe")
    listed = client.get(f"{here}/images", params={"limit": 500, "sort": "oldest"}).json()["items"]
    names = {x["id"]: (x["folder"], x["name"]) for x in listed}
    hits = [
        [(names[h["image"]["id"]], h["score"], h["cosine"]) for h in
         client.post(f"{here}/search", json={"positive": [x["id"]], "limit": 20}).json()["hits"]]
        for x in listed
    ]  # fmt: skip
    predictions = client.get(f"{here}/predictions", params={"limit": 500}).json()["items"]
    labels = client.get(f"{here}/labels", params={"limit": 500}).json()["items"]
    return {
        "hits": hits,
        "predictions": {names[x["image"]["id"]]: (x["class"], x["probability"], x["fits"]) for x in predictions},
        "labels": [(names[x["image_id"]], x["class"], x["answer"], x["at"], x["source"]) for x in labels],
        "classes": client.get(f"{here}/classes").json(),
        "probe": client.get(f"{here}/probe").json(),
        "previews": [client.get(x["preview"]).content for x in listed],
        "searches": [x["name"] for x in client.get(f"{here}/searches").json()["items"]],
        "histories": [[(y["class"], y["answer"], y["at"], y["source"])
                       for y in client.get(f"/v1/images/{x['id']}").json()["history"]] for x in listed],
    }  # fmt: skip


def test_in_an_empty_home_everything_is_as_it_was(labelled, tmp_path, capsys):
    before = said_of(labelled)
    file = bundled(labelled, tmp_path / "photos.zip")
    home = tmp_path / "other"

    assert main(["restore", str(file), "--home", str(home), "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["images"] == EACH * len(SUBJECTS)
    with served(home) as client:
        assert said_of(client) == before
        while client.post(f"{HERE}/labels/undo").json()["can_undo"]:
            pass
        assert client.get(f"{HERE}/labels").json()["total"] == 0


def test_beside_other_collections_it_is_the_same_under_another_name(labelled, settings, tmp_path, capsys):
    before = said_of(labelled)
    file = bundled(labelled, tmp_path / "photos.zip")
    home = ["--home", str(settings.home)]

    taken = main(["restore", str(file), *home])
    sentence = capsys.readouterr().err
    assert main(["restore", str(file), "--collection", "again", *home]) == 0

    assert taken == 1
    assert "There is a collection 'photos' already" in sentence
    # The order of the random sample depends on ids, which are new here.
    for found in (before, after := said_of(labelled, "again")):
        found["probe"].pop("audit")
    assert after == before
    # ... and so are those of the classes that a change of one names.
    classes = "/v1/collections/again/classes"
    assert [x["name"] for x in labelled.get(classes).json()["items"]] == ["coffee", "cat", "rocket"]
    assert labelled.post("/v1/collections/again/labels/undo").json()["of"] == "classes"
    assert [x["name"] for x in labelled.get(classes).json()["items"]] == ["cat", "coffee", "rocket"]
    assert "#123456" not in labelled.get(classes).text


def test_the_command_writes_what_the_api_gives(labelled, settings, tmp_path, capsys):
    out = tmp_path / "photos.zip"
    command = ["export", "collection", "photos", "--format", "bundle", "--out", str(out), "--home", str(settings.home)]

    assert main(command) == 0
    assert main(command) == 1

    with zipfile.ZipFile(out) as archive:
        names = set(archive.namelist())
        report = json.loads(archive.read("report.json"))
        assert archive.read("labels.csv").startswith(b"id,path,name,folder,class")
    assert {"README.txt", "bundle.json", "vectors.bin", "model/weights.safetensors", "index/current.json"} <= names
    assert not any(name.endswith((".pkl", ".pt", ".pickle")) for name in names)
    assert report["accuracy"] > 0.5
    assert main(["restore", str(out), "--home", str(tmp_path / "other")]) == 0


def test_a_collection_of_several_classes_comes_back_as_one(labelled, tmp_path):
    labelled.patch(HERE, json={"multi_label": True})
    for subject in SUBJECTS[1:]:
        label(labelled, of_subject(labelled, subject, 3), "cat", "no")
        label(labelled, of_subject(labelled, subject, 3), "drinks")
    label(labelled, of_subject(labelled, "cat", 3), "drinks", "no")
    before = said_of(labelled)
    file = bundled(labelled, tmp_path / "photos.zip")

    assert main(["restore", str(file), "--home", str(tmp_path / "other")]) == 0

    with served(tmp_path / "other") as client:
        assert client.get(HERE).json()["multi_label"] is True
        assert said_of(client) == before


def test_uploads_go_with_it_when_asked(client, workspace, model_folder, tmp_path):
    client.post("/v1/collections", json={"name": "photos"})
    files = [("files", (f"{name}.jpg", pictures.jpeg(name))) for name in SUBJECTS]
    client.post(f"{HERE}/images", files=files)
    client.post(f"{HERE}/indexes", json={"model": model_folder.name})
    do_jobs(workspace)

    found = {}
    for kind, originals in (("with", True), ("without", False)):
        file = bundled(client, tmp_path / f"{kind}.zip", originals=originals)
        assert main(["restore", str(file), "--home", str(tmp_path / kind)]) == 0
        with served(tmp_path / kind) as other:
            shown = images(other)["items"]
            found[kind] = {x["name"]: other.get(f"/v1/images/{x['id']}/original") for x in shown}

    assert {name: x.content for name, x in found["with"].items()} == {f"{n}.jpg": pictures.jpeg(n) for n in SUBJECTS}
    assert {x.status_code for x in found["without"].values()} == {404}


def test_without_an_index_it_is_409(client):
    client.post("/v1/collections", json={"name": "photos"})

    assert client.get(f"{HERE}/export?format=bundle").status_code == 409


def again(file, out, change, packing=zipfile.ZIP_STORED):
    """The same zip with its members changed."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(out, "w", packing) as target:
        members = {info.filename: source.read(info) for info in source.infolist()}
        for name, data in change(members).items():
            target.writestr(name, data)
    return out


def resealed(members, name, data):
    """As somebody would forge it: the manifest names the new hash."""
    import hashlib

    manifest = json.loads(members["bundle.json"])
    manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return {**members, name: data, "bundle.json": json.dumps(manifest).encode()}


def forged_row(members, table, **changes):
    name = f"catalog/{table}.jsonl"
    first, *rest = members[name].splitlines()
    return resealed(members, name, b"\n".join([json.dumps(json.loads(first) | changes).encode(), *rest]) + b"\n")


DAMAGES = {
    "a byte of the weights": lambda m: {
        **m, "model/weights.safetensors": m["model/weights.safetensors"][:-1] + b"!"
    },
    "weights that are not the model's": lambda m: resealed(
        m, "model/weights.safetensors", m["model/weights.safetensors"][:-1] + b"!"
    ),
    "no manifest": lambda m: {n: d for n, d in m.items() if n != "bundle.json"},
    "a file missing": lambda m: {n: d for n, d in m.items() if n != "vectors.bin"},
    "a file too many": lambda m: {**m, "index/more": b""},
    "a path outside": lambda m: resealed(m, "../../escaped", b"x"),
    "an absolute path": lambda m: resealed(m, "/tmp/escaped", b"x"),
    "a path outside below a known folder": lambda m: resealed(m, "model/../../escaped", b"x"),
    "a hash that is a path": lambda m: forged_row(m, "contents", sha256="../../escaped"),
    "a suffix that is a path": lambda m: forged_row(m, "contents", preview_suffix="/../x"),
    "a row of another type": lambda m: forged_row(m, "images", name=7),
    "a label of no picture": lambda m: forged_row(m, "label_events", image_id=10**6),
    "an index of other pictures": lambda m: resealed(m, "catalog/images.jsonl", b""),
    "a model of another name": lambda m: forged_row(m, "collections", active_model="0" * 16),
    "an original that is another": lambda m: resealed(m, f"originals/{'a' * 64}", b"x"),
}  # fmt: skip


def test_a_bundle_that_is_packed_is_refused_before_it_can_grow(whole, tmp_path, capsys):
    file = again(whole[0], tmp_path / "packed.zip", dict, zipfile.ZIP_BZIP2)

    status = main(["restore", str(file), "--home", str(tmp_path / "home")])

    assert status == 1
    assert "bundle.json is packed or too large" in capsys.readouterr().err


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_bundle_is_refused_whole_with_one_sentence(whole, tmp_path, capsys, damage):
    sound, home = whole
    file = again(sound, tmp_path / "damaged.zip", DAMAGES[damage])
    before, rows = tree_of(home / "previews"), row_counts(home)

    beside = main(["restore", str(file), "--collection", "again", "--home", str(home)])
    said = capsys.readouterr().err.strip()
    empty = main(["restore", str(file), "--home", str(tmp_path / "new" / "home")])

    assert (beside, empty) == (1, 1)
    *progress, sentence = said.splitlines()
    assert "is no whole bundle of Likeness" in sentence
    assert all(line.endswith("files verified") for line in progress)
    assert tree_of(home / "previews") == before
    assert row_counts(home) == rows
    assert not (tmp_path / "new" / "home").exists()
    assert not list(home.glob("restoring-*"))
    assert not [path for place in (tmp_path, home.parent) for path in place.rglob("escaped*")]


@pytest.mark.parametrize("part", [0, 0.5, 0.999])
def test_a_bundle_cut_short_is_refused(whole, tmp_path, capsys, part):
    file, sound = tmp_path / "short.zip", whole[0].read_bytes()
    file.write_bytes(sound[: int(len(sound) * part)])

    assert main(["restore", str(file), "--home", str(tmp_path / "other")]) == 1

    assert "is no whole bundle of Likeness" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def tree_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def row_counts(home):
    tables = ("collections", "images", "contents", "classes", "actions", "label_events", "files")
    with closing(sqlite3.connect(home / "catalog.db")) as connection:
        return [connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables]
