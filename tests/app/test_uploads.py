"""Uploads that can be gone on with (promises 21, 25 and 27 for files of any size)."""

import asyncio
import io
import os
import shutil
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient

from app import jobs, uploads, worker
from app.api import create_api
from app.settings import Settings
from tests.pictures import jpeg


def do_import(workspace) -> None:
    worker.do_job(workspace, jobs.claim(workspace.engine, "pictures"), threading.Event())


@pytest.fixture
def begun(client) -> str:
    client.post("/v1/collections", json={"name": "photos"})
    return client.post("/v1/collections/photos/uploads").json()["upload"]


@pytest.fixture
def put(client, begun):
    def send(name, data, size=None, offset=0, upload=begun):
        params = {"name": name, "size": len(data) if size is None else size, "offset": offset}
        return client.put(f"/v1/uploads/{upload}/file", params=params, content=data)

    return send


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_files_sent_one_by_one_are_imported_together_under_their_names(client, workspace, begun, put):
    put("trip/cat.jpg", jpeg("cat"))
    put("pack.zip", zipped(coffee=jpeg("coffee"), moon=jpeg("moon")))

    job = client.post(f"/v1/uploads/{begun}/finish")
    do_import(workspace)

    assert job.status_code == 202
    result = client.get(f"/v1/jobs/{job.json()['id']}").json()["result"]
    assert (result["added_total"], result["refused"]) == (3, [])
    items = client.get("/v1/collections/photos/images").json()["items"]
    assert {(item["folder"], item["name"]) for item in items} == {
        ("trip", "cat.jpg"),
        ("pack", "coffee"),
        ("pack", "moon"),
    }
    assert not workspace.home.upload(begun).exists()


def test_a_file_that_broke_off_goes_on_from_where_it_was_also_after_a_restart(client, settings, workspace, begun, put):
    data = jpeg("cat", 300)
    whole = put("first.jpg", jpeg("coffee"))
    first = put("cat.jpg", data[:1000], size=len(data))
    early = client.post(f"/v1/uploads/{begun}/finish")

    with TestClient(create_api(settings), base_url="http://localhost") as restarted:
        seen = restarted.get(f"/v1/uploads/{begun}").json()
        wrong = restarted.put(
            f"/v1/uploads/{begun}/file", params={"name": "cat.jpg", "size": len(data), "offset": 7}, content=data[7:]
        )
        rest = restarted.put(
            f"/v1/uploads/{begun}/file",
            params={"name": "cat.jpg", "size": len(data), "offset": 1000},
            content=data[1000:],
        )
        again = restarted.put(f"/v1/uploads/{begun}/file", params={"name": "cat.jpg", "size": len(data)}, content=data)
        job = restarted.post(f"/v1/uploads/{begun}/finish").json()
    do_import(workspace)

    assert whole.json()["complete"]
    assert first.json() == {"name": "cat.jpg", "size": len(data), "received": 1000, "complete": False}
    assert (early.status_code, early.json()["error"]) == (409, "UploadConflict")
    assert [(file["name"], file["complete"]) for file in seen["files"]] == [("cat.jpg", False), ("first.jpg", True)]
    assert wrong.status_code == 409
    assert "offset=1000" in wrong.json()["detail"]
    assert rest.json()["complete"]
    assert again.json()["complete"]
    assert client.get(f"/v1/jobs/{job['id']}").json()["result"]["added_total"] == 2


@pytest.mark.promise(27)
def test_a_connection_that_breaks_keeps_what_had_arrived(client, begun, put):
    async def broken():
        yield b"x" * 5000
        raise ClientDisconnect

    # In a thread of its own: a browser of other tests may have an event loop running in this one.
    with pytest.raises(ClientDisconnect), ThreadPoolExecutor(1) as own:
        own.submit(asyncio.run, client.app.state.uploads.receive(begun, "a.zip", 9000, 0, broken())).result()
    files = client.get(f"/v1/uploads/{begun}").json()["files"]
    rest = put("a.zip", b"y" * 4000, size=9000, offset=5000)

    assert files == [{"name": "a.zip", "size": 9000, "received": 5000, "complete": False}]
    assert rest.json()["complete"]


@pytest.mark.promise(21)
def test_files_are_bounded_singly_and_in_all_and_by_the_disk(settings, tmp_path, monkeypatch):
    small = Settings(home=tmp_path / "home", max_upload_mb=1, max_batch_mb=2)
    with TestClient(create_api(small), base_url="http://localhost") as client:
        client.post("/v1/collections", json={"name": "photos"})
        batch = client.post("/v1/collections/photos/uploads").json()["upload"]

        def put(name: str, size: int, data: bytes) -> tuple[int, str]:
            params = {"name": name, "size": size}
            answer = client.put(f"/v1/uploads/{batch}/file", params=params, content=data)
            return answer.status_code, answer.json().get("detail", "")

        million = 1_000_000
        too_large = put("a", 2 * million, b"")
        lying = put("b", 10, b"x" * 1000)
        announced = put("c", million, b"x" * (2 << 20))
        put("d", million, b"")
        in_all = put("e", million, b"")
        monkeypatch.setattr(uploads, "KEPT_FREE", shutil.disk_usage(tmp_path).free + 1)
        full = put("f", 10, b"0123456789")

    assert too_large[0] == 422
    assert "LIKENESS_MAX_UPLOAD_MB" in too_large[1]
    assert lying[0] == 422
    assert announced[0] in (413, 422)
    assert in_all[0] == 422
    assert "LIKENESS_MAX_BATCH_MB" in in_all[1]
    assert full[0] == 507
    assert sum(path.stat().st_size for path in small.home.rglob("*.part")) <= 2 << 20


def test_a_name_never_becomes_a_path(client, workspace, begun, put, tmp_path):
    names = ("../../escaped.jpg", "/etc/absolute.jpg", "..\\windows.jpg", "batch.json", "names.json")
    for number, name in enumerate(names):
        assert put(name, jpeg("cat", 40 + number)).status_code == 200

    client.post(f"/v1/uploads/{begun}/finish")
    do_import(workspace)

    items = client.get("/v1/collections/photos/images").json()["items"]
    assert len(items) == 5
    assert not any(".." in item["folder"] or item["folder"].startswith("/") for item in items)
    assert not [path for path in tmp_path.rglob("*.jpg") if workspace.home.root not in path.parents]


def test_an_upload_that_is_gone_finished_or_foreign_takes_no_files(client, begun, put):
    put("cat.jpg", jpeg())
    client.post(f"/v1/uploads/{begun}/finish")
    other = client.post("/v1/collections/photos/uploads").json()["upload"]
    empty = client.post(f"/v1/uploads/{other}/finish")
    client.delete(f"/v1/uploads/{other}")

    for batch in (begun, other, "nothing", "..", "%2e%2e%2fmodels"):
        assert put("x.jpg", jpeg(), upload=batch).status_code in (404, 405), batch
    assert (empty.status_code, empty.json()["error"]) == (422, "BadInput")


def test_a_batch_that_nobody_finished_is_forgotten_after_a_week(client, workspace, begun, put):
    put("cat.jpg", jpeg())
    folder = workspace.home.upload(begun)
    for path in folder.iterdir():
        os.utime(path, (1, 1))

    client.post("/v1/collections/photos/uploads")

    assert not folder.exists()
