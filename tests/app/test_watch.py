"""`likeness import`, for as long as a folder is watched, as a dry run, and with what it passes over."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from app.cli import main
from app.commands import importing
from app.terminal import Terminal
from indexer.catalog import all_collections, collection_named, count_images
from indexer.columns import select_ids
from indexer.filters import Filter
from indexer.images import find_by_path, get_images, read_original
from indexer.index import open_index, read_published
from indexer.parts import Cutting
from indexer.removal import remove
from model.files import PARTIAL
from tests.pictures import jpeg, write_folders

LIKENESS = [sys.executable, "-m", "app.cli"]


def until(true, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never became so"
        time.sleep(0.1)


@pytest.fixture
def environment(settings):
    return {**os.environ, "LIKENESS_HOME": str(settings.home), "LIKENESS_THREADS": "1"}


@pytest.fixture
def likeness(environment, monkeypatch, capsys):
    """The command, in this process: its document, or what it says where it fails."""
    for name in ("LIKENESS_HOME", "LIKENESS_THREADS"):
        monkeypatch.setenv(name, environment[name])

    def run(*arguments):
        capsys.readouterr()
        status = main([*map(str, arguments), "--json"])
        said = capsys.readouterr()
        return json.loads(said.out) if status == 0 else said.err

    return run


def test_a_watched_folder_brings_in_what_is_added_and_makes_it_searchable(
    workspace, environment, likeness, model_folder, tmp_path
):
    watched, later = tmp_path / "watched", tmp_path / "later"
    write_folders(watched, ("cat",), 3)
    likeness("import", watched)
    likeness("index", "--model", model_folder.name)
    photos = collection_named(workspace.engine, "photos")
    folder = workspace.home.index(photos.id, model_folder.name)
    command = [*LIKENESS, "import", "--watch", str(watched), "--json"]
    process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said: list[str] = []
    while not said or "watching" not in said[-1]:
        said.append(process.stderr.readline())

    (watched / "new.jpg").write_bytes(jpeg("coffee"))
    until(lambda: read_published(folder).count == 4)
    watched.rename(later)  # the disk is gone; the watcher says so and waits
    while "does not exist" not in said[-1]:
        said.append(process.stderr.readline())
    during = count_images(workspace.engine, photos)
    later.rename(watched)
    (watched / "cat" / "again.jpg").write_bytes(jpeg("rocket"))
    until(lambda: read_published(folder).count == 5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)

    assert during == 4
    assert process.returncode == 0
    assert json.loads(out)["added"] == 2


@pytest.fixture
def watcher(workspace, environment, likeness, model_folder, tmp_path):
    """A watched folder of three indexed pictures: the folder, the index's, and what the watcher says from now on."""
    write_folders(tmp_path / "watched", ("cat",), 3)
    likeness("import", tmp_path / "watched")
    likeness("index", "--model", model_folder.name)
    photos = collection_named(workspace.engine, "photos")
    command = [*LIKENESS, "import", "--watch", str(tmp_path / "watched"), "--json"]
    process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def hears(what: str) -> None:
        while what not in (said := process.stderr.readline()):
            assert said, "it ended"

    hears("watching")
    yield tmp_path / "watched", workspace.home.index(photos.id, model_folder.name), hears
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def indexed_ids(folder) -> list[int]:
    return open_index(folder).ids.tolist()


def test_an_image_that_comes_back_to_a_watched_folder_is_searchable_again(workspace, watcher):
    watched, index, _ = watcher
    path = watched / "cat" / "01.jpg"
    [before] = find_by_path(workspace.engine, collection_named(workspace.engine, "photos"), [str(path)]).values()
    old = path.read_bytes()

    path.write_bytes(jpeg("rocket"))
    until(lambda: before not in indexed_ids(index) and len(indexed_ids(index)) == 3)
    path.write_bytes(old)

    until(lambda: before in indexed_ids(index))
    assert len(indexed_ids(index)) == 3


@pytest.mark.parametrize("kind", ["import", "index"])
def test_a_watched_folder_waits_for_another_process_and_then_does_what_it_left(workspace, watcher, kind):
    watched, index, hears = watcher
    photos = collection_named(workspace.engine, "photos")

    with workspace.home.lock(photos.id, "photos", kind):
        (watched / "new.jpg").write_bytes(jpeg("rocket"))
        hears("Another process")

    until(lambda: len(indexed_ids(index)) == 4)


def test_a_change_that_nobody_tells_of_comes_in_while_another_process_indexes(
    workspace, likeness, model_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(importing, "RESCAN", 3)
    watched, elsewhere = tmp_path / "watched", tmp_path / "elsewhere.jpg"
    write_folders(watched, ("cat",), 3)
    os.link(watched / "cat" / "00.jpg", elsewhere)  # written to by this name, as on another machine's disk
    likeness("import", watched)
    likeness("index", "--model", model_folder.name)
    photos = collection_named(workspace.engine, "photos")
    terminal, heard = Terminal(as_json=True), [""]
    asked = importing._Asked([watched], "photos", False, [], False, Cutting(), False)
    watching = threading.Thread(target=importing._watch, args=(terminal, workspace, asked))

    def said(what: str) -> bool:
        heard[0] += capsys.readouterr().err
        return what in heard[0]

    with workspace.home.lock(photos.id, "photos", "index"):
        watching.start()
        until(lambda: said("watching"))
        elsewhere.write_bytes(jpeg("rocket"))
        try:
            until(lambda: 4 in select_ids(workspace.engine, photos, Filter()).tolist(), seconds=30)
        finally:
            terminal.stopping.set()
            watching.join(60)


def what_is_in(folder) -> dict[str, tuple]:
    """Of every entry: its kind and rights, times, size, where it leads, and what it holds."""
    return {
        str(path): (
            *(info.st_mode, info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_nlink),
            os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None,
        )
        for path in [folder, *sorted(folder.rglob("*"))]
        if (info := path.lstat())
    }


@pytest.fixture
def linked(tmp_path):
    """A folder with links of every kind: within it, out of it, to folders, to nothing, round in a circle, and hard."""
    outside, folder = tmp_path / "outside", tmp_path / "mine"
    write_folders(outside, ("coffee",), 2)
    write_folders(folder, ("cat",), 2)
    (folder / "within.jpg").symlink_to(folder / "cat" / "00.jpg")
    (folder / "out.jpg").symlink_to(outside / "coffee" / "00.jpg")
    (folder / "album").symlink_to(outside, target_is_directory=True)
    (folder / "circle").symlink_to(folder, target_is_directory=True)
    (folder / "nowhere.jpg").symlink_to(tmp_path / "gone.jpg")
    os.link(outside / "coffee" / "01.jpg", folder / "hard.jpg")
    return folder


@pytest.mark.promise(1)
@pytest.mark.parametrize("options", [(), ("--tile", 48), ("--labels-from-folders", "--retry")], ids=str)
def test_promise_1_a_folder_with_links_is_as_it_was_after_an_import(workspace, likeness, linked, tmp_path, options):
    before = what_is_in(tmp_path / "mine"), what_is_in(tmp_path / "outside")

    first = likeness("import", linked, *options)
    again = likeness("import", linked, *options)
    photos = collection_named(workspace.engine, "photos")
    ids = select_ids(workspace.engine, photos, Filter()).tolist()
    originals = [read_original(workspace.engine, workspace.home, each) for each in get_images(workspace.engine, ids)]
    remove(workspace.engine, workspace.home, photos, ids)
    likeness("import", linked, *options)

    assert (first["added"], again["added"], len(originals)) == (len(ids), 0, len(ids))
    assert len(ids) == (12 if "--tile" in options else 3)
    assert len(first["refused"]) == 4
    assert (what_is_in(tmp_path / "mine"), what_is_in(tmp_path / "outside")) == before


@pytest.mark.promise(1)
def test_promise_1_a_watched_folder_is_as_it_was_after_everything_that_comes_and_goes(workspace, watcher):
    watched, index, _ = watcher
    (watched / "new.jpg").write_bytes(jpeg("rocket"))
    before = what_is_in(watched)
    until(lambda: len(indexed_ids(index)) == 4)
    meanwhile = what_is_in(watched)
    (watched / "cat" / "01.jpg").write_bytes(jpeg("coffee"))
    (watched / "cat" / "02.jpg").rename(watched / "moved.jpg")
    later = what_is_in(watched)

    until(lambda: max(indexed_ids(index)) == 5)

    assert meanwhile == before
    assert what_is_in(watched) == later


def test_only_a_folder_can_be_watched(likeness, tmp_path):
    (tmp_path / "cat.jpg").write_bytes(jpeg())

    assert "only folders can be watched" in likeness("import", "--watch", tmp_path / "cat.jpg")


def test_a_dry_run_counts_and_changes_nothing(workspace, likeness, tmp_path):
    folder = tmp_path / "in"
    paths = write_folders(folder, ("cat", "coffee"), 3)
    (folder / "bad.jpg").write_bytes(b"no picture")

    before = likeness("import", folder, "--dry-run")
    collections = all_collections(workspace.engine)
    likeness("import", folder)
    paths[0].write_bytes(jpeg("rocket"))
    paths[1].unlink()
    (folder / "new.jpg").write_bytes(jpeg("moon"))
    after = likeness("import", folder, "--dry-run")

    assert collections == []
    assert (before["new"], before["known"], before["dry_run"]) == (7, 0, True)
    counts = {name: after[name] for name in ("new", "changed", "known", "missing", "removed")}
    assert counts == {"new": 1, "changed": 1, "known": 4, "missing": 1, "removed": 0}
    assert [item["path"] for item in after["refused"]] == [str(folder / "bad.jpg")]
    photos = collection_named(workspace.engine, "photos")
    assert count_images(workspace.engine, photos) == 6
    assert len(select_ids(workspace.engine, photos, Filter(missing=True))) == 0


@pytest.mark.parametrize(
    ("pattern", "left"),
    [("*.png", 4), ("cat", 2), ("coffee/*", 3), ("*/00.*", 3), ("trip/cat", 5), ("COFFEE", 5)],
)
def test_what_fits_a_pattern_is_passed_over(likeness, tmp_path, pattern, left):
    write_folders(tmp_path / "trip", ("cat", "coffee"), 2)
    (tmp_path / "trip" / "cat" / "notes.png").write_bytes(jpeg("moon"))

    assert likeness("import", tmp_path / "trip", "--exclude", pattern)["added"] == left


def test_an_emptied_folder_is_refused_until_it_is_said_to_be_meant(workspace, likeness, tmp_path):
    write_folders(tmp_path / "trip", ("cat",), 2)
    likeness("import", tmp_path / "trip")
    (tmp_path / "trip").rename(tmp_path / "unmounted")
    (tmp_path / "trip").mkdir()

    refused = likeness("import", tmp_path / "trip")
    meant = likeness("import", tmp_path / "trip", "--allow-empty")

    assert "holds none of the 2 pictures" in refused
    assert "--allow-empty" in refused
    assert (meant["added"], meant["missing"]) == (0, 2)
    photos = collection_named(workspace.engine, "photos")
    assert len(select_ids(workspace.engine, photos, Filter(missing=True))) == 2


def test_tiles_come_in_by_the_api_and_the_command_line_alike(workspace, likeness, tmp_path):
    import threading

    from starlette.testclient import TestClient

    from app import jobs, worker
    from app.api import create_api

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "slide.jpg").write_bytes(jpeg("galaxies", 160))

    by_command = likeness("import", tmp_path / "in", "--tile", 80)
    with TestClient(create_api(workspace.settings), base_url="http://localhost") as client:
        client.post("/v1/collections", json={"name": "other"})
        body = {"path": str(tmp_path / "in"), "tile": 80}
        queued = client.post("/v1/collections/other/imports", json=body).json()
        worker.do_job(workspace, jobs.claim(workspace.engine, "pictures"), threading.Event())
        by_api = client.get(f"/v1/jobs/{queued['id']}").json()["result"]
        images = client.get("/v1/collections/other/images").json()["items"]

    assert by_command["added"] == by_api["added_total"] == len(images) > 4
    assert {tuple(image["part"]) for image in images} == {("box",)}
    assert "Tiles of 5 px show nothing" in likeness("import", tmp_path / "in", "--tile", 5)


def test_what_killed_decoders_left_is_swept_by_the_next_import_and_what_is_being_written_stays(
    workspace, likeness, tmp_path
):
    write_folders(tmp_path / "in", ("cat",), 1)
    left = []
    for kept in ("previews", "originals", "renditions"):
        for age in (3600, 0):
            path = workspace.home.root / kept / "ab" / f"{PARTIAL}{age}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"half")
            os.utime(path, (time.time() - age,) * 2)
            left.append(path)

    likeness("import", tmp_path / "in")

    assert [path.exists() for path in left] == [False, True] * 3
