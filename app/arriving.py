"""A folder can be searched while it is imported: what has come in is indexed now and then."""

from __future__ import annotations

import logging
from collections.abc import Callable

from app import work
from app.workspace import Workspace
from indexer.catalog import Collection
from model.errors import Cancelled, LikenessError
from model.progress import Line

FIRST, THEN = 100, 10  # images after which to index, and by how much more there must be for the next time

log = logging.getLogger("likeness.arriving")


class Arriving:
    """Told of every transaction of an import. Embeds and publishes in the importing process, which waits for it.

    Nothing is done twice: vectors are kept by content, and an index is built a few times, ever more seldom.
    """

    def __init__(self, workspace: Workspace, collection: Collection, progress: work.Progress, stop: work.Stop) -> None:
        self.workspace, self.collection, self.stop = workspace, collection, stop
        self._progress, self._due, self._indexed = progress, FIRST, 0

    def progress(self, share: float, message: str) -> None:
        """The import's own progress, and how many can be searched."""
        if self._indexed:
            message = Line("arriving", "{how}; {n:,} can be searched", how=message, n=self._indexed)
        self._progress(share, message)

    def committed(self, images: int, flush: Callable[[], None]) -> None:
        """So many have come in. Raises `Cancelled` when asked to stop; whatever else goes wrong, the import goes on."""
        if images < self._due:
            return
        self._due = images * THEN
        flush()
        try:
            self._indexed = work.index(self.workspace, self.collection, stop=self.stop)["indexed"]
        except Cancelled:
            raise
        except (LikenessError, OSError) as error:  # the index job that follows says it to the person
            log.info("not indexed meanwhile: %s", error)
