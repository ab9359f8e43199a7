"""What comes in, by path or upload, can be searched while the rest of it still comes in."""

import pytest

from app import arriving, work, worker
from indexer import importer
from indexer.errors import DamagedCatalog
from tests.app.conftest import EACH, SUBJECTS, do_jobs

TOTAL = len(SUBJECTS) * EACH


@pytest.fixture
def early(monkeypatch):
    """Small steps for a small folder."""
    monkeypatch.setattr(importer, "BATCH", 4)
    monkeypatch.setattr(arriving, "FIRST", 4)
    monkeypatch.setattr(arriving, "THEN", 2)


def start(client, folder, by: str = "path") -> int:
    client.post("/v1/collections", json={"name": "photos"})
    if by == "upload":
        files = [("files", (f"{path.parent.name}/{path.name}", path.read_bytes())) for path in folder.rglob("*.jpg")]
        return client.post("/v1/collections/photos/images", files=files).json()["id"]
    return client.post("/v1/collections/photos/imports", json={"path": str(folder)}).json()["id"]


@pytest.mark.parametrize("by", ["path", "upload"])
def test_what_has_come_in_can_be_searched_before_the_rest_has(client, workspace, folder, early, monkeypatch, by):
    seen, said = [], []
    index, progress = work.index, worker._Watch.progress

    def indexing(*args, **given):
        result = index(*args, **given)
        images = client.get("/v1/collections/photos/images", params={"limit": 1}).json()
        hits = client.post("/v1/collections/photos/search", json={"positive": [images["items"][0]["id"]]}).json()
        seen.append((images["total"], result["indexed"], hits["total"]))
        return result

    monkeypatch.setattr(work, "index", indexing)
    monkeypatch.setattr(
        worker._Watch,
        "progress",
        lambda self, share, text: (said.append(text), progress(self, share, text)),
    )
    job = start(client, folder, by)
    do_jobs(workspace)

    totals = [total for total, _, _ in seen]
    assert totals == sorted(totals)
    assert 4 <= totals[0] < 8
    assert len(totals) >= 3
    assert totals[-1] == TOTAL  # by the job that follows an import
    assert all(total == indexed == hits + 1 for total, indexed, hits in seen)
    assert any(text.endswith(f"; {totals[0]} can be searched") for text in said)
    done = client.get(f"/v1/jobs/{job}").json()
    assert (done["state"], done["result"]["added_total"]) == ("succeeded", TOTAL)


def test_an_index_that_cannot_be_made_meanwhile_does_not_stop_the_import(client, workspace, folder, early, monkeypatch):
    index, tried = work.index, []

    def failing(*args, **given):
        tried.append(args)
        if len(tried) == 1:
            raise DamagedCatalog("no index just now")
        return index(*args, **given)

    monkeypatch.setattr(work, "index", failing)
    job = start(client, folder)
    do_jobs(workspace)

    assert client.get(f"/v1/jobs/{job}").json()["result"]["added_total"] == TOTAL
    assert client.get("/v1/collections/photos").json()["indexed"] == TOTAL


@pytest.fixture
def indexed(monkeypatch) -> list[dict]:
    """The results of every index that is made."""
    index, results = work.index, []
    monkeypatch.setattr(work, "index", lambda *a, **g: results.append(index(*a, **g)) or results[-1])
    return results


def encoded(client, job: int, indexed: list[dict]) -> int:
    imported = client.get(f"/v1/jobs/{job}").json()["result"]["encoded"]
    return imported + sum(result["encoded"] for result in indexed)


def test_each_picture_is_encoded_once(client, workspace, folder, early, indexed):
    job = start(client, folder)
    do_jobs(workspace)

    assert encoded(client, job, indexed) == TOTAL
    assert len(indexed) >= 3


def test_a_small_folder_is_indexed_once_when_all_of_it_is_there(client, workspace, folder, indexed):
    job = start(client, folder)
    do_jobs(workspace)

    assert encoded(client, job, indexed) == TOTAL
    assert [result["indexed"] for result in indexed] == [TOTAL]
