"""The faults happen to the same home, collection and model as in the indexer's other tests."""

from collections.abc import Iterator

import pytest

from tests.faults.kill import Child
from tests.indexer.conftest import bring, encoder, engine, folder, home, ids, model_folder, photos

__all__ = ["bring", "encoder", "engine", "folder", "home", "ids", "model_folder", "photos"]


@pytest.fixture(autouse=True)
def kills_survived(record_property) -> Iterator[None]:
    """How many kills a test has lived through is a figure of its promise."""
    before = Child.kills
    yield
    if Child.kills > before:
        record_property("kills survived", Child.kills - before)
