"""Whether the pictures of a collection may have several classes, each with a yes or a no of its own, or one."""

from __future__ import annotations

from sqlalchemy import Engine, select

from indexer.catalog import Collection, lock_writes, visible
from indexer.classes import note_change
from indexer.errors import SeveralClasses
from indexer.journal import allows_several, answers_of, listed, record
from indexer.schema import classes, collections, images


def allow_several(engine: Engine, collection: Collection, allowed: bool) -> None:
    """Let images have several classes, or one. Raises SeveralClasses while one has several that can be seen.

    Those that cannot be seen (a removed class, a removed image) are taken away, as an action of the journal.
    """
    with engine.begin() as connection:
        lock_writes(connection)
        if allows_several(connection, collection) == allowed:
            return
        connection.execute(collections.update().where(collections.c.id == collection.id).values(multi_label=allowed))
        note_change(connection, collection)
        if allowed:
            return
        current = answers_of(connection, collection)
        standing = (classes.c.collection_id == collection.id) & classes.c.removed_at.is_(None)
        rows = connection.execute(select(classes.c.id, classes.c.name).where(standing)).all()
        shown = {row.id: row.name for row in rows}
        present = set(connection.execute(select(images.c.id).where(visible(collection.id))).scalars())
        yes = {i: [c for c, answer in given.items() if answer == "yes"] for i, given in current.items()}
        seen = {i: [shown[c] for c in found if c in shown] for i, found in yes.items() if i in present}
        if torn := [i for i, names in seen.items() if len(names) > 1]:
            raise SeveralClasses(
                f"{len(torn):,} pictures have several classes (image {torn[0]}: {listed(seen[torn[0]])}): "
                "take all but one of each away first."
            )
        wanted = {(i, c): "none" for i, found in yes.items() for c in sorted(found, key=lambda c: c not in shown)[1:]}
        record(connection, collection, "label", wanted, current, "bulk")
