"""A worker: does the jobs of one lane, one after the other, until it is told to stop."""

from __future__ import annotations

import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from app import jobs, logs, work
from app.arriving import Arriving
from app.duplicates import look_for_duplicates
from app.estimate import estimated
from app.finetuning import finetune
from app.int8 import make_int8
from app.jobs import Job
from app.mapping import draw_map
from app.training import train
from app.workspace import Workspace
from indexer.catalog import Collection, collection_named
from indexer.errors import Busy, NoSuchJob
from indexer.importer import LISTED
from indexer.parts import Cutting
from indexer.removal import sweep
from indexer.sources import scan, scan_upload
from model.errors import Cancelled, LikenessError
from model.progress import Line

log = logging.getLogger("likeness.worker")
POLL = 0.1  # seconds between looks at the queue: one question to the catalog each
TELL = 0.5  # seconds between reports of a running job
PATIENCE = 5  # seconds for the worker before to end


def run_worker(workspace: Workspace, lane: str, stopping: threading.Event) -> None:
    """Do the lane's jobs until `stopping` is set. A second worker for a lane refuses to start."""
    path = workspace.home.root / "locks" / f"worker.{lane}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=PATIENCE):
            jobs.requeue_orphans(workspace.engine, lane)
            sweep(workspace.home)
            while not stopping.is_set():
                job = jobs.claim(workspace.engine, lane)
                if job is None:
                    stopping.wait(POLL)
                else:
                    do_job(workspace, job, stopping)
    except Timeout:
        raise Busy(f"Another worker does the jobs of the lane {lane!r} already.") from None


def do_job(workspace: Workspace, job: Job, stopping: threading.Event) -> None:
    """Do one job and write down how it ended. Nothing a job raises may end the worker."""
    with logs.during_job(job.id):
        said = {"kind": job.kind, "collection": job.collection}
        log.info("job begins", extra=said)
        started = time.monotonic()
        _do_job(workspace, job, stopping)
        if not log.isEnabledFor(logging.INFO):
            return
        try:
            state = jobs.get(workspace.engine, job.id).state
        except NoSuchJob:
            state = "deleted with its collection"
        log.info("job ends", extra={**said, "state": state, "seconds": round(time.monotonic() - started, 1)})


def _do_job(workspace: Workspace, job: Job, stopping: threading.Event) -> None:
    watch = _Watch(workspace, job.id, stopping)
    try:
        result = _KINDS[job.kind](workspace, collection_named(workspace.engine, job.collection), job, watch)
    except Cancelled as error:
        if watch.asked == "cancel":
            jobs.finish(workspace.engine, job.id, "cancelled", error.args[0])
        elif watch.asked == "pause":
            jobs.finish(workspace.engine, job.id, "paused", Line("paused", "paused; resume to go on"))
        else:  # this worker is being stopped, not the job
            jobs.finish(workspace.engine, job.id, "queued", Line("interrupted", "waiting to go on after a restart"))
    except Busy as error:
        jobs.finish(workspace.engine, job.id, "queued", Line("busy", "{why}", why=str(error)))
        stopping.wait(2)
    except LikenessError as error:
        failed = _failed(type(error).__name__, error.args[0] if error.said else None)
        jobs.finish(workspace.engine, job.id, "failed", failed, error=str(error))
    except OSError as error:
        log.exception("job %s failed", job.id)
        reason = f"{error.strerror or error}: {error.filename or ''}"
        jobs.finish(workspace.engine, job.id, "failed", _failed("OSError"), error=reason)
    except Exception as error:
        log.exception("job %s failed", job.id)
        reason = f"Something went wrong on our side ({type(error).__name__}); the log has the details."
        jobs.finish(workspace.engine, job.id, "failed", _failed("InternalError"), error=reason)
    else:
        jobs.finish(workspace.engine, job.id, "succeeded", Line("done", "done"), result=result)
    if job.params.get("upload") and _is_done_with(workspace, job.id):
        shutil.rmtree(workspace.home.upload(job.params["upload"]), ignore_errors=True)


def _failed(error: str, why: Line | None = None) -> Line:
    """By `why`, or by the name of the error, the page says in the person's language what went wrong."""
    return Line("failed", "failed", error=error, **({"why": why} if why is not None else {}))


def _is_done_with(workspace: Workspace, job_id: int) -> bool:
    """Whether nobody needs a job's upload any more: one that failed, for want of space perhaps, can be tried again."""
    try:
        return jobs.get(workspace.engine, job_id).state in ("succeeded", "cancelled")
    except NoSuchJob:
        return True


class _Watch:
    """Progress of a job into the catalog, and a person's wishes out of it, at a gentle rate."""

    def __init__(self, workspace: Workspace, job_id: int, stopping: threading.Event) -> None:
        self.workspace, self.job_id, self.stopping = workspace, job_id, stopping
        self.asked: str | None = None
        self.share = 0.0
        self.message: str = jobs.STARTING
        self.told = 0.0

    def progress(self, share: float, message: str) -> None:
        self.share, self.message = share, message
        self._tell()

    def stop(self) -> bool:
        self._tell()
        return self.asked in ("cancel", "pause") or self.stopping.is_set()

    def enough(self) -> bool:
        """Whether a training shall end with the best so far."""
        return self.asked == "keep"

    def _tell(self) -> None:
        if time.monotonic() - self.told > TELL:
            self.told = time.monotonic()
            self.asked = jobs.report(self.workspace.engine, self.job_id, self.share, self.message) or self.asked


def _import(workspace: Workspace, collection: Collection, job: Job, watch: _Watch) -> dict[str, Any]:
    params = job.params
    from_folders, allow_empty = bool(params.get("labels_from_folders")), bool(params.get("allow_empty"))
    cutting = Cutting(params.get("tile", 0), params.get("pages") == "all")
    if batch := params.get("upload"):
        found = scan_upload(workspace.home.upload(batch))
    else:
        found = scan([Path(params["path"])], params.get("exclude", ()), allow_empty)
    arriving = Arriving(workspace, collection, watch.progress, watch.stop)
    result = work.import_found(
        workspace, collection, found, from_folders, arriving.progress, watch.stop, allow_empty, cutting,
        arriving.committed, bool(params.get("retry")),
    )  # fmt: skip
    result["refused_total"] = len(result["refused"])
    result["refused"] = result["refused"][:LISTED]  # a job's row must stay small
    came_in = result["added_total"] or result["known"]  # known: of a run that was killed just before it got here
    if came_in and not jobs.is_queued(workspace.engine, collection, "index"):
        result["index_job"] = jobs.create(workspace.engine, collection, "index", {}).id  # searchable without asking
    return result


def _index(workspace: Workspace, collection: Collection, job: Job, watch: _Watch) -> dict[str, Any]:
    activate = bool(job.params.get("activate", True))
    return work.index(workspace, collection, job.params.get("model"), watch.progress, watch.stop, activate)


def _train(workspace: Workspace, collection: Collection, job: Job, watch: _Watch) -> dict[str, Any]:
    return train(workspace, collection, job.params, watch.progress, watch.stop, enough=watch.enough)


def _estimate(workspace: Workspace, collection: Collection, job: Job, watch: _Watch) -> dict[str, Any]:
    return estimated(workspace, collection, job.params, watch.progress, watch.stop)


def _finetune(workspace: Workspace, collection: Collection, job: Job, watch: _Watch) -> dict[str, Any]:
    return finetune(workspace, collection, job.params, watch.progress, watch.stop)


def _int8(workspace: Workspace, collection: Collection, job: Job, watch: _Watch) -> dict[str, Any]:
    return make_int8(workspace, collection, None, watch.progress, watch.stop)


def _map(workspace: Workspace, collection: Collection, job: Job, watch: _Watch) -> dict[str, Any]:
    return draw_map(workspace, collection, bool(job.params.get("again")), watch.progress, watch.stop)


def _duplicates(workspace: Workspace, collection: Collection, job: Job, watch: _Watch) -> dict[str, Any]:
    look = look_for_duplicates(workspace, collection, watch.progress, watch.stop)
    return {"images": look.images, "pairs": len(look.pairs)}


_KINDS: dict[str, Callable[[Workspace, Collection, Job, _Watch], dict[str, Any]]] = {
    "import": _import,
    "index": _index,
    "training": _train,
    "estimate": _estimate,
    "finetuning": _finetune,
    "int8": _int8,
    "map": _map,
    "duplicates": _duplicates,
}


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set: the running job stops at its next batch and is queued again."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping
