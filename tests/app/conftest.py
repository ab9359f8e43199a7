"""A data folder per test, one small real model per run, the real API in-process, and the real workers' code."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from app import jobs, worker
from app.api import create_api
from app.settings import Settings
from app.workspace import Workspace
from model.checkpoint import save_model
from model.encoder import open_encoder
from model.network import starting_point
from tests import pictures

SUBJECTS = ("cat", "coffee", "rocket")
EACH = 8
SMALL = {"init": "random", "backbone": "test_resnet"}  # timm's own for tests: trained and exported in a moment


@pytest.fixture(autouse=True)
def signals_as_they_were():
    """A command in this process takes over those that stop it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """`models/<fingerprint>` with an untrained ResNet-18 at 32 px and its exported graph."""
    return untrained(tmp_path_factory.mktemp("models"), "resnet18")


def untrained(models: Path, backbone: str, seed: int = 0) -> Path:
    folder = unexported(models, backbone, seed)
    open_encoder(folder, "cpu")
    return folder


def unexported(models: Path, backbone: str, seed: int) -> Path:
    start = starting_point("random", backbone, 32, models, seed)
    return models / save_model(start.backbone, start.preparation, models, started_from="random").fingerprint


def link_models(home: Path, *folders: Path) -> None:
    (home / "models").mkdir(parents=True)
    for folder in folders:
        (home / "models" / folder.name).symlink_to(folder)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Real photographs, a folder a subject."""
    root = tmp_path_factory.mktemp("pictures") / "photos"
    pictures.write_folders(root, SUBJECTS, EACH)
    return root


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Reports are judged in tests/model; here a few draws of the labels are as good as ten."""
    monkeypatch.setattr("model.compare.DRAWS", 2)


@pytest.fixture
def settings(tmp_path, model_folder, shipped_folder, database) -> Settings:
    home = tmp_path / "home"
    link_models(home, model_folder, shipped_folder)
    return Settings(home=home, threads=1, database_url=database)


@pytest.fixture
def workspace(settings) -> Iterator[Workspace]:
    opened = Workspace.open(settings)
    yield opened
    opened.engine.dispose()


@pytest.fixture
def client(settings) -> Iterator[TestClient]:
    with TestClient(create_api(settings), base_url="http://localhost") as opened:
        yield opened


def do_jobs(workspace: Workspace) -> None:
    """What the workers do, here and now: every queued job, with the jobs it queues."""
    stopping = threading.Event()
    for lane in ("pictures", "learning", "pictures"):
        while (job := jobs.claim(workspace.engine, lane)) is not None:
            worker.do_job(workspace, job, stopping)


@pytest.fixture(scope="session")
def indexed_home(tmp_path_factory, model_folder, shipped_folder, folder) -> Path:
    """A data folder whose collection `photos` holds the subjects, indexed with the small model."""
    home = tmp_path_factory.mktemp("indexed") / "home"
    link_models(home, model_folder, shipped_folder)
    settings = Settings(home=home, threads=1)
    workspace = Workspace.open(settings)
    with TestClient(create_api(settings), base_url="http://localhost") as client:
        client.post("/v1/collections", json={"name": "photos"})
        client.post("/v1/collections/photos/imports", json={"path": str(folder)})
        client.post("/v1/collections/photos/indexes", json={"model": model_folder.name})
        do_jobs(workspace)
        assert client.get("/v1/collections/photos").json()["indexed"] == len(SUBJECTS) * EACH
    workspace.engine.dispose()
    return home


@pytest.fixture
def indexed(settings, indexed_home) -> Iterator[TestClient]:
    """The client, over a copy of `indexed_home`. Name it before `workspace`, which opens the copy."""
    shutil.copytree(indexed_home, settings.home, symlinks=True, dirs_exist_ok=True, ignore=_no_links)
    with TestClient(create_api(settings), base_url="http://localhost") as opened:
        yield opened


def _no_links(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_symlink()]


def subject_of(image: dict[str, Any]) -> str:
    return image["folder"].rpartition("/")[2]
