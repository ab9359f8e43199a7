"""Promises 32 and 33: what an error says, and how the API starts and stops."""

import re
import signal
import threading
import time

import httpx
import pytest

from tests.abuse.server import Server, head, status_of
from tests.faults.corrupt import damage


@pytest.fixture
def own(tmp_path):
    """Start a server of this test's own, after `prepare(home)`."""
    started = []

    def start(**settings):
        started.append(Server(tmp_path, **settings))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = Server(tmp_path_factory.mktemp("server"))
    yield started
    started.stop()


@pytest.mark.promise(32)
def test_promise_32_a_bug_is_a_number_for_the_client_and_everything_in_the_log(own):
    server = own()
    for preview in (server.home / "previews").rglob("*.png"):
        preview.unlink()
        preview.mkdir()

    answer = server.client.get("/v1/images/1/preview")

    said = answer.json()
    assert answer.status_code >= 500
    assert set(said) == {"error", "detail", "request_id"}
    assert said["request_id"] == answer.headers["x-request-id"]
    for secret in (str(server.home), "Traceback", "previews/", ".py", "Errno"):
        assert secret not in answer.text
    log = server.log.read_text()
    assert said["request_id"] in log
    assert "IsADirectoryError" in log


@pytest.mark.promise(32)
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/images/999", 404),
        ("GET", "/v1/images/abc", 422),
        ("GET", "/v1/models/..%2f..%2fetc", 404),
        ("DELETE", "/v1/health", 405),
        ("POST", "/v1/collections/none/search", 422),
        ("POST", "/v1/collections/none/labels/undo", 404),
        ("PUT", "/v1/uploads/..%2f..%2fx/file?name=a&size=1", 404),
        ("GET", "/v1/docs-files/..%2f..%2f..%2fetc/passwd", 404),
    ],
)
def test_promise_32_every_refusal_is_json_with_a_sentence_and_a_number(server, method, path, status, record_property):
    record_property("requests sent", 1)

    answer = server.client.request(method, path)

    said = answer.json()
    assert answer.status_code == status
    assert set(said) - {"said"} == {"error", "detail", "request_id"}  # `said`: the sentence by its name and values
    assert re.fullmatch("[0-9a-f]{16}", said["request_id"])
    assert str(server.home) not in answer.text
    assert "server" not in answer.headers  # nor with what, in which version, it is made


@pytest.mark.promise(33, 8)
def test_promise_33_with_a_damaged_index_it_starts_says_what_is_wrong_and_serves_what_it_can(own, tmp_path):
    server = own()
    server.stop()
    damage(next((server.home / "indexes").rglob("*.faiss")), "flipped byte")

    server = own()
    ready = server.client.get("/v1/ready")
    search = server.client.post("/v1/collections/photos/search", json={"positive": [1]})

    assert server.client.get("/v1/health").status_code == 200
    assert (ready.status_code, ready.json()["error"]) == (503, "DamagedIndex")
    assert "likeness index" in ready.json()["detail"]
    assert search.status_code == 503
    assert server.client.get("/v1/collections/photos/images").json()["total"] == 8


@pytest.mark.promise(33)
def test_promise_33_an_empty_home_is_ready_and_says_the_next_step(own, tmp_path):
    (tmp_path / "home").mkdir()

    server = own()
    made = server.client.post("/v1/collections", json={"name": "new"})

    assert server.client.get("/v1/ready").status_code == 200
    assert "Add pictures" in made.json()["next_step"]
    assert server.client.post("/v1/collections/new/search", json={"positive": [1]}).status_code == 409


@pytest.mark.promise(33)
def test_promise_33_sigterm_finishes_the_requests_that_run_and_takes_no_others(own, record_property):
    server, body = own(), b'{"name": "late"}'
    headers = ("Content-Type: application/json", f"Content-Length: {len(body)}", "Expect: 100-continue")
    heard = []
    with server.connect() as connection:
        connection.sendall(head("POST", "/v1/collections", *headers))
        assert status_of(connection.recv(1 << 16)) == 100  # it runs, and its body is waited for
        connection.sendall(body[:5])

        server.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                httpx.get(f"{server.url}/v1/health", trust_env=False)
                time.sleep(0.05)
            except httpx.TransportError:
                break
        connection.sendall(body[5:])
        heard.append(connection.recv(1 << 16))

    assert status_of(heard[0]) == 201
    assert server.process.wait(30) in (0, -signal.SIGTERM)
    record_property("requests finished after SIGTERM", 1)
    again = own()
    assert [item["name"] for item in again.client.get("/v1/collections").json()["items"]] == ["late", "photos"]


@pytest.mark.promise(33)
def test_promise_33_events_that_somebody_listens_to_do_not_keep_it_from_stopping(own):
    server = own()
    job = server.client.post("/v1/collections/photos/indexes").json()["id"]
    begun = threading.Event()

    def listen():
        try:
            with httpx.stream("GET", f"{server.url}/v1/jobs/{job}/events", trust_env=False, timeout=60) as answer:
                for _ in answer.iter_bytes():
                    begun.set()
        except httpx.TransportError:
            pass

    listening = threading.Thread(target=listen)
    listening.start()
    assert begun.wait(30)

    assert server.stop() in (0, -signal.SIGTERM)
    listening.join(30)
    assert not listening.is_alive()
