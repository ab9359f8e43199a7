import json

import pytest
from starlette.testclient import TestClient

from app.api import create_api
from app.cli import main
from app.duplicates import FILE, KNOWN
from app.settings import Settings
from app.workspace import Workspace
from tests import pictures
from tests.app.conftest import do_jobs, link_models

URL = "/v1/collections/photos/duplicates"


@pytest.fixture
def shots(client, workspace, model_folder):
    return taken(client, workspace, model_folder)


@pytest.fixture(scope="module")
def looked(tmp_path_factory, model_folder):
    """The same, looked through. A test that damages what a look left has it mended by another, for the next test."""
    home = tmp_path_factory.mktemp("looked") / "home"
    link_models(home, model_folder)
    workspace = Workspace.open(Settings(home=home, threads=1))
    with TestClient(create_api(workspace.settings), base_url="http://localhost") as client:
        taken(client, workspace, model_folder)
        client.post(URL)
        do_jobs(workspace)
        yield client, workspace
    workspace.engine.dispose()


def taken(client, workspace, model_folder):
    """A collection with a shot twice, once smaller and worse."""
    files = [(f"{name}.jpg", pictures.encoded(pictures.picture(name, 200))) for name in ("cat", "rocket", "coffee")]
    copy = ("cat small.jpg", pictures.encoded(pictures.picture("cat", 200).resize((150, 100)), quality=60))
    client.post("/v1/collections", json={"name": "photos"})
    early = client.get(URL), client.post(URL)
    client.post("/v1/collections/photos/images", files=[("files", file) for file in (*files, copy)])
    client.post("/v1/collections/photos/indexes", json={"model": model_folder.name})
    do_jobs(workspace)
    return early


def test_duplicates_are_looked_for_by_a_job_and_dismissed(client, workspace, shots):
    before = client.get(URL).json()
    job = client.post(URL)
    waiting = client.get(URL).json()
    do_jobs(workspace)
    found = client.get(URL).json()
    [members] = [item["images"] for item in found["items"]]
    said = client.post(f"{URL}/dismiss", json={"image_ids": [image["id"] for image in members]})
    after = client.get(URL).json()

    assert [(answer.status_code, answer.json()["error"]) for answer in shots] == [(409, "NoIndex")] * 2
    assert (before["looked"], before["total"], job.status_code, waiting["job"]) == (None, 0, 202, job.json()["id"])
    assert [image["name"] for image in members] == ["cat.jpg", "cat small.jpg"]
    assert (found["looked"]["images"], found["job"]) == (4, None)
    assert (found["total"], after["total"], said.json()) == (1, 0, {"dismissed": 1})
    assert client.post(f"{URL}/dismiss", json={"image_ids": [1]}).status_code == 422


def test_a_removed_picture_is_no_duplicate_any_more(client, workspace, shots):
    client.post(URL)
    do_jobs(workspace)
    [members] = [item["images"] for item in client.get(URL).json()["items"]]

    client.post("/v1/collections/photos/images/remove", json={"image_ids": [members[1]["id"]]})

    assert client.get(URL).json()["total"] == 0


def test_the_command_lists_groups_and_remembers_what_is_none(settings, shots, capsys):
    home = ["--home", str(settings.home), "--json"]

    first = main(["duplicates", *home]), json.loads(capsys.readouterr().out)
    [rows] = first[1]["groups"]
    told = main(["duplicates", *home, *(f"--not={row['id']}" for row in rows)]), json.loads(capsys.readouterr().out)
    second = main(["duplicates", *home]), json.loads(capsys.readouterr().out)

    assert (first[0], told, second[0], second[1]["groups"]) == (0, (0, {"dismissed": 1}), 0, [])
    assert [row["path"] for row in rows] == ["cat.jpg", "cat small.jpg"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:-9],
        lambda whole: b"\xff\xfe\0" + whole,
        lambda whole: b"[1, 2]",
        lambda whole: b'{"pairs": []}',
        lambda whole: b'{"at": "now", "images": 4}',
        lambda whole: b'{"at": 5, "images": "many", "pairs": []}',
        lambda whole: whole.replace(b'"pairs": [[', b'"pairs": [[1e999, 2], ['),
        lambda whole: whole.replace(b'"pairs": [[', b'"pairs": [[1, 2, 3], ['),
        lambda whole: b"[" * 100_000,
    ],
    ids=[
        "empty",
        "truncated",
        "no text",
        "a list",
        "without a date",
        "without pairs",
        "other types",
        "infinite",
        "triples",
        "nested",
    ],
)
def test_a_damaged_list_of_duplicates_is_as_if_nobody_had_looked_and_a_look_mends_it(looked, damage):
    client, workspace = looked
    whole = client.get(URL).json()
    assert whole["total"] == 1
    [file] = workspace.home.root.rglob(FILE)

    file.write_bytes(damage(file.read_bytes()))
    damaged = client.get(URL)
    client.post(URL)
    do_jobs(workspace)

    assert (damaged.status_code, damaged.json()["looked"], damaged.json()["items"]) == (200, None, [])
    mended = client.get(URL).json()
    assert mended["looked"] is not None
    assert mended["items"] == whole["items"]


def test_a_later_look_keeps_what_was_found_and_adds_what_came(client, workspace, shots):
    client.post(URL)
    do_jobs(workspace)
    rocket = pictures.picture("rocket", 200)
    corner = rocket.crop((rocket.width // 4, 0, rocket.width, round(0.75 * rocket.height)))
    client.post("/v1/collections/photos/images", files=[("files", ("corner.jpg", pictures.encoded(corner)))])
    do_jobs(workspace)
    before = client.get(URL).json()
    client.post(URL)
    do_jobs(workspace)

    after = client.get(URL).json()

    groups = [[image["name"] for image in item["images"]] for item in after["items"]]
    assert (before["total"], before["looked"]["images"], after["looked"]["images"]) == (1, 4, 5)
    assert sorted(groups) == [["cat.jpg", "cat small.jpg"], ["rocket.jpg", "corner.jpg"]]


@pytest.mark.parametrize(
    "damage", [lambda whole: b"", lambda whole: whole[:-9], lambda whole: whole[:200] + b"?" + whole[201:], None]
)
def test_where_what_was_looked_at_is_damaged_everything_is_looked_at_again(looked, damage):
    client, workspace = looked
    [_] = whole = client.get(URL).json()["items"]
    [file] = workspace.home.root.rglob(KNOWN)
    good = file.read_bytes()
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage(good))

    client.post(URL)
    do_jobs(workspace)

    assert client.get(URL).json()["items"] == whole
    assert len(file.read_bytes()) == len(good)
