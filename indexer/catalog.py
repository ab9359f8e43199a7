"""The durable truth: opening, checking and migrating the catalog, and the collections in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, bindparam, create_engine, event, func, inspect, select, text
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError

from indexer.errors import Busy, CollectionExists, DamagedCatalog, NewerCatalog, NoSuchCollection, UnusableDatabase
from indexer.home import Home
from indexer.schema import collections, images, now
from model.errors import BadInput
from model.progress import Line

SCHEMA_VERSION = "0014"  # the newest migration below indexer/migrations/versions
NAME = re.compile(r"[^\x00-\x1f/\\]{1,80}")
# Every request asks this first. Made once: putting a statement together takes longer than SQLite takes to answer it.
_NAMED = select(collections).where(collections.c.name == bindparam("name"))
_counted: WeakKeyDictionary[Engine, dict[int, tuple[int, int]]] = WeakKeyDictionary()  # id → (revision, images)


@dataclass(frozen=True)
class Collection:
    """A named set of images with its own classes, labels, active model and indexes."""

    id: int
    name: str
    preset: str
    active_model: str | None
    revision: int
    created_at: str
    multi_label: bool = False  # an image may have several classes, each with a yes or a no of its own


def open_catalog(home: Home, url: str | None = None) -> Engine:
    """Open the catalog, make or migrate it, and refuse one that is damaged or from a newer Likeness."""
    if url is None:
        home.root.mkdir(parents=True, exist_ok=True)
        if home.catalog.exists() and home.catalog.stat().st_size == 0 and home.previews.exists():
            raise _damaged(home, "it is empty, and there are previews of its pictures")
        url = f"sqlite:///{home.catalog}"
    engine = _engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
    try:
        if engine.dialect.name == "sqlite":
            with _alone(home):
                _migrate(engine)
                with engine.connect() as connection:  # kept in the file; only now, for a refused one stays as it is
                    connection.execute(text("PRAGMA journal_mode = WAL"))
        else:
            _migrate(engine)
    except DatabaseError as error:
        engine.dispose()
        if engine.dialect.name != "sqlite":
            raise UnusableDatabase(
                f"The database {engine.url.render_as_string()} cannot be used ({str(error.orig).strip()}): "
                "see that it runs, and that LIKENESS_DATABASE_URL is right."
            ) from error
        raise _damaged(home, error.orig) from error
    except Timeout as error:
        engine.dispose()
        raise Busy(f"Another process has been opening {home.catalog} for a minute: wait for it, or stop it.") from error
    return engine


def _engine(url: str) -> Engine:
    """An engine for any number of threads; raises `BadInput` for a URL that names no database we know."""
    scheme, separator, rest = url.partition("://")
    if scheme.partition("+")[0] not in ("sqlite", "postgres", "postgresql") or not separator:
        raise BadInput("LIKENESS_DATABASE_URL names no database that we know: write postgresql://USER@HOST/NAME.")
    if scheme in ("postgres", "postgresql"):  # as everybody writes it: the driver is ours to choose
        url = f"postgresql+psycopg://{rest}"
    try:
        return create_engine(url, pool_size=20, max_overflow=30, pool_pre_ping=scheme != "sqlite")
    except (ArgumentError, ImportError, ValueError) as error:
        raise BadInput(f"LIKENESS_DATABASE_URL cannot be used ({error}).") from error


def _damaged(home: Home, reason: object) -> DamagedCatalog:
    return DamagedCatalog(
        f"{home.catalog} cannot be read as a catalog ({reason}). It was left as it is: "
        "restore a backup in its place, or move it away to start an empty one."
    )


def _alone(home: Home) -> FileLock:
    """Held while a catalog is opened: SQLite does not wait for others before it changes the kind of its journal."""
    path = home.root / "locks" / "catalog.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, timeout=60)


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA busy_timeout = 30000")
    connection.execute("PRAGMA synchronous = FULL")  # what was answered with success survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")


def _migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            problem = connection.execute(text("PRAGMA quick_check(1)")).scalar()
            if problem != "ok":
                raise DatabaseError("quick_check", None, ValueError(problem))
        found = None
        if inspect(connection).has_table("alembic_version"):
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found == SCHEMA_VERSION:
        return
    if found is not None and found > SCHEMA_VERSION:
        raise NewerCatalog(
            f"The catalog is of version {found} and this Likeness knows versions up to {SCHEMA_VERSION}: "
            "start the newer Likeness. The catalog was left as it is."
        )
    from alembic import command  # 0.6 s to import, and needed once per version
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text("BEGIN IMMEDIATE"))  # two processes starting together migrate once
        else:
            connection.execute(text("SELECT pg_advisory_xact_lock(7238465)"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def create_collection(engine: Engine, name: str, preset: str = "photo", multi_label: bool = False) -> Collection:
    check_name(name)
    values = {"name": name, "preset": preset, "revision": 0, "created_at": now(), "multi_label": multi_label}
    try:
        with engine.begin() as connection:
            connection.execute(collections.insert().values(**values))
    except IntegrityError as error:
        raise CollectionExists(f"There is a collection {name!r} already: choose another name.") from error
    return collection_named(engine, name)


def check_name(name: str) -> None:
    """Raise BadInput for what cannot name a collection."""
    if not NAME.fullmatch(name) or name.strip() != name or name in (".", ".."):
        words = "{what} cannot name a collection: use 1 to 80 characters without slashes or line breaks."
        raise BadInput(Line("bad_name", words, what=repr(name)))


def collection_named(engine: Engine, name: str) -> Collection:
    with engine.connect() as connection:
        row = connection.execute(_NAMED, {"name": name}).mappings().first()
    if row is None:
        raise NoSuchCollection(f"There is no collection {name!r}: import pictures into it first, or check the name.")
    return Collection(**row)


def collection_with_id(engine: Engine, collection_id: int) -> Collection:
    with engine.connect() as connection:
        row = connection.execute(select(collections).where(collections.c.id == collection_id)).mappings().first()
    if row is None:
        raise NoSuchCollection("The collection was deleted.")
    return Collection(**row)


def ensure_collection(engine: Engine, name: str) -> Collection:
    """The collection of that name, made when there is none."""
    try:
        return collection_named(engine, name)
    except NoSuchCollection:
        try:
            return create_collection(engine, name)
        except CollectionExists:  # another process was quicker
            return collection_named(engine, name)


def all_collections(engine: Engine) -> list[Collection]:
    with engine.connect() as connection:
        rows = connection.execute(select(collections).order_by(collections.c.name)).mappings().all()
    return [Collection(**row) for row in rows]


def update_collection(engine: Engine, collection: Collection, changes: Mapping[str, str | None]) -> Collection:
    """Change `name`, `preset` or `active_model`: one write."""
    if (new_name := changes.get("name")) is not None:
        check_name(new_name)
    if changes:
        try:
            with engine.begin() as connection:
                connection.execute(collections.update().where(collections.c.id == collection.id).values(**changes))
        except IntegrityError as error:
            raise CollectionExists(f"There is a collection {new_name!r} already: choose another name.") from error
    return collection_with_id(engine, collection.id)


def delete_collection(engine: Engine, collection: Collection) -> None:
    """Forget a collection, its images, labels and jobs. Files in the user's folders stay as they are."""
    with engine.begin() as connection:
        connection.execute(collections.delete().where(collections.c.id == collection.id))


# Of an image that is written: the revision of its collection now.
REVISION = select(collections.c.revision).where(collections.c.id == images.c.collection_id).scalar_subquery()


def touch(connection: Connection, collection_id: int) -> None:
    """Say that images came, went or moved. First in a transaction, so that what it writes can name the new revision."""
    connection.execute(
        collections.update().where(collections.c.id == collection_id).values(revision=collections.c.revision + 1)
    )


def count_images(engine: Engine, collection: Collection) -> int:
    """How many images are in the collection now; counted anew only after some came or went."""
    held = _counted.setdefault(engine, {})
    with engine.connect() as connection:
        query = select(collections.c.revision).where(collections.c.id == collection.id)
        revision = connection.execute(query).scalar() or 0  # before counting: what comes in between is counted again
        known = held.get(collection.id)
        if known is None or known[0] != revision:
            counting = select(func.count()).select_from(images).where(visible(collection.id))
            known = held[collection.id] = (revision, int(connection.execute(counting).scalar_one()))
    return known[1]


def has_images(engine: Engine, collection: Collection) -> bool:
    with engine.connect() as connection:
        return connection.execute(select(images.c.id).where(visible(collection.id)).limit(1)).first() is not None


def visible(collection_id: int) -> Any:
    """The condition for an image to be in the collection now."""
    return (images.c.collection_id == collection_id) & images.c.removed_at.is_(None) & images.c.absent_at.is_(None)


def lock_writes(connection: Connection) -> None:
    """Be the only writer of the journal until this transaction ends: reading, then appending, must not interleave."""
    if connection.dialect.name == "sqlite":
        connection.execute(text("UPDATE alembic_version SET version_num = version_num"))  # takes SQLite's write lock
    else:
        connection.execute(text("LOCK TABLE actions IN EXCLUSIVE MODE"))
