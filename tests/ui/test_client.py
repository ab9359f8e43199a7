"""The Python client against the real server."""

import io
import re
import zipfile
from pathlib import Path

import pytest

from tests.pictures import stack, views
from tests.ui.conftest import Site, free_port
from ui import client as module
from ui.client import ApiError, JobFailed, Likeness, Unreachable


@pytest.fixture
def likeness(site: Site) -> Likeness:
    return Likeness(site.api)


@pytest.fixture(scope="module")
def filled(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A collection of two subjects, indexed; its name holds what a URL must not."""
    name, folder = "Wald & Büsche? 50 %", tmp_path_factory.mktemp("pictures")
    paths = []
    for subject in ("grass", "coins"):
        for number, view in enumerate(views(subject, 5)):
            paths.append(folder / f"{subject}-{number}.png")
            view.save(paths[-1])
    with Likeness(site.api) as likeness:
        likeness.create_collection(name)
        likeness.wait(likeness.upload(name, paths), timeout=120)
        likeness.wait(likeness.index(name), timeout=240)
    return name


def test_every_method_of_the_example_exists() -> None:
    example = re.findall(r"likeness\.(\w+)\(", module.__doc__ or "")

    assert len(example) > 8
    assert [name for name in example if not hasattr(Likeness, name)] == []


def test_a_broken_upload_is_gone_on_with(likeness: Likeness, tmp_path: Path) -> None:
    likeness.create_collection("sent")
    paths = []
    for number, view in enumerate(views("moon", 3)):
        paths.append(tmp_path / f"{number}.png")
        view.save(paths[-1])
    upload = likeness.begin_upload("sent")
    with pytest.raises(FileNotFoundError):
        likeness.send(upload, [*paths[:2], tmp_path / "gone.png"])

    job = likeness.wait(likeness.send(upload, paths), timeout=240)

    assert job["result"] is not None
    assert job["result"]["added_total"] == 3
    assert {image["folder"] for image in likeness.images("sent")["items"]} == {""}
    (tmp_path / "stack.tif").write_bytes(stack())
    for way in (
        lambda: likeness.upload("sent", [tmp_path / "stack.tif"], pages="all"),
        lambda: likeness.send(likeness.begin_upload("sent"), [tmp_path / "stack.tif"], tile=64),
        lambda: likeness.import_path("sent", tmp_path / "stack.tif", tile=40),
    ):
        assert likeness.wait(way(), timeout=240)["result"]["added_total"] > 2
    likeness.delete_collection("sent")


def test_an_error_carries_its_status_its_name_and_one_sentence(likeness: Likeness) -> None:
    with pytest.raises(ApiError) as caught:
        likeness.collection("nowhere")

    assert (caught.value.status, caught.value.error) == (404, "NoSuchCollection")
    assert "nowhere" in str(caught.value)
    assert caught.value.request_id


def test_where_nobody_answers_the_error_names_the_address() -> None:
    port = free_port()

    with pytest.raises(Unreachable, match=f"127.0.0.1:{port}.*likeness serve"):
        Likeness(f"http://127.0.0.1:{port}").collections()


def test_a_failed_job_raises_with_the_reason(likeness: Likeness) -> None:
    likeness.create_collection("empty")

    with pytest.raises(JobFailed, match="pictures") as caught:
        likeness.wait(likeness.index("empty"), timeout=60)

    assert caught.value.job["state"] == "failed"


def test_upload_search_label_undo_and_predict(likeness: Likeness, filled: str, tmp_path: Path) -> None:
    pictures = {image["name"]: image["id"] for image in likeness.all_images(filled)}
    grass = [pictures[f"grass-{number}.png"] for number in range(5)]
    coins = [pictures[f"coins-{number}.png"] for number in range(5)]
    (tmp_path / "new.png").write_bytes(likeness.preview(grass[0]))

    found = likeness.search_file(filled, tmp_path / "new.png", limit=3)
    likeness.label(filled, grass[:4], "grass")
    likeness.label(filled, coins[:4], "coins")
    likeness.label(filled, coins[4:], "grass")
    undone = likeness.undo(filled)
    predicted = likeness.predict(filled, [tmp_path / "new.png"])

    assert found["hits"][0]["image"]["id"] == grass[0]
    assert len(found["hits"]) == 3
    assert undone["changed"] == 1
    assert likeness.image(coins[4])["class"] is None
    assert {one["name"]: one["labels"] for one in likeness.classes(filled)} == {"grass": 4, "coins": 4}
    assert predicted[0]["class"] == "grass"
    assert likeness.probe(filled)["labels"] == 8
    assert likeness.predictions(filled)["total"] == 10


def test_filters_go_into_the_address_as_the_api_reads_them(likeness: Likeness, filled: str) -> None:
    assert likeness.images(filled, filter={"text": "coins"})["total"] == 5
    assert likeness.images(filled, filter={"labelled": False, "text": "coins", "folder": None})["total"] <= 5


def test_a_zip_that_is_refused_says_why(likeness: Likeness, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("notes.txt", "not a picture")
    (tmp_path / "notes.zip").write_bytes(buffer.getvalue())
    likeness.create_collection("notes")

    job = likeness.wait(likeness.upload("notes", [tmp_path / "notes.zip"]), timeout=60)

    assert [one["name"] for one in (job["result"] or {})["refused"]] == ["notes.txt"]
