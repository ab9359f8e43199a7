"""The catalog's tables (SQLAlchemy Core). `indexer/migrations` makes them; a test holds the two against each other.

Times are ISO 8601 text in UTC, so that they sort and read the same in SQLite and PostgreSQL.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


collections = Table(
    "collections",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("preset", String, nullable=False),
    Column("active_model", String),  # a fingerprint: what searches and labels use
    Column("revision", Integer, nullable=False),  # grows whenever images come, go or move, so that caches notice
    Column("created_at", String, nullable=False),
    Column("multi_label", Boolean, nullable=False, server_default=false()),  # an image may have several classes
    sqlite_autoincrement=True,
)

PARTS = text("parent_sha256 IS NOT NULL")

contents = Table(
    "contents",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("preview_sha256", String(64), nullable=False),  # same pixels, other bytes: a tag was written into the file
    Column("preview_suffix", String(3), nullable=False),
    Column("width", Integer, nullable=False),  # of the upright original, px
    Column("height", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("format", String, nullable=False),
    Column("taken_at", String),
    Column("camera", String),
    Column("stored", Integer, nullable=False),  # 1 when `originals/` holds the bytes (uploads), 0 when a folder does
    Column("latitude", Float),  # degrees, north and east positive, as the camera wrote them
    Column("longitude", Float),
    Column("parent_sha256", String(64)),  # of a tile or a page: the file it is a part of
    Column("part", JSON),  # which part: {"page": 2} or {"box": [x0, y0, x1, y1]} in px of the upright picture
    Index("contents_by_parent", "parent_sha256", sqlite_where=PARTS, postgresql_where=PARTS),
)

LEFT = text("removed_at IS NOT NULL OR absent_at IS NOT NULL")  # of images: no longer in their collection
CHANGED = text("changed IS NOT NULL")

images = Table(
    "images",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("sha256", ForeignKey("contents.sha256"), nullable=False),
    Column("name", String, nullable=False),
    Column("folder", String, nullable=False),
    Column("added_at", String, nullable=False),
    Column("removed_at", String),  # a tombstone: removed by a person, and no later scan brings it back
    Column("absent_at", String),  # its last known path now holds something else; it returns with its bytes
    Column("changed", Integer),  # the collection's revision when it was moved, or came back
    UniqueConstraint("collection_id", "sha256"),
    Index("images_by_content", "sha256"),
    Index("images_gone", "collection_id", sqlite_where=LEFT, postgresql_where=LEFT),
    Index("images_changed", "collection_id", "changed", sqlite_where=CHANGED, postgresql_where=CHANGED),
    sqlite_autoincrement=True,  # an id is never used again
)

files = Table(
    "files",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("path", LargeBinary, nullable=False),  # the operating system's bytes: a name need not be UTF-8
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE")),  # empty when the file was refused
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("reason", String),  # why it was refused, in English
    Column("said", JSON(none_as_null=True)),  # the same by its name and values, for other languages
    Column("missing_at", String),  # a scan of its folder did not find it; it may come back
    UniqueConstraint("collection_id", "path"),
    Index("files_by_image", "image_id"),
)

distinct_pairs = Table(  # a person said of two near-duplicates that they are not
    "distinct_pairs",
    metadata,
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True),
    Column("first_id", ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),  # the smaller id
    Column("second_id", ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("created_at", String, nullable=False),
)

classes = Table(
    "classes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("name", String, nullable=False),
    Column("colour", String, nullable=False),
    Column("created_at", String, nullable=False),
    Column("removed_at", String),
    Column("kind", String, nullable=False, server_default="class"),  # class, or answer: "none of these" and "unsure"
    Column("line", Float),  # the probability from which on it is predicted, where an image may have several
    Column("place", Integer, nullable=False, server_default="0"),  # in their order: the first nine have the keys 1 to 9
    UniqueConstraint("collection_id", "name"),
)

actions = Table(
    "actions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String, nullable=False),  # label, classes, undo, redo
    Column("of_action", Integer),  # the action an undo takes back, or a redo does again
    Column("source", String, nullable=False),  # hand, suggestion, bulk, csv, folders, merge
    Column("created_at", String, nullable=False),
    Column("given_by", String),  # who said so, where that is known
    Column("hid_class", Integer),  # of a merge before these were changes: the class that it emptied and hid
    # Of classes, which an undo takes back: [{class_id, before, after}], of a merge also into which class.
    Column("changes", JSON(none_as_null=True)),
    Index("actions_by_collection", "collection_id"),
    sqlite_autoincrement=True,
)

label_events = Table(
    "label_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("action_id", ForeignKey("actions.id", ondelete="CASCADE"), nullable=False),
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
    Column("class_id", ForeignKey("classes.id", ondelete="CASCADE"), nullable=False),
    Column("answer", String, nullable=False),  # yes, no, unsure, none
    Column("previous", String, nullable=False),  # the answer before: what an undo writes back
    Index("label_events_current", "image_id", "class_id", "id"),
    Index("label_events_by_action", "action_id"),
    sqlite_autoincrement=True,
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String, nullable=False),  # import, index, training
    Column("lane", String, nullable=False),  # pictures, learning: one worker each
    Column("state", String, nullable=False),  # queued, running, paused, succeeded, failed, cancelled
    Column("asked", String),  # cancel, pause or keep: what a person wants of a running job
    Column("progress", Float, nullable=False),
    Column("message", String, nullable=False),
    Column("said", JSON(none_as_null=True)),  # name and values of the message, for other languages
    Column("params", JSON, nullable=False),
    Column("result", JSON),
    Column("error", String),
    Column("created_at", String, nullable=False),
    Column("started_at", String),
    Column("finished_at", String),
    Column("changed_at", String, nullable=False),
    Index("jobs_by_state", "state", "lane"),
    sqlite_autoincrement=True,
)

queries = Table(
    "queries",
    metadata,
    Column("id", String, primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("name", String, nullable=False),
    Column("preview", LargeBinary, nullable=False),  # prepared exactly as an imported picture's
    Column("preview_suffix", String(3), nullable=False),
    Column("created_at", String, nullable=False),
)

searches = Table(
    "searches",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("name", String, nullable=False),
    Column("positive", JSON, nullable=False),
    Column("negative", JSON, nullable=False),
    Column("filter", JSON, nullable=False),
    Column("wish", JSON),  # {min_score, group, variety}, those that were asked for
    Column("created_at", String, nullable=False),
    UniqueConstraint("collection_id", "name"),
)

probes = Table(
    "probes",
    metadata,
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True),
    Column("fingerprint", String, primary_key=True),
    Column("last_action", Integer, nullable=False),  # the newest label action it has seen
    Column("data", LargeBinary, nullable=False),
    Column("quality", JSON, nullable=False),
    Column("created_at", String, nullable=False),
)

comparisons = Table(  # two models' answers to one picture, side by side, and which of them a person preferred
    "comparisons",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("collection_id", ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), nullable=False),  # that was searched with
    Column("left_model", String, nullable=False),  # which model stood where is nobody's to know before the answer
    Column("right_model", String, nullable=False),
    Column("answer", String),  # left, right, same; empty until it is given
    Column("created_at", String, nullable=False),
    Column("answered_at", String),
    Index("comparisons_by_collection", "collection_id"),
    sqlite_autoincrement=True,
)
