"""The `likeness` command, as a person runs it: a process of its own, its exit code, its one JSON document."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from app.cli import main
from tests import pictures
from tests.app.conftest import EACH, SUBJECTS

LIKENESS = [sys.executable, "-m", "app.cli"]


@pytest.fixture
def likeness(settings):
    """Run the command on the test's data folder; returns the finished process."""

    def run(*arguments, **options):
        environment = {**os.environ, "LIKENESS_HOME": str(settings.home)}
        command = [*LIKENESS, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, **options)

    return run


@pytest.fixture
def here(settings, monkeypatch, capsys):
    """The same in this process, where starting it is not what the test is about."""
    monkeypatch.setenv("LIKENESS_HOME", str(settings.home))

    def run(*arguments):
        capsys.readouterr()
        status = main(list(map(str, arguments)))
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    return run


def result(process):
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_the_whole_loop_works_from_the_command_line(likeness, folder, model_folder, tmp_path):
    rows = [f"{folder}/{subject}/{number:02}.jpg,{subject}" for subject in SUBJECTS for number in range(4)]
    (tmp_path / "labels.csv").write_text("path,class\n" + "\n".join(rows))

    imported = result(likeness("import", folder, "--json"))
    again = result(likeness("import", folder, "--json"))
    indexed = result(likeness("index", "--model", model_folder.name[:6], "--json"))
    hits = result(likeness("search", folder / "cat" / "00.jpg", "-k", "3", "--json"))["hits"]
    labelled = result(likeness("label", "--csv", tmp_path / "labels.csv", "--json"))
    probe = result(likeness("probe", "--json"))
    predictions = result(likeness("predict", folder / "coffee", "--csv", tmp_path / "out.csv", "--json"))["predictions"]

    total = len(SUBJECTS) * EACH
    assert (imported["added"], imported["known"], imported["refused"]) == (total, 0, [])
    assert (again["added"], again["known"]) == (0, total)
    assert (indexed["indexed"], indexed["encoded"]) == (total, total)
    assert hits[0]["path"].split("/")[-2] == "cat"
    assert labelled["labelled"] == 12
    assert probe["classes"] == sorted(SUBJECTS)
    assert 0 <= probe["interval"][0] <= probe["accuracy"] <= probe["interval"][1] <= 1
    assert sum(p["class"] == "coffee" for p in predictions) >= 6
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + EACH


def test_a_broken_file_is_listed_and_costs_nothing_else(here, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.jpg").write_bytes(pictures.jpeg())
    (tmp_path / "in" / "bad.jpg").write_bytes(pictures.jpeg()[:500])

    imported = result(here("import", tmp_path / "in", "--json"))

    assert imported["added"] == 1
    (refused,) = imported["refused"]
    assert refused["path"].endswith("bad.jpg")
    assert "damaged" in refused["reason"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["import", "/no/such/folder"], "/no/such/folder does not exist"),
        (["search", "x.jpg"], "There is no collection 'photos'"),
        (["index", "-c", "none"], "There is no collection 'none'"),
        (["nonsense"], "No such command"),
        (["import"], "Missing argument"),
        (["label", "--csv", "a.csv", "--clear", "-c", "none"], "There is no collection 'none'"),
    ],
)
def test_a_wrong_command_is_one_sentence_and_exit_code_1(here, arguments, sentence):
    assert_refused(here(*arguments), sentence)


def test_a_worker_of_no_lane_is_refused(likeness):  # in a process of its own, for it takes over the log
    assert_refused(likeness("worker", "--lane", "fast"), "There is no lane 'fast'")


def assert_refused(process, sentence):
    assert process.returncode == 1
    assert sentence in process.stderr
    assert "Traceback" not in process.stderr
    assert process.stdout == ""


def test_a_bad_setting_is_named(likeness):
    environment_variable = "LIKENESS_PORT"
    os.environ[environment_variable] = "many"
    try:
        process = likeness("collections")
    finally:
        del os.environ[environment_variable]

    assert process.returncode == 1
    assert "LIKENESS_PORT is 'many'" in process.stderr


def test_a_wrong_path_leaves_no_collection_behind(here):
    here("import", "/no/such/folder")

    assert result(here("collections", "--json")) == {"collections": []}


def test_a_damaged_catalog_stops_every_command_and_is_left_as_it_is(here, settings):
    catalog = settings.home / "catalog.db"
    catalog.write_bytes(b"not a catalog " * 500)

    process = here("collections")

    assert process.returncode == 1
    assert str(catalog) in process.stderr
    assert "restore a backup" in process.stderr
    assert catalog.read_bytes() == b"not a catalog " * 500


@pytest.mark.parametrize("cut", [("--tile", "40"), ("--pages", "all")], ids=["tiles", "pages"])
def test_labels_of_tiles_and_pages_find_them_again_also_where_the_file_lies_elsewhere(here, tmp_path, cut):
    for place in ("here", "elsewhere"):
        (tmp_path / place / "scans").mkdir(parents=True)
        first, *rest = (pictures.picture(name, 80) for name in ("cat", "coffee", "rocket"))
        first.save(tmp_path / place / "scans" / "stack.tif", save_all=True, append_images=rest)
    exported, moved = tmp_path / "labels.csv", tmp_path / "moved.csv"

    result(here("import", tmp_path / "here", *cut, "--json"))
    rows = list(csv.DictReader(io.StringIO(here("export", "collection", "photos").stdout)))
    given = {row["path"]: "odd" if number % 2 else "even" for number, row in enumerate(rows)}
    with exported.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "class"), *given.items()])
    labelled = result(here("label", "--csv", exported, "--json"))
    again = here("export", "collection", "photos").stdout
    here("export", "collection", "photos", "--format", "folders", "--out", tmp_path / "out").check_returncode()
    result(here("import", tmp_path / "elsewhere", *cut, "-c", "moved", "--json"))
    moved.write_text(again.replace(str(tmp_path / "here"), ""))
    labelled_there = result(here("label", "--csv", moved, "-c", "moved", "--json"))

    assert len(rows) >= 3
    assert labelled["labelled"] == labelled_there["labelled"] == len(rows)
    written = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert [Image.open(file).format for file in written if file.suffix == ".png"] == ["PNG"] * len(rows)
    assert {row["path"]: row["class"] for row in csv.DictReader(io.StringIO(again))} == given


def test_a_csv_that_cannot_be_used_says_which_row(here, indexed, tmp_path):
    (tmp_path / "labels.csv").write_text("path,class\ncat.jpg\n")

    process = here("label", "--csv", tmp_path / "labels.csv")

    assert process.returncode == 1
    assert "row 1: expected path,class" in process.stderr


def test_ctrl_c_stops_an_import_which_then_goes_on(settings, tmp_path):
    big = tmp_path / "in"
    big.mkdir()
    image = pictures.picture("galaxies").resize((1200, 1000))
    for number in range(90):
        image.putpixel((number, 0), (255, 0, 0))
        (big / f"{number:03}.png").write_bytes(pictures.encoded(image, "PNG", compress_level=0))
    environment = {**os.environ, "LIKENESS_HOME": str(settings.home)}
    command = [*LIKENESS, "import", str(big), "--json"]

    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list((settings.home / "previews").rglob("*.jpg")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)

    assert process.returncode == 1
    assert "import again to go on" in errors
    done = json.loads(finished.stdout)
    assert done["added"] + done["known"] == 90
    assert done["known"] > 0


def test_doctor_finds_a_damaged_index(here, indexed, settings):
    healthy = result(here("doctor", "--json"))
    (file,) = (settings.home / "indexes").rglob("*.faiss")
    file.write_bytes(file.read_bytes()[:-7])

    process = here("doctor", "--json")

    assert healthy["problems"] == []
    assert process.returncode == 1
    assert "damaged" in json.loads(process.stdout)["problems"][0]


def test_evaluate_measures_a_model_on_class_folders(here, indexed, folder):
    value = result(here("evaluate", "--images", folder, "--json"))

    assert value["images"] == len(SUBJECTS) * EACH
    assert value["classes"] == sorted(SUBJECTS)
    assert value["linear"] > 1 / len(SUBJECTS)
    assert value["knn"] > 1 / len(SUBJECTS)
