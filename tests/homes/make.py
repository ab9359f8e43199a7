"""Make the home folder of this version: `python -m tests.homes.make`. Once per release; never made again afterwards."""

from __future__ import annotations

import sqlite3
import threading
from importlib.metadata import version
from pathlib import Path

from starlette.testclient import TestClient

from app import jobs, worker
from app.api import create_api
from app.settings import Settings
from app.workspace import Workspace
from model.checkpoint import save_model
from model.network import starting_point
from tests import pictures

SUBJECTS, EACH = ("cat", "coffee"), 4


def make(home: Path) -> None:
    """Two subjects, indexed with timm's smallest test network, five answers in the journal, one of them undone."""
    settings = Settings(home=home, threads=1)
    workspace = Workspace.open(settings)
    start = starting_point("random", "test_efficientnet", 32, workspace.home.models, seed=0)
    info = save_model(start.backbone, start.preparation, workspace.home.models, started_from="random")
    files = [
        ("files", (f"{name}/{number}.jpg", pictures.encoded(view, quality=80)))
        for name in SUBJECTS
        for number, view in enumerate(pictures.views(name, EACH, size=64))
    ]
    with TestClient(create_api(settings), base_url="http://localhost") as client:
        client.post("/v1/collections", json={"name": "photos"})
        client.post("/v1/collections/photos/images", files=files)
        client.post("/v1/collections/photos/indexes", json={"model": info.fingerprint})
        for lane in ("pictures", "pictures"):
            while (job := jobs.claim(workspace.engine, lane)) is not None:
                worker.do_job(workspace, job, threading.Event())
        labels = "/v1/collections/photos/labels"
        client.post(labels, json={"image_ids": [1, 2], "class": "cat"})
        client.post(labels, json={"image_ids": [5, 6], "class": "coffee"})
        client.post(labels, json={"image_ids": [7], "class": "tea"})
        client.post(f"{labels}/undo")
    workspace.engine.dispose()
    for cache in home.rglob("encoder.*"):
        cache.unlink()
    for database in home.rglob("*.db"):
        connection = sqlite3.connect(database)
        connection.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing left in a log beside it
        connection.close()
    for left in (*home.glob("locks/*"), home / "locks", home / "uploads"):
        left.rmdir() if left.is_dir() else left.unlink(missing_ok=True)


if __name__ == "__main__":
    make(Path(__file__).parent / version("likeness"))
