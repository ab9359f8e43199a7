"""Jobs: long work, as it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ui.answers import Job
from ui.calls.connection import Connection, JobFailed

FINISHED = frozenset({"succeeded", "failed", "cancelled"})


class Jobs(Connection):
    """Long work: look at it, wait for it, stop it."""

    def jobs(self, collection: str | None = None, state: str | None = None, limit: int = 100) -> list[Job]:
        """The newest jobs first."""
        params = {"collection": collection, "state": state, "limit": limit}
        return self._call("GET", "/v1/jobs", params={k: v for k, v in params.items() if v is not None})["items"]

    def job(self, job: int) -> Job:
        """How a job stands."""
        return self._call("GET", f"/v1/jobs/{job}")

    def wait(
        self,
        job: Job | int,
        timeout: float | None = None,
        progress: Callable[[Job], None] | None = None,
        every: float = 0.3,
    ) -> Job:
        """Wait until a job has succeeded; JobFailed when it ended otherwise, TimeoutError after `timeout` seconds.

        `progress` is called with the job each time it is looked at, every `every` seconds.
        """
        number = job if isinstance(job, int) else job["id"]
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            now = self.job(number)
            if progress is not None:
                progress(now)
            if now["state"] in FINISHED:
                if now["state"] != "succeeded":
                    raise JobFailed(now)
                return now
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"Job {number} is still {now['state']} after {timeout:g} s: {now['message']}")
            time.sleep(every)

    def cancel(self, job: int) -> Job:
        """Stop a job; what it has committed stays."""
        return self._call("POST", f"/v1/jobs/{job}/cancel")

    def pause(self, job: int) -> Job:
        """Pause a job at its next checkpoint."""
        return self._call("POST", f"/v1/jobs/{job}/pause")

    def resume(self, job: int) -> Job:
        """Go on with a paused job."""
        return self._call("POST", f"/v1/jobs/{job}/resume")

    def keep(self, job: int) -> Job:
        """End a training now, with the weights whose quality was best so far."""
        return self._call("POST", f"/v1/jobs/{job}/keep")

    def metrics(self, job: int) -> list[dict[str, Any]]:
        """A training's rows so far: epoch, step, loss, learning_rate, views_per_s, quality, knn."""
        return self._call("GET", f"/v1/jobs/{job}/metrics")["rows"]
