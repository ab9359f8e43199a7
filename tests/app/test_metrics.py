"""What Prometheus reads, and what the log says, is what happened."""

import io
import json
import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import logs
from tests.app.conftest import do_jobs


def figures(client) -> dict[tuple, float]:
    """(name, its labels in order) → value."""
    text = client.get("/v1/metrics").text
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_are_counted_by_route_and_never_by_what_they_name(client):
    client.post("/v1/collections", json={"name": "secret holiday"})
    for _ in range(3):
        client.get("/v1/collections/secret holiday")
    client.get("/v1/collections/none")
    client.get("/v1/wp-admin.php")

    found = figures(client)

    assert found["likeness_requests_total", "/v1/collections/{collection}", "200", "GET"] == 3
    assert found["likeness_requests_total", "/v1/collections", "201", "POST"] == 1
    assert found["likeness_requests_total", "404", "GET", "other"] == 2
    assert found["likeness_request_seconds_count", "/v1/collections/{collection}", "GET"] == 3
    assert not any("holiday" in str(label) for key in found for label in key if "image" not in key[0])


def test_queue_pictures_indexes_and_disk_are_those_of_the_installation(indexed, workspace):
    indexed.post("/v1/collections/photos/indexes")

    found = figures(indexed)

    assert found["likeness_jobs", "index", "queued"] == 1
    assert found["likeness_images", "photos"] == found["likeness_indexed_images", "photos"] == 24
    assert found["likeness_index_recall_at_10", "photos"] == 1
    assert found["likeness_index_sound", "photos"] == 1
    assert found["likeness_disk_free_bytes",] > 0
    run = workspace.home.run("training-1-x")
    run.mkdir(parents=True)
    (run / "metrics.jsonl").write_text('{"views_per_s": 50}\n{"views_per_s": 71.5}\n{"views_')
    assert figures(indexed)["likeness_training_views_per_second", "photos"] == 71.5


@pytest.fixture
def written():
    """What `set_up("json")` writes, as it comes."""
    before, handlers = logging.root.level, logging.root.handlers[:]
    logs.set_up("json")
    stream = io.StringIO()
    logging.root.handlers[0].setStream(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.root.handlers[:] = handlers
    logging.root.setLevel(before)


def test_every_request_and_job_is_a_line_of_json_with_its_number(written, indexed, workspace):
    asked = indexed.post("/v1/collections/photos/indexes")
    do_jobs(workspace)

    lines = written()

    [request] = [line for line in lines if line["logger"] == "likeness.requests"]
    assert (request["method"], request["route"], request["status"]) == (
        "POST", "/v1/collections/{collection}/indexes", 202,
    )  # fmt: skip
    assert request["request_id"] == asked.headers["x-request-id"]
    begins, ends = (line for line in lines if line["logger"] == "likeness.worker")
    assert begins["job_id"] == ends["job_id"] == asked.json()["id"]
    assert (ends["kind"], ends["state"]) == ("index", "succeeded")


def test_a_request_keeps_the_number_that_the_pages_process_gave_it_and_no_other(client):
    given = client.get("/v1/health", headers={"X-Request-ID": "0123456789abcdef"})
    made_up = client.get("/v1/health", headers={"X-Request-ID": "x' or 1=1 --"})

    assert given.headers["x-request-id"] == "0123456789abcdef"
    assert made_up.headers["x-request-id"] != "x' or 1=1 --"


def test_text_lines_carry_the_number_too():
    record = logging.LogRecord("likeness.worker", logging.INFO, "", 0, "job begins", (), None)
    with logs.during_job(7):
        assert logs._Text().format(record) == "INFO likeness.worker: job begins job_id=7"
