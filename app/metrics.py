"""What Prometheus reads at /v1/metrics: requests and their times as they happen, the rest looked up when it is asked.

Of this process are requests; of the installation, the same from every process, are jobs, pictures, indexes and disk.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.training import training_runs
from app.workspace import Workspace
from indexer.catalog import Collection, all_collections, count_images
from indexer.errors import DamagedIndex, NoIndex
from indexer.published import read_published
from indexer.schema import jobs

BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds
METRICS = "metrics.jsonl"


class Measures:
    """The figures of one process's requests."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "likeness_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "likeness_request_seconds", "From a request to the end of its answer.", ["method", "route"],
            buckets=BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.running = Gauge("likeness_requests_running", "Requests being answered.", registry=self.registry)

    def answered(self, scope: Scope, status: int, seconds: float) -> str:
        """Count a request; returns its route, as the documentation writes it: never the names of collections."""
        path = getattr(scope.get("route"), "path", None) if status != 404 else None
        route = f"/v1{path}" if path and not path.startswith("/v1") else path or "other"
        self.requests.labels(scope["method"], route, str(status)).inc()
        self.seconds.labels(scope["method"], route).observe(seconds)
        return route


class Measured:
    """ASGI middleware: every request is counted, timed and, once it is answered, logged."""

    def __init__(self, app: ASGIApp, measures: Measures, log: logging.Logger) -> None:
        self.app, self.measures, self.log = app, measures, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def sender(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.measures.running.inc()
        try:
            await self.app(scope, receive, sender)
        finally:
            self.measures.running.dec()
            seconds = time.perf_counter() - started
            route = self.measures.answered(scope, status, seconds)
            said = {"method": scope["method"], "route": route, "status": status, "ms": round(1000 * seconds, 1)}
            self.log.info("answered", extra=said)


class Installation(Collector):
    """Jobs, pictures, indexes, the running training and the disk, looked up whenever somebody asks."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def collect(self) -> Iterator[GaugeMetricFamily | InfoMetricFamily]:
        yield InfoMetricFamily("likeness", "Which Likeness this is.", {"version": version("likeness")})
        usage = shutil.disk_usage(self.workspace.home.root)
        for part, value in (("free", usage.free), ("total", usage.total)):
            yield GaugeMetricFamily(f"likeness_disk_{part}_bytes", f"Of the data folder's disk, {part}.", value)
        yield self._jobs()
        pictures = GaugeMetricFamily("likeness_images", "Pictures in a collection.", labels=["collection"])
        indexed = GaugeMetricFamily("likeness_indexed_images", "Of these, searchable.", labels=["collection"])
        recall = GaugeMetricFamily(
            "likeness_index_recall_at_10", "Measured on its own pictures.", labels=["collection"]
        )
        sound = GaugeMetricFamily("likeness_index_sound", "1 unless damaged.", labels=["collection"])
        speed = GaugeMetricFamily(
            "likeness_training_views_per_second", "Of the last step reported.", labels=["collection"]
        )
        for collection in all_collections(self.workspace.engine):
            name = [collection.name]
            pictures.add_metric(name, count_images(self.workspace.engine, collection))
            if (views := self._views_per_second(collection)) is not None:
                speed.add_metric(name, views)
            if collection.active_model is None:
                continue
            try:
                said = read_published(self.workspace.home.index(collection.id, collection.active_model)).described()
            except (NoIndex, DamagedIndex):
                sound.add_metric(name, 0)
                continue
            sound.add_metric(name, 1)
            indexed.add_metric(name, said["vectors"])
            if said["recall_at_10"] is not None:
                recall.add_metric(name, said["recall_at_10"])
        yield from (pictures, indexed, recall, sound, speed)

    def _jobs(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily("likeness_jobs", "Jobs that wait, run or are paused.", labels=["kind", "state"])
        query = select(jobs.c.kind, jobs.c.state, func.count()).where(jobs.c.state.in_(["queued", "running", "paused"]))
        with self.workspace.engine.connect() as connection:
            for kind, state, count in connection.execute(query.group_by(jobs.c.kind, jobs.c.state)):
                family.add_metric([kind, state], count)
        return family

    def _views_per_second(self, collection: Collection) -> float | None:
        """What a training that has not ended said last. Its folder goes when it ends."""
        runs = self.workspace.home.run("x").parent.glob(f"{training_runs(collection)}*/{METRICS}")
        newest = max(runs, key=lambda path: path.stat().st_mtime, default=None)
        for line in reversed(_last_lines(newest) if newest else []):
            try:
                return float(json.loads(line)["views_per_s"])
            except (ValueError, KeyError, TypeError):  # the line that is just being written
                continue
        return None


def _last_lines(path: Path) -> list[str]:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 8192))
        return file.read().decode("utf-8", "replace").splitlines()
