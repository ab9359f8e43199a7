"""Jobs: how far long work is, and what to do with it."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from app import jobs
from app.routes.common import Limit, Offset, WorkspaceDep
from app.schemas import MAX_ID, Page
from app.work import training_runs
from indexer.catalog import collection_named
from indexer.errors import NoSuchJob

router = APIRouter(prefix="/jobs", tags=["jobs"])
JobId = Annotated[int, Path(ge=1, le=MAX_ID)]
State = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
POLL = 0.3  # seconds
METRICS = "metrics.jsonl"


@router.get("")
def list_jobs(
    workspace: WorkspaceDep,
    collection: str | None = None,
    state: State | None = None,
    offset: Offset = 0,
    limit: Limit = 50,
) -> Page:
    """Jobs, newest first."""
    found, total = jobs.listed(workspace.engine, collection, state, offset, limit)
    return Page(items=[job.public() for job in found], total=total, offset=offset, limit=limit)


@router.get("/{job_id}")
def one_job(job_id: JobId, workspace: WorkspaceDep) -> dict[str, Any]:
    return jobs.get(workspace.engine, job_id).public()


@router.post("/{job_id}/{what}")
def ask(job_id: JobId, what: Literal["cancel", "pause", "resume"], workspace: WorkspaceDep) -> dict[str, Any]:
    """Cancel, pause or resume. A running job stops at its next batch and keeps what it has done."""
    job = jobs.ask(workspace.engine, job_id, what)
    if job.state == "cancelled" and "upload" in job.params:  # it never ran: nobody else drops its files
        shutil.rmtree(workspace.home.upload(job.params["upload"]), ignore_errors=True)
    return job.public()


@router.get("/{job_id}/metrics")
def metrics(job_id: JobId, workspace: WorkspaceDep) -> dict[str, Any]:
    """The lines of a training's metrics so far: loss, learning rate, views a second, quality."""
    job = jobs.get(workspace.engine, job_id)
    home = workspace.home
    if job.kind not in ("training", "finetuning") or job.state == "queued":
        return {"rows": []}
    if job.result and job.result.get("model"):
        found = [home.model(job.result["model"]) / METRICS]
    else:
        runs = training_runs(collection_named(workspace.engine, job.collection)) + "*"
        found = sorted(home.run("x").parent.glob(f"{runs}/{METRICS}"), key=lambda path: path.stat().st_mtime)
    try:
        lines = found[-1].read_text().splitlines()
    except (IndexError, FileNotFoundError):  # not begun, or published between the two looks
        return {"rows": []}
    return {"rows": [row for row in map(_line, lines) if row is not None]}


@router.get("/{job_id}/events")
async def events(job_id: JobId, workspace: WorkspaceDep) -> StreamingResponse:
    """Server-sent events: the job, whenever it changed, until it is finished."""
    await run_in_threadpool(jobs.get, workspace.engine, job_id)

    async def stream() -> AsyncIterator[str]:
        last = None
        while True:
            try:
                job = await run_in_threadpool(jobs.get, workspace.engine, job_id)
            except NoSuchJob:  # its collection was deleted
                return
            if (shown := json.dumps(job.public())) != last:
                last = shown
                yield f"event: job\ndata: {shown}\n\n"
            if job.finished:
                return
            await asyncio.sleep(POLL)

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def _line(text: str) -> dict[str, Any] | None:
    try:
        return json.loads(text)
    except ValueError:  # the line that is just being written
        return None
