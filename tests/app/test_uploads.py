"""Uploads that can be gone on with (promises 21, 25 and 27 for files of any size)."""

import asyncio
import io
import json
import os
import shutil
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient

from app import jobs, uploads, worker
from app.api import create_api
from app.settings import Settings
from indexer.catalog import collection_named
from indexer.importer import LISTED
from indexer.sources import MAX_FILE_BYTES
from model.parts import tiles
from tests.pictures import encoded, jpeg, picture, stack


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
        monkeypatch.setattr(uploads, "KEPT_FREE", 1 << 60)  # no disk has that: others free some meanwhile
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


def options_of(client, begun, put, route: str, options: dict) -> dict:
    """The job of a TIFF of three pages that comes in by one of the routes."""
    pages = stack()
    if route == "uploads":
        put("stack.tif", pages)
        return client.post(f"/v1/uploads/{begun}/finish", json=options)
    return client.post("/v1/collections/photos/images", files={"files": ("stack.tif", pages)}, data=options)


@pytest.mark.parametrize("route", ["images", "uploads"])
@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({}, [None]),
        ({"pages": "all"}, [{"page": 0}, {"page": 1}, {"page": 2}]),
        ({"tile": 64}, [{"box": list(box)} for box in tiles(*picture("cat", 80).size, 64)]),
    ],
    ids=["as usual", "pages", "tiles"],
)
def test_an_upload_can_be_cut_into_tiles_and_pages_and_its_parts_opened_at_full_size(
    client, workspace, begun, put, route, options, parts
):
    job = options_of(client, begun, put, route, options).json()
    do_import(workspace)

    assert {key: job["params"][key] for key in job["params"] if key in ("tile", "pages")} == options
    items = client.get("/v1/collections/photos/images", params={"sort": "oldest"}).json()["items"]
    assert [item["part"] for item in items] == parts
    original = client.get(f"/v1/images/{items[-1]['id']}/original")
    assert original.status_code == 200
    assert not client.get("/v1/jobs").json()["items"][-1]["result"]["refused"]


@pytest.mark.parametrize("route", ["images", "uploads", "imports"])
@pytest.mark.parametrize("options", [{"tile": 5}, {"tile": -1}, {"tile": 8193}, {"pages": "some"}])
def test_options_have_the_same_bounds_everywhere(client, begun, put, folder, monkeypatch, route, options):
    monkeypatch.setenv("HOME", str(folder))
    if route == "imports":
        answer = client.post("/v1/collections/photos/imports", json={"path": str(folder), **options})
    else:
        answer = options_of(client, begun, put, route, options)

    assert (answer.status_code, answer.json()["error"]) == (422, "BadInput")
    assert client.get("/v1/jobs").json()["total"] == 0


def test_finishing_twice_makes_one_job_and_gives_it_again_also_when_it_is_done(client, workspace, begun, put):
    put("cat.jpg", jpeg("cat"))

    with ThreadPoolExecutor(8) as many:
        answers = list(many.map(lambda _: client.post(f"/v1/uploads/{begun}/finish"), range(8)))
    do_import(workspace)
    again = client.post(f"/v1/uploads/{begun}/finish")

    assert {answer.status_code for answer in (*answers, again)} == {202}
    assert len({answer.json()["id"] for answer in (*answers, again)}) == 1
    assert again.json()["state"] == "succeeded"


def test_an_upload_that_was_closed_just_before_the_power_went_is_imported_when_asked_again(client, begun, put):
    put("cat.jpg", jpeg("cat"))
    client.app.state.uploads.finish(begun)

    job = client.post(f"/v1/uploads/{begun}/finish")

    assert (job.status_code, job.json()["params"]) == (202, {"upload": begun, "files": 1})


@pytest.mark.parametrize("route", ["images", "uploads"])
def test_an_import_that_failed_keeps_its_upload_and_can_be_tried_again(
    client, workspace, begun, put, monkeypatch, route
):
    put("cat.jpg", jpeg("cat"))
    if route == "images":
        sent = client.post("/v1/collections/photos/images", files={"files": ("cat.jpg", jpeg("cat"))}).json()
        begun = sent["params"]["upload"]
    else:
        client.post(f"/v1/uploads/{begun}/finish")
    monkeypatch.setattr(worker, "scan_upload", lambda folder: (_ for _ in ()).throw(OSError(28, "No space", "x")))
    do_import(workspace)
    monkeypatch.undo()

    again = client.post(f"/v1/uploads/{begun}/finish").json()
    do_import(workspace)

    states = [job["state"] for job in client.get("/v1/jobs").json()["items"] if job["kind"] == "import"]
    assert states == ["succeeded", "failed"]
    assert client.get(f"/v1/jobs/{again['id']}").json()["result"]["added_total"] == 1
    assert not workspace.home.upload(begun).exists()


@pytest.mark.promise(7)
def test_a_slide_of_which_the_original_cannot_be_kept_stays_in_its_upload(client, workspace, begun, put):
    put("slide.tif", encoded(picture("cat", 64), "TIFF"))
    client.post(f"/v1/uploads/{begun}/finish", json={"tile": 32})
    [sent] = (path for path in workspace.home.upload(begun).iterdir() if not path.suffix)
    os.truncate(sent, MAX_FILE_BYTES + 1)  # only by its tiles does it fit into memory
    originals = workspace.home.root / "originals"
    originals.write_bytes(b"")  # in the way of the folder

    do_import(workspace)
    kept = sent.exists()
    originals.unlink()
    again = client.post(f"/v1/uploads/{begun}/finish").json()  # as it was asked for before
    do_import(workspace)

    states = [job["state"] for job in client.get("/v1/jobs").json()["items"] if job["kind"] == "import"]
    result = client.get(f"/v1/jobs/{again['id']}").json()["result"]
    assert (kept, states) == (True, ["succeeded", "failed"])
    assert result["refused"] == []
    assert result["added_total"] > 1


def test_a_file_can_be_left_out_of_a_batch(client, workspace, begun, put):
    put("cat.jpg", jpeg("cat"))
    put("gone.jpg", jpeg("coffee")[:100], size=5000)

    left = client.delete(f"/v1/uploads/{begun}/file", params={"name": "gone.jpg"})
    client.post(f"/v1/uploads/{begun}/finish")
    do_import(workspace)

    assert left.status_code == 204
    assert client.get("/v1/collections/photos/images").json()["total"] == 1


def test_what_is_left_out_while_somebody_asks_what_has_arrived_is_not_there(client, begun, put):
    uploads_ = client.app.state.uploads
    names = [f"{number}.jpg" for number in range(100)]
    for name in names:
        put(name, b"x" * 100, size=200)

    def leave_all_out() -> None:
        for name in names:
            uploads_.leave_out(begun, name)

    counts = [len(names)]
    with ThreadPoolExecutor(1) as other:
        going = other.submit(leave_all_out)
        while not going.done():
            counts.append(len(uploads_.arrived(begun)))
        going.result()

    assert counts == sorted(counts, reverse=True)
    assert uploads_.arrived(begun) == []


@pytest.mark.promise(27)
@pytest.mark.parametrize("what", ["finish", "drop"])
def test_a_batch_that_is_finished_or_dropped_while_a_file_arrives_loses_none_in_silence(client, begun, put, what):
    """Finishing waits its turn; of what was dropped the sender hears."""
    uploads_ = client.app.state.uploads
    put("cat.jpg", jpeg("cat"))
    answers = []

    async def slow():
        yield b"x" * 5000
        call = client.post if what == "finish" else client.delete
        path = f"/v1/uploads/{begun}" + ("/finish" if what == "finish" else "")
        with ThreadPoolExecutor(1) as other:
            answers.append(other.submit(call, path).result())
        yield b"y" * 4000

    with ThreadPoolExecutor(1) as own:
        sent = own.submit(asyncio.run, uploads_.receive(begun, "a.zip", 9000, 0, slow()))
        problem = sent.exception()

    if what == "finish":
        assert (answers[0].status_code, problem) == (409, None)
        assert client.post(f"/v1/uploads/{begun}/finish").json()["params"]["files"] == 2
    else:
        assert answers[0].status_code == 204
        assert isinstance(problem, uploads.NoSuchUpload)


def test_what_a_kill_left_of_an_upload_goes_after_a_week_but_not_what_waits_for_its_import(client, workspace, begun):
    waiting = client.post("/v1/collections/photos/images", files={"files": ("cat.jpg", jpeg())}).json()
    half = workspace.home.upload("0" * 32)
    half.mkdir()
    (half / "000000").write_bytes(b"half of a request")
    kept = workspace.home.upload(waiting["params"]["upload"])
    for path in (*half.iterdir(), *kept.iterdir(), half, kept):
        os.utime(path, (1, 1))

    client.post("/v1/collections/photos/uploads")

    assert not half.exists()
    assert kept.exists()


def test_a_job_lists_a_thousand_refused_files_with_reasons_that_have_names_and_says_how_many_there_were(
    client, workspace, begun, put
):
    put("many.zip", zipped(**{f"{n:05}.jpg": b"no picture" for n in range(LISTED + 5)}))
    job = client.post(f"/v1/uploads/{begun}/finish").json()

    do_import(workspace)

    result = client.get(f"/v1/jobs/{job['id']}").json()["result"]
    assert (result["refused_total"], len(result["refused"])) == (LISTED + 5, LISTED)
    assert result["refused"][0]["reason"].startswith("not a picture in a format we read")
    assert result["refused"][0]["said"]["name"] == "no_picture"


def test_a_refusal_has_a_name_and_values_beside_its_sentence(client, begun, put):
    client.app.state.uploads.most_per_file = 1 << 20

    answer = put("large.zip", b"", size=2 << 20).json()

    assert answer["detail"] == "'large.zip' is larger than 1 MB (LIKENESS_MAX_UPLOAD_MB)."
    assert answer["said"] == {"name": "large_upload", "values": {"file": "'large.zip'", "n": 1}}
    assert json.dumps(answer)


def test_a_batch_takes_so_many_files_and_no_more(client, begun, put, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_FILES", 2)

    statuses = [put(name, b"x").status_code for name in ("a.jpg", "b.jpg", "a.jpg", "c.jpg")]

    assert statuses == [200, 200, 200, 422]


def test_an_upload_whose_job_cannot_be_put_in_line_leaves_nothing(client, workspace, begun, monkeypatch):
    client.delete(f"/v1/uploads/{begun}")
    monkeypatch.setattr(jobs, "create", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))

    answer = client.post("/v1/collections/photos/images", files={"files": ("cat.jpg", jpeg())})

    assert answer.status_code == 507
    assert list(workspace.home.upload("").iterdir()) == []


def test_what_was_sent_to_a_collection_goes_with_it(client, workspace, begun, put):
    put("cat.jpg", jpeg("cat"))
    client.post("/v1/collections/photos/images", files={"files": ("cat.jpg", jpeg())})
    client.post("/v1/collections", json={"name": "other"})
    kept = client.post("/v1/collections/other/uploads").json()["upload"]

    client.delete("/v1/collections/photos")

    assert [folder.name for folder in workspace.home.upload("").iterdir()] == [kept]
    assert client.post(f"/v1/uploads/{begun}/finish").status_code == 404


@pytest.mark.promise(26)
def test_while_the_many_files_of_one_batch_are_read_others_arrive(client, begun, put, monkeypatch):
    uploads_ = client.app.state.uploads
    other = client.post("/v1/collections/photos/uploads").json()["upload"]
    put("a.jpg", b"a")
    arrived, reading, answered, in_time = uploads_.arrived, threading.Event(), threading.Event(), []

    def slow(batch):
        reading.set()
        in_time.append(answered.wait(10))
        return arrived(batch)

    monkeypatch.setattr(uploads_, "arrived", slow)
    with ThreadPoolExecutor(1) as own:
        waiting = own.submit(put, "x.jpg", b"x", upload=other)
        reading.wait()
        others = put("b.jpg", b"b")
        answered.set()

    assert (waiting.result().status_code, others.status_code) == (200, 200)
    assert in_time == [True]


@pytest.mark.parametrize("gone", ["folder", "file"])
def test_a_batch_that_changes_while_old_ones_are_looked_for_hinders_no_other(client, workspace, begun, put, gone):
    put("cat.jpg", jpeg())
    folder = workspace.home.upload(begun)
    photos = collection_named(workspace.engine, "photos")

    class Waiting(set):
        def __contains__(self, batch):  # asked just before the folder is looked into
            shutil.rmtree(folder)
            if gone == "file":
                folder.mkdir()
                (folder / "half").symlink_to("moved away")
            return False

    batch = client.app.state.uploads.begin(photos, Waiting())

    assert client.get(f"/v1/uploads/{batch}").status_code == 200


def test_a_batch_that_goes_while_those_of_a_collection_are_looked_for_hinders_nothing(
    client, workspace, begun, monkeypatch
):
    read = Path.read_bytes

    def late(path):
        shutil.rmtree(path.parent)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", late)

    client.app.state.uploads.drop_of(collection_named(workspace.engine, "photos"))

    assert list(workspace.home.upload("").iterdir()) == []
