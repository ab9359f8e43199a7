"""The Python client of Likeness. The page uses it, and so can any program that has httpx.

    from ui.client import Likeness

    likeness = Likeness("http://127.0.0.1:8001")
    likeness.create_collection("holiday")
    likeness.wait(likeness.upload("holiday", ["beach.jpg", "pictures.zip"]))
    likeness.wait(likeness.index("holiday"))
    for hit in likeness.search_file("holiday", "sunset.jpg", limit=10)["hits"]:
        print(f"{hit['score']:.3f}  {hit['image']['name']}")
    likeness.label("holiday", [1, 2, 3], "beach")
    likeness.label("holiday", [7, 8, 9], "mountain")
    print(likeness.probe("holiday")["accuracy"])

Every method is one request to `/v1` (they are in `ui/calls/`, a file a noun) and returns its JSON as a plain
dict, whose keys `ui/answers.py` names. Long work (upload, import_path, index, train) answers at once with a job: `wait`
returns it when it has finished.

Exceptions:

    ApiError        the API answered with an error; str() is one sentence for a person
    ├ Unreachable   nobody answered at that address, or not in time
    └ JobFailed     raised by `wait`: the job ended without succeeding
"""

from __future__ import annotations

from ui.calls.collections import Collections
from ui.calls.connection import DEFAULT_URL, ApiError, JobFailed, Unreachable
from ui.calls.jobs import FINISHED, Jobs
from ui.calls.labels import Labels
from ui.calls.models import Models
from ui.calls.pictures import Pictures
from ui.calls.searches import Searches

__all__ = ["DEFAULT_URL", "FINISHED", "ApiError", "JobFailed", "Likeness", "Unreachable"]


class Likeness(Collections, Jobs, Pictures, Searches, Labels, Models):
    """Everything that can be asked of an API. Safe to share between threads; close it or use it in a `with` block."""
