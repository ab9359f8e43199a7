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
from app.training import METRICS, PINNED, training_runs
from app.workspace import Workspace
from indexer.catalog import collection_named
from indexer.errors import NoSuchJob

router = APIRouter(prefix="/jobs", tags=["jobs"])
JobId = Annotated[int, Path(ge=1, le=MAX_ID)]
State = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
POLL = 0.3  # seconds


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
def ask(job_id: JobId, what: Literal["cancel", "pause", "resume", "keep"], workspace: WorkspaceDep) -> dict[str, Any]:
    """Cancel, pause or resume; keep: end a training now, with the weights whose quality was best so far.

    A running job stops at its next batch and keeps what it has done.
    """
    job = jobs.ask(workspace.engine, job_id, what)
    if job.state == "cancelled" and "upload" in job.params:  # it never ran: nobody else drops its files
        shutil.rmtree(workspace.home.upload(job.params["upload"]), ignore_errors=True)
    return job.public()


@router.get("/{job_id}/metrics")
def metrics(job_id: JobId, workspace: WorkspaceDep) -> dict[str, Any]:
    """The lines of a training's metrics so far: loss, learning rate, views a second, quality, k-NN."""
    return {"rows": _written(workspace, job_id, METRICS)}


@router.get("/{job_id}/pinned")
def pinned(job_id: JobId, workspace: WorkspaceDep) -> dict[str, Any]:
    """What was most like the pinned pictures at every evaluation of a training so far, before its first step too."""
    rows = _written(workspace, job_id, PINNED)
    return {
        "evaluations": [
            {
                **row,
                "queries": [
                    {**_with_preview(query), "nearest": [_with_preview(near) for near in query["nearest"]]}
                    for query in row["queries"]
                ],
            }
            for row in rows
        ]
    }


def _with_preview(shown: dict[str, Any]) -> dict[str, Any]:
    return {**shown, "preview": f"/v1/images/{shown['image']}/preview"}


def _written(workspace: Workspace, job_id: int, name: str) -> list[dict[str, Any]]:
    """The lines of a training's file `name`, whether it runs or has become a model, by their steps."""
    job = jobs.get(workspace.engine, job_id)
    home = workspace.home
    if job.kind not in ("training", "finetuning") or (job.state == "queued" and job.started_at is None):
        return []
    if job.result and job.result.get("model"):
        found = [home.model(job.result["model"]) / name]
    else:
        runs = training_runs(collection_named(workspace.engine, job.collection)) + "*"
        found = sorted(home.run("x").parent.glob(f"{runs}/{name}"), key=lambda path: path.stat().st_mtime)
    try:
        lines = found[-1].read_text().splitlines()
    except (IndexError, FileNotFoundError):  # not begun, or published between the two looks
        return []
    rows: list[dict[str, Any]] = []
    for row in filter(None, map(_line, lines)):
        while rows and rows[-1]["step"] >= row["step"]:  # of a run that went on from a state before it
            rows.pop()
        rows.append(row)
    return rows


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
