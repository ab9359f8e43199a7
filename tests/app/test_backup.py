"""A backup is made while the program is in use, and restored it answers as the original does."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.api import create_api
from app.cli import main
from app.settings import Settings
from indexer.backup import MANIFEST, back_up, restore
from indexer.catalog import collection_named, open_catalog
from indexer.home import Home
from indexer.images import contents_of
from indexer.importer import import_sources
from indexer.labels import label
from indexer.removal import remove
from indexer.sources import scan
from model.errors import BadInput, Cancelled
from tests.pictures import write_folders

RELEASED = Path(__file__).parent.parent / "homes" / "0.1.0"


@pytest.fixture
def home(tmp_path) -> Home:
    shutil.copytree(RELEASED, tmp_path / "home")
    open_catalog(Home(tmp_path / "home")).dispose()  # migrated
    return Home(tmp_path / "home")


def answers(home: Home) -> dict:
    """What a program gets from it: search results, labels, predictions, a preview and an original."""
    with TestClient(create_api(Settings(home=home.root, threads=1)), base_url="http://localhost") as client:
        photos = "/v1/collections/photos"
        client.get(f"{photos}/probe")  # waits for cross-validation, which predictions follow
        return {
            "hits": client.post(f"{photos}/search", json={"positive": [1]}).json()["hits"],
            "labels": client.get(f"{photos}/labels").json(),
            "predictions": client.get(f"{photos}/predictions").json(),
            "preview": client.get("/v1/images/2/preview").content,
            "original": client.get("/v1/images/2/original").content,
            "ready": client.get("/v1/ready").status_code,
        }


def test_a_restored_home_answers_as_the_one_that_was_backed_up(home, tmp_path):
    back_up(home, tmp_path / "backup", "0.1.0")
    restore(tmp_path / "backup", Home(tmp_path / "elsewhere"))

    assert answers(Home(tmp_path / "elsewhere")) == answers(home)
    assert not (tmp_path / "elsewhere" / "restoring").exists()


def test_what_is_added_and_removed_while_the_backup_runs_leaves_it_whole(home, tmp_path):
    engine = open_catalog(home)
    photos = collection_named(engine, "photos")
    write_folders(tmp_path / "new", ["cat", "moon"], 3, size=64)
    calls = []

    def meanwhile() -> bool:
        calls.append(1)
        if len(calls) == 12:  # in the middle of the first pass over the files
            import_sources(engine, home, photos, scan([tmp_path / "new"]), workers=1)
            remove(engine, home, photos, [3, 8])
            label(engine, photos, [4], "cat", "yes", "hand")
        return False

    back_up(home, tmp_path / "backup", "0.1.0", stop=meanwhile)
    other = Home(tmp_path / "elsewhere")
    restore(tmp_path / "backup", other)

    restored = open_catalog(other)
    rows = contents_of(restored, collection_named(restored, "photos"))
    assert len(calls) > 12
    assert len(rows) == 8 - 2 + 6
    assert all(other.preview(sha256, suffix).exists() for _, sha256, suffix in rows)
    assert answers(other)["labels"] == answers(home)["labels"]


def test_an_earlier_backup_is_brought_up_to_date_by_what_is_new(home, tmp_path):
    back_up(home, tmp_path / "backup", "0.1.0")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "backup" / "previews").rglob("*.*")}
    engine = open_catalog(home)
    photos = collection_named(engine, "photos")
    write_folders(tmp_path / "new", ["moon"], 2, size=64)
    import_sources(engine, home, photos, scan([tmp_path / "new"]), workers=1)
    shutil.rmtree(next(home.models.iterdir()))

    back_up(home, tmp_path / "backup", "0.1.0")

    now = {path: path.stat().st_mtime_ns for path in (tmp_path / "backup" / "previews").rglob("*.*")}
    assert len(now) == len(kept) + 2
    assert {path: now[path] for path in kept} == kept
    assert not any((tmp_path / "backup" / "models").iterdir())


def test_a_backup_that_was_stopped_is_not_taken_for_a_whole_one_and_goes_on(home, tmp_path):
    left = [5]

    def stop() -> bool:
        left[0] -= 1
        return left[0] < 0

    with pytest.raises(Cancelled, match="the same command goes on"):
        back_up(home, tmp_path / "backup", "0.1.0", stop=stop)
    with pytest.raises(BadInput, match="no whole backup"):
        restore(tmp_path / "backup", Home(tmp_path / "elsewhere"))

    back_up(home, tmp_path / "backup", "0.1.0")
    left[0] = 5
    with pytest.raises(Cancelled):
        restore(tmp_path / "backup", Home(tmp_path / "elsewhere"), stop=stop)
    restore(tmp_path / "backup", Home(tmp_path / "elsewhere"))
    assert answers(Home(tmp_path / "elsewhere")) == answers(home)


def test_a_backup_whose_catalog_is_damaged_is_refused(home, tmp_path):
    back_up(home, tmp_path / "backup", "0.1.0")
    with open(tmp_path / "backup" / "catalog.db", "r+b") as file:
        file.seek(5000)
        file.write(b"garbage")

    with pytest.raises(BadInput, match="this backup is damaged"):
        restore(tmp_path / "backup", Home(tmp_path / "elsewhere"))
    assert not (tmp_path / "elsewhere").exists()


def test_nothing_is_overwritten(home, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Dear")

    with pytest.raises(BadInput, match="holds something else"):
        back_up(home, tmp_path / "letters", "0.1.0")
    with pytest.raises(BadInput, match="lies in the data folder"):
        back_up(home, home.root / "backup", "0.1.0")
    back_up(home, tmp_path / "backup", "0.1.0")
    with pytest.raises(BadInput, match="is not empty"):
        restore(tmp_path / "backup", Home(tmp_path / "letters"))
    with pytest.raises(BadInput, match="no whole backup"):
        restore(tmp_path / "letters", Home(tmp_path / "elsewhere"))
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["dear.txt"]


def test_the_commands_back_up_and_restore(home, tmp_path, capsys):
    backed_up = main(["backup", str(tmp_path / "backup"), "--home", str(home.root), "--json"])
    said = json.loads(capsys.readouterr().out)
    restored = main(["restore", str(tmp_path / "backup"), "--home", str(tmp_path / "elsewhere"), "--json"])

    assert (backed_up, restored) == (0, 0)
    assert said == json.loads((tmp_path / "backup" / MANIFEST).read_text()) == json.loads(capsys.readouterr().out)
    with sqlite3.connect(tmp_path / "elsewhere" / "catalog.db") as connection:
        assert connection.execute("SELECT count(*) FROM images").fetchone() == (8,)
    assert main(["backup", str(home.root / "inside"), "--home", str(home.root)]) == 1
