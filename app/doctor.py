"""What a person, or whoever helps them, needs to know about this installation."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import version
from typing import Any

from app.workspace import Workspace
from indexer.catalog import all_collections
from indexer.errors import DamagedIndex, NoIndex
from indexer.index import open_index
from model.errors import DamagedModel
from model.info import read_verified

LIBRARIES = ("torch", "torchvision", "timm", "faiss-cpu", "onnxruntime", "streamlit", "fastapi", "pillow")
LITTLE = 1 << 30  # bytes of free disk below which imports will soon fail


def examine(workspace: Workspace) -> dict[str, Any]:
    """Versions, hardware and disk, and `problems`: sentences that say what to do, none when all is well."""
    import torch

    problems = []
    home = workspace.home
    free = shutil.disk_usage(home.root).free
    if free < LITTLE:
        problems.append(f"Only {free >> 20} MB are free below {home.root}: make room before importing more.")
    for collection in all_collections(workspace.engine):
        if collection.active_model is None:
            continue
        try:
            read_verified(home.model(collection.active_model))
            open_index(home.index(collection.id, collection.active_model))
        except (DamagedIndex, NoIndex, DamagedModel) as error:
            problems.append(f"{collection.name}: {error}")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "likeness": version("likeness"),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "cores": os.cpu_count(),
        "gpu": gpu,
        "home": str(home.root),
        "free_gb": round(free / (1 << 30), 1),
        "collections": len(all_collections(workspace.engine)),
        "problems": problems,
    }
