"""Search: what is like this, and not like that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ui.answers import Found
from ui.calls.connection import Connection, Filter


class Searches(Connection):
    """Searching a collection."""

    def search(
        self,
        collection: str,
        positive: Sequence[int | str],
        negative: Sequence[int | str] = (),
        limit: int = 60,
        offset: int = 0,
        filter: Filter | None = None,
    ) -> Found:
        """The pictures most like `positive` and least like `negative`: image ids or query ids."""
        body = {"positive": list(positive), "negative": list(negative), "limit": limit, "offset": offset}
        return self._call("POST", self._of(collection, "search"), json={**body, "filter": dict(filter or {})})

    def query(self, collection: str, path: str | Path) -> str:
        """Make a query from a picture of your own, to search with; it is not added to the collection."""
        with open(path, "rb") as file:
            parts = {"file": (Path(path).name, file)}
            return self._call("POST", self._of(collection, "queries"), files=parts)["query_id"]

    def search_file(self, collection: str, path: str | Path, limit: int = 60) -> Found:
        """The pictures most like a file of your own."""
        return self.search(collection, [self.query(collection, path)], limit=limit)
