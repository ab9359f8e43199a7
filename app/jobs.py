"""Durable jobs: long work as rows of the catalog, done by the worker of their lane.

Two lanes, one worker each: `pictures` (import, index) and `learning` (training, fine-tuning, int8, maps, duplicates),
so that ten new images are searchable while a model trains. A killed worker's job is queued again when the worker
returns, and goes on from its last batch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, func, select

from indexer.catalog import Collection
from indexer.errors import NoSuchJob
from indexer.schema import collections, jobs, now
from model.errors import BadInput
from model.progress import Line, said

LANES = {
    "import": "pictures",
    "index": "pictures",
    "training": "learning",
    "finetuning": "learning",
    "int8": "learning",
    "map": "learning",
    "duplicates": "learning",
    "estimate": "learning",
}
FINISHED = ("succeeded", "failed", "cancelled")
WAITING = Line("waiting", "waiting for its turn")
STARTING = Line("starting", "starting")
INTERRUPTED = Line("interrupted", "waiting to go on after an interruption")
CANCELLED = Line("cancelled", "cancelled")


@dataclass(frozen=True)
class Job:
    """One piece of long work and how far it is."""

    id: int
    kind: str
    collection: str
    state: str
    progress: float
    message: str
    said: dict[str, Any] | None
    params: dict[str, Any]
    result: dict[str, Any] | None
    error: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    asked: str | None

    @property
    def finished(self) -> bool:
        return self.state in FINISHED

    def public(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "asked"}


_ROWS = select(
    *(getattr(jobs.c, name) for name in Job.__dataclass_fields__ if name != "collection"),
    collections.c.name.label("collection"),
).join(collections, collections.c.id == jobs.c.collection_id)


def create(engine: Engine, collection: Collection, kind: str, params: dict[str, Any]) -> Job:
    """Queue a piece of work."""
    values = {
        "collection_id": collection.id, "kind": kind, "lane": LANES[kind], "state": "queued", "progress": 0.0,
        **_saying(WAITING), "params": params, "created_at": now(), "changed_at": now(),
    }  # fmt: skip
    with engine.begin() as connection:
        job_id = connection.execute(jobs.insert().values(**values).returning(jobs.c.id)).scalar_one()
    return get(engine, job_id)


def get(engine: Engine, job_id: int) -> Job:
    with engine.connect() as connection:
        row = connection.execute(_ROWS.where(jobs.c.id == job_id)).first()
    if row is None:
        raise NoSuchJob(f"There is no job {job_id}.")
    return Job(**row._mapping)


def listed(engine: Engine, collection: str | None, state: str | None, offset: int, limit: int) -> tuple[list[Job], int]:
    """A page of the jobs, newest first, and how many there are in all."""
    query = _ROWS
    if collection is not None:
        query = query.where(collections.c.name == collection)
    if state is not None:
        query = query.where(jobs.c.state == state)
    with engine.connect() as connection:
        total = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
        rows = connection.execute(query.order_by(jobs.c.id.desc()).offset(offset).limit(limit)).all()
    return [Job(**row._mapping) for row in rows], total


def claim(engine: Engine, lane: str) -> Job | None:
    """Take the oldest queued job of a lane. Only the lane's one worker calls this."""
    with engine.begin() as connection:
        # By when it was queued last: a job put back, because its collection is busy, lets the others go first.
        waiting = select(jobs.c.id).where(jobs.c.state == "queued", jobs.c.lane == lane)
        job_id = connection.execute(waiting.order_by(jobs.c.changed_at, jobs.c.id).limit(1)).scalar()
        if job_id is None:
            return None
        values = {"state": "running", "started_at": now(), "changed_at": now(), **_saying(STARTING)}
        taken = connection.execute(jobs.update().where(jobs.c.id == job_id, jobs.c.state == "queued").values(**values))
    return get(engine, job_id) if taken.rowcount else None


def requeue_orphans(engine: Engine, lane: str) -> None:
    """Queue again what a worker that died was doing. Only the lane's one worker calls this, when it starts."""
    with engine.begin() as connection:
        connection.execute(
            jobs.update()
            .where(jobs.c.state == "running", jobs.c.lane == lane)
            .values(state="queued", changed_at=now(), **_saying(INTERRUPTED))
        )


def report(engine: Engine, job_id: int, progress: float, message: str) -> str | None:
    """Say how far a running job is; returns what a person asked of it meanwhile (cancel, pause, keep) or None."""
    with engine.begin() as connection:
        told = connection.execute(
            jobs.update().where(jobs.c.id == job_id).values(progress=progress, changed_at=now(), **_saying(message))
        )
        if not told.rowcount:  # its collection was deleted, and the job with it
            return "cancel"
        return connection.execute(select(jobs.c.asked).where(jobs.c.id == job_id)).scalar()


def finish(
    engine: Engine,
    job_id: int,
    state: str,
    message: str,
    result: dict[str, Any] | None = None,
    error: str | None = None,
) -> None:
    """Close a job, or put it back (`queued`, `paused`); what it says in the end is its result's sentence, if any."""
    values: dict[str, Any] = {"state": state, "changed_at": now(), **_saying(message)}
    if sentence := (result or {}).get("sentence"):
        values["said"] = said(sentence)
    if state != "queued":  # put back, it is still to do what it was asked
        values["asked"] = None
    if state in FINISHED:
        values |= {"result": result, "error": error, "finished_at": now()}
    if state == "succeeded":
        values["progress"] = 1.0
    with engine.begin() as connection:
        connection.execute(jobs.update().where(jobs.c.id == job_id).values(**values))


def ask(engine: Engine, job_id: int, what: str) -> Job:
    """Cancel, pause or resume a job, or end a training with the best so far (keep); at its next batch if it runs."""
    job = get(engine, job_id)
    moves: dict[tuple[str, str], dict[str, Any]] = {
        ("cancel", "queued"): {"state": "cancelled", "finished_at": now(), **_saying(CANCELLED)},
        ("cancel", "paused"): {"state": "cancelled", "finished_at": now(), **_saying(CANCELLED)},
        ("cancel", "running"): {"asked": "cancel", **_saying(Line("stopping", "stopping"))},
        ("pause", "queued"): {"state": "paused", "asked": None, **_saying(Line("paused", "paused"))},
        ("pause", "running"): {"asked": "pause", **_saying(Line("pausing", "pausing"))},
        ("resume", "paused"): {"state": "queued", **_saying(WAITING)},
    }
    if job.kind == "training":  # it goes on for the moment it takes to end with what it has
        keeping = {"asked": "keep", **_saying(Line("keeping", "stopping with the best so far"))}
        moves |= {("keep", "running"): keeping, ("keep", "paused"): {**keeping, "state": "queued"}}
    move = moves.get((what, job.state))
    if move is None:
        words = "Job {n} ({kind}) is {state}: it cannot be asked to {what}."
        raise BadInput(Line("not_now", words, n=job_id, kind=job.kind, state=job.state, what=what))
    with engine.begin() as connection:
        moved = connection.execute(
            jobs.update().where(jobs.c.id == job_id, jobs.c.state == job.state).values(**move, changed_at=now())
        )
    return get(engine, job_id) if moved.rowcount else ask(engine, job_id, what)


def _saying(message: str) -> dict[str, Any]:
    """A sentence as the columns of a job: in English, and its name and values where it has them."""
    return {"message": str(message), "said": said(message)}


def of_upload(engine: Engine, upload: str) -> Job | None:
    """The newest import of an upload."""
    query = _ROWS.where(jobs.c.kind == "import", jobs.c.params["upload"].as_string() == upload)
    with engine.connect() as connection:
        row = connection.execute(query.order_by(jobs.c.id.desc()).limit(1)).first()
    return Job(**row._mapping) if row is not None else None


def waiting_uploads(engine: Engine) -> list[str]:
    """The uploads whose import is still to come, or to go on."""
    query = select(jobs.c.params).where(jobs.c.kind == "import", jobs.c.state.not_in(FINISHED))
    with engine.connect() as connection:
        return [params["upload"] for params in connection.execute(query).scalars() if "upload" in params]


def unfinished(engine: Engine, collection: Collection, kind: str) -> int | None:
    """The id of the newest such job that waits, runs or pauses."""
    query = select(func.max(jobs.c.id)).where(
        jobs.c.collection_id == collection.id, jobs.c.kind == kind, jobs.c.state.not_in(FINISHED)
    )
    with engine.connect() as connection:
        return connection.execute(query).scalar()


def is_queued(engine: Engine, collection: Collection, kind: str) -> bool:
    """Whether such a job waits already."""
    query = select(jobs.c.id).where(
        jobs.c.collection_id == collection.id, jobs.c.kind == kind, jobs.c.state == "queued"
    )
    with engine.connect() as connection:
        return connection.execute(query.limit(1)).first() is not None
