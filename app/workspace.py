"""One open installation: its settings, data folder and catalog, handed to whoever works on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from app.settings import Settings
from indexer.catalog import Collection, open_catalog
from indexer.errors import NoIndex, NoSuchModel
from indexer.home import Home
from model.errors import DamagedModel
from model.info import ModelInfo, read_info


@dataclass(frozen=True)
class Workspace:
    """What every piece of work needs. Opening it migrates the catalog."""

    settings: Settings
    home: Home
    engine: Engine

    @classmethod
    def open(cls, settings: Settings) -> Workspace:
        home = Home(settings.home)
        return cls(settings, home, open_catalog(home, settings.database_url))

    def index_folder(self, collection: Collection) -> Path:
        """Where the index by the collection's active model lies. Raises `NoIndex` where there is no such model yet."""
        return self.home.index(collection.id, active_model(collection))


def active_model(collection: Collection) -> str:
    """The fingerprint of the model that answers for a collection. Raises `NoIndex` where there is none yet."""
    if collection.active_model is None:
        raise NoIndex(f"{collection.name!r} has no index yet: import pictures, then index them.")
    return collection.active_model


def all_models(home: Home) -> list[ModelInfo]:
    """The models in the data folder, oldest first. Their folders are the truth; damaged ones are left out."""
    found = []
    for folder in home.models.glob("[!.]*") if home.models.exists() else ():
        try:
            found.append(read_info(folder))
        except DamagedModel:
            continue
    return sorted(found, key=lambda info: (info.created, info.fingerprint))


def float32_of(home: Home, info: ModelInfo) -> ModelInfo:
    """The model itself, or the float32 one that it is an int8 copy of: what can be trained, and looked into."""
    return info if info.arithmetic == "float32" else find_model(home, info.started_from)


def find_model(home: Home, name: str) -> ModelInfo:
    """The model with that fingerprint, or the only one whose fingerprint begins so."""
    fits = [info for info in all_models(home) if name and info.fingerprint.startswith(name)]
    if len(fits) != 1:
        many = "Several models begin" if fits else "There is no model that begins"
        raise NoSuchModel(f"{many} with {name!r}: `likeness models` lists them.")
    return fits[0]
