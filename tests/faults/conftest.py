"""The faults happen to the same home, collection and model as in the indexer's other tests."""

from tests.indexer.conftest import bring, encoder, engine, folder, home, ids, model_folder, photos

__all__ = ["bring", "encoder", "engine", "folder", "home", "ids", "model_folder", "photos"]
