"""Promise 7 on a disk that is really full, while the API runs: a full catalog, labels, uploads and jobs."""

import os
import shutil
import subprocess
import sys

import pytest

from app.uploads import KEPT_FREE
from model.files import PARTIAL
from tests.abuse.server import HOME, Server
from tests.faults.disk import Disk
from tests.faults.kill import ROOT
from tests.pictures import jpeg

URL = "/v1/collections/photos"


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "home").mkdir()
    mounted = Disk(tmp_path / "home", (KEPT_FREE >> 20) + 64)  # or an upload would never be taken
    shutil.copytree(HOME, mounted.seen, dirs_exist_ok=True)
    yield mounted
    mounted.end()


@pytest.fixture
def server(disk, tmp_path):
    started = Server(tmp_path, inside=disk.inside)
    yield started
    started.stop()


@pytest.fixture
def likeness(disk, tmp_path):
    def run(*arguments: object) -> subprocess.CompletedProcess:
        environment = {**os.environ, "LIKENESS_HOME": str(tmp_path / "home"), "LIKENESS_THREADS": "1"}
        command = [*disk.inside, sys.executable, "-m", "app.cli", *map(str, arguments), "--json"]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120)

    return run


def answers(server: Server) -> list[tuple[int, float]]:
    found = server.client.post(f"{URL}/search", json={"positive": [1]})
    assert found.status_code == 200, found.text
    return [(hit["image"]["id"], hit["score"]) for hit in found.json()["hits"]]


def label(server: Server, number: int):
    return server.client.post(f"{URL}/labels", json={"image_ids": [1 + number % 8], "class": f"class {number}"})


def said_no_space(response) -> bool:
    return response.status_code == 507 and response.json()["error"] == "NoSpace"


@pytest.mark.promise(7)
def test_promise_7_a_label_and_an_upload_on_a_full_disk_are_507_and_what_was_answered_stays(server, disk):
    before = answers(server)
    disk.fill()
    given = 0
    while (last := label(server, given)).status_code == 200:
        given += 1  # in what the journal of the catalog has of the disk already

    upload = server.client.post(f"{URL}/images", files={"files": ("cat.jpg", jpeg())})
    job = server.client.post(f"{URL}/indexes", json={})
    during = answers(server)
    classes = {item["name"] for item in server.client.get(f"{URL}/classes").json()["items"]}
    health = server.client.get("/v1/health").status_code
    disk.empty()
    after = label(server, given)

    assert all(map(said_no_space, (last, upload, job)))
    assert (during, health) == (before, 200)
    assert {f"class {number}" for number in range(given)} <= classes
    assert f"class {given}" not in classes
    assert not list(disk.seen.rglob(f"{PARTIAL}*"))
    assert not [path for path in (disk.seen / "uploads").rglob("*") if path.is_file()]
    assert after.status_code == 200
    assert server.client.post(f"{URL}/images", files={"files": ("cat.jpg", jpeg())}).status_code == 202


@pytest.mark.promise(7)
def test_promise_7_a_label_by_the_command_line_says_the_path_and_the_free_space(server, disk, likeness, tmp_path):
    [image, *_] = server.client.get(f"{URL}/images").json()["items"]
    path = f"{image['folder']}/{image['name']}"
    disk.fill()
    given = 0
    while (stopped := likeness("label", "--set", f"class {given}", path)).returncode == 0:
        given += 1

    kept = {item["name"] for item in server.client.get(f"{URL}/classes").json()["items"]}
    disk.empty()
    after = likeness("label", "--set", f"class {given}", path)

    assert stopped.returncode == 1
    assert str(tmp_path / "home") in stopped.stderr
    assert "(0 MB free)" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert {f"class {number}" for number in range(given)} <= kept
    assert f"class {given}" not in kept
    assert after.returncode == 0
