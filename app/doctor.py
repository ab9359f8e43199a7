"""What a person, or whoever helps them, needs to know about this installation."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from packaging.requirements import Requirement
from sqlalchemy import func, select

from app.jobs import LANES
from app.workspace import Workspace
from indexer.catalog import SCHEMA_VERSION, all_collections, count_images
from indexer.errors import DamagedIndex, NoIndex
from indexer.home import Home
from indexer.index import open_index
from indexer.schema import jobs
from model.errors import DamagedModel
from model.info import read_verified

LIBRARIES = ("torch", "torchvision", "timm", "faiss-cpu", "onnxruntime", "streamlit", "fastapi", "pillow")
LITTLE = 1 << 30  # bytes of free disk below which imports will soon fail


def examine(workspace: Workspace) -> dict[str, Any]:
    """Versions, hardware, disk, indexes, jobs, and `problems`: sentences that say what to do; none when all is well."""
    home, engine = workspace.home, workspace.engine
    found = all_collections(engine)
    free = shutil.disk_usage(home.root).free
    problems = [*_too_old(), *_no_space(home.root, free)]
    indexes = []
    for collection in found:
        if collection.active_model is None:
            continue
        try:
            read_verified(home.model(collection.active_model))
            said = open_index(home.index(collection.id, collection.active_model)).published.described()
        except (DamagedIndex, NoIndex, DamagedModel) as error:
            problems.append(f"{collection.name}: {error}")
            continue
        indexes.append({"collection": collection.name, "model": collection.active_model, **said})
        missing = count_images(engine, collection) - said["vectors"]
        if missing > 0:
            name = f"likeness index --collection {collection.name}"
            problems.append(f"{collection.name}: {missing:,} pictures cannot be found by search yet: run `{name}`.")
    waiting = {lane: _waiting(workspace, lane) for lane in sorted(set(LANES.values()))}
    problems += [
        f"{count:,} jobs of the lane {lane!r} wait and no worker runs: start `likeness serve`."
        for lane, count in waiting.items()
        if count and not _works(home, lane)
    ]
    return {
        "likeness": version("likeness"),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "system": platform.platform(),
        "cores": os.cpu_count(),
        **_gpu(),
        "home": str(home.root),
        "database": engine.url.render_as_string(hide_password=True) if engine.dialect.name != "sqlite" else "SQLite",
        "schema": SCHEMA_VERSION,
        "free_gb": round(free / (1 << 30), 1),
        "collections": len(found),
        "indexes": indexes,
        "waiting_jobs": waiting,
        "problems": problems,
    }


def _gpu() -> dict[str, Any]:
    import torch

    if not torch.cuda.is_available():
        return {"gpu": None}
    free, total = (round(each / (1 << 30), 1) for each in torch.cuda.mem_get_info())
    return {"gpu": torch.cuda.get_device_name(), "gpu_memory_gb": total, "gpu_memory_free_gb": free}


def _too_old() -> list[str]:
    """Installed libraries below the versions that pyproject.toml asks for: these have known vulnerabilities."""
    problems = []
    for each in requires("likeness") or []:
        need = Requirement(each)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            here = version(need.name)
        except PackageNotFoundError:
            problems.append(f"{need.name} is not installed: run scripts/setup.")
            continue
        if not need.specifier.contains(here, prereleases=True):
            problems.append(f"{need.name} is {here}, and Likeness needs {need.specifier}: run scripts/setup.")
    return problems


def _no_space(root: Path, free: int) -> list[str]:
    few = f"Only {free >> 20} MB are free below {root}: make room before importing more."
    return [few] if free < LITTLE else []


def _waiting(workspace: Workspace, lane: str) -> int:
    query = select(func.count()).select_from(jobs).where(jobs.c.state == "queued", jobs.c.lane == lane)
    with workspace.engine.connect() as connection:
        return int(connection.execute(query).scalar_one())


def _works(home: Home, lane: str) -> bool:
    """Whether a worker holds its lane's lock."""
    lock = FileLock(home.root / "locks" / f"worker.{lane}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:  # the folder of locks is not there yet
        return False
    lock.release()
    return False
