"""Collections: list, make, change, delete."""

from __future__ import annotations

from ui.answers import Collection, Job
from ui.calls.connection import Connection


class Collections(Connection):
    """Named sets of pictures."""

    def ready(self) -> bool:
        """True when the server can work; ApiError says why not."""
        return bool(self._call("GET", "/v1/ready")["ready"])

    def collections(self) -> list[Collection]:
        """Every collection."""
        return list(self._pages("/v1/collections"))

    def collection(self, collection: str) -> Collection:
        """One collection with its counts and its next step."""
        return self._call("GET", self._of(collection))

    def create_collection(self, name: str) -> Collection:
        """Make an empty collection; ApiError "CollectionExists" when there is one of that name."""
        return self._call("POST", "/v1/collections", json={"name": name})

    def change_collection(self, collection: str, **changes: str | None) -> Collection:
        """Change `name`, `preset` or `active_model`."""
        return self._call("PATCH", self._of(collection), json=changes)

    def delete_collection(self, collection: str) -> None:
        """Delete a collection with its labels. Files in your own folders are never touched."""
        self._call("DELETE", self._of(collection))

    def open_demo(self) -> Job:
        """Import the pictures that come with Likeness into the collection "demo"."""
        return self._call("POST", "/v1/demo")
