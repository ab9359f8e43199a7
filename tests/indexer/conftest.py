from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from indexer.catalog import Collection, create_collection, open_catalog
from indexer.home import Home
from indexer.importer import ImportResult, import_sources
from indexer.labels import current_labels
from indexer.sources import scan
from model.encoder import Encoder, open_encoder
from tests.indexer.helpers import fill, small_model
from tests.pictures import write_folders


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def engine(home, database) -> Iterator[Engine]:
    engine = open_catalog(home, database)
    yield engine
    engine.dispose()


@pytest.fixture
def photos(engine) -> Collection:
    return create_collection(engine, "photos")


@pytest.fixture
def bring(engine, home, photos) -> Callable[..., ImportResult]:
    """Import paths into `photos`."""

    def run(*paths: Path, into: Collection = photos, **options) -> ImportResult:
        return import_sources(engine, home, into, scan(paths), workers=2, **options)

    return run


@pytest.fixture
def folder(tmp_path) -> Path:
    """Six pictures of three subjects, in a folder each."""
    write_folders(tmp_path / "trip", ("cat", "coffee", "rocket"), 2)
    return tmp_path / "trip"


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    return small_model(tmp_path_factory.getbasetemp() / "models")


@pytest.fixture(scope="session")
def encoder(model_folder) -> Encoder:
    return open_encoder(model_folder, "cpu", threads=2)


@pytest.fixture
def ids(engine, photos) -> list[int]:
    return fill(engine, photos, 6)


@pytest.fixture
def answers(engine, photos):
    """What stands now: image id → {class: answer}."""

    def read() -> dict[int, dict[str, str]]:
        found: dict[int, dict[str, str]] = {}
        for item in current_labels(engine, photos):
            found.setdefault(item.image_id, {})[item.class_name] = item.answer
        return found

    return read
