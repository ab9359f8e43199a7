"""Promise 27: slow and vanishing clients hold nothing."""

import asyncio
import contextlib
import http.client
import socket
import threading
import time

import httpx
import pytest
import uvicorn

from app import listening, pressure
from app.listening import Patience
from app.pressure import Pressure
from tests.abuse.server import PATIENCE, free_port, head, status_of

FORM = "Content-Type: multipart/form-data; boundary=x"
START = b'--x\r\nContent-Disposition: form-data; name="files"; filename="1.jpg"\r\n\r\n'


def wait_until(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.mark.promise(27)
@pytest.mark.parametrize("path", ["/v1/collections/photos/images", "/v1/collections/photos/queries"])
def test_promise_27_clients_that_vanish_in_mid_upload_leave_no_file_and_no_connection(server, path, record_property):
    count = 2 * pressure.BODIES
    record_property("clients vanished", count)
    before, waiting = server.held(), server.leftovers()
    connections = [server.connect() for _ in range(count)]
    for each in connections:
        each.sendall(head("POST", path, FORM, "Content-Length: 3000000") + START + b"a" * 1_500_000)
    wait_until(lambda: server.held() >= before + count, "the connections")

    during = server.client.get("/v1/ready")
    for each in connections:
        each.close()

    assert during.status_code == 200
    wait_until(lambda: server.held() <= before, f"{server.held()} are open, {before} before")
    assert server.leftovers() == waiting
    assert server.client.post("/v1/collections/photos/images", files={"files": ("a.jpg", b"a" * 2_000_000)}).is_success


@pytest.mark.promise(27)
def test_promise_27_clients_that_do_not_read_their_answer_keep_nobody_waiting(server, record_property):
    record_property("clients that do not listen", 40)
    connections = []
    for _ in range(40):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(head("GET", "/v1/openapi.json") * 20)
        connections.append(connection)

    answers = [server.client.get("/v1/collections/photos/images").status_code for _ in range(5)]

    for connection in connections:
        connection.close()
    assert answers == [200] * 5


def test_a_connection_outlives_the_time_that_the_page_keeps_one_between_two_requests(server):
    keeps = httpx.Limits().keepalive_expiry  # seconds; what `ui` and the proxy rely on
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        for wait in (keeps + 1, 0):
            connection.request("GET", "/v1/health")
            answer = connection.getresponse()  # raises where the other side has closed the connection
            assert (answer.status, answer.will_close) == (200, False)
            answer.read()
            time.sleep(wait)


@pytest.fixture
def hasty(monkeypatch):
    """A small server in this process that loses its patience soon; returns its port and what its app has seen."""
    monkeypatch.setattr(listening, "HEAD_WITHIN", 0.5)
    monkeypatch.setattr(pressure, "GRACE", 0.5)
    seen = []

    async def app(scope, receive, send):
        scope.setdefault("state", {})["request_id"] = "0"
        try:
            while (message := await receive()).get("more_body"):
                pass
            seen.append(message["type"])
            status = 200
        except pressure.HTTPException as error:
            seen.append(error.status_code)
            status = error.status_code
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    port = free_port()
    config = uvicorn.Config(Pressure(app, bodies=1), port=port, http=Patience, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    wait_until(lambda: server.started, "the server")
    yield port, seen
    server.should_exit = True
    thread.join()


def until_closed(port: int, data: bytes, and_then: bytes = b"") -> bytes:
    """What is answered until the other side closes; `and_then` is sent bit by bit meanwhile."""
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(data)
        for number in range(len(and_then)):
            try:
                connection.sendall(and_then[number : number + 1])
            except ConnectionError:
                break
            time.sleep(0.05)
        heard = b""
        while part := connection.recv(1 << 16):
            heard += part
        return heard


@pytest.mark.promise(27)
@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: lo"], ids=["nothing", "a line", "a head"])
def test_promise_27_a_connection_on_which_no_request_comes_is_closed(hasty, said):
    port, seen = hasty

    assert until_closed(port, said) == b""
    assert seen == []


@pytest.mark.promise(27)
def test_promise_27_a_body_that_comes_too_slowly_is_given_up_and_its_place_is_free_again(hasty):
    port, seen = hasty
    slow = head("POST", "/", "Transfer-Encoding: chunked", "Connection: close")

    heard = until_closed(port, slow, b"5\r\nhello\r\n" * 6)
    after = httpx.post(f"http://127.0.0.1:{port}", content=b"a" * 3_000_000)

    assert b" 408 " in heard.split(b"\r\n")[0]
    assert after.status_code == 200
    assert seen == [408, "http.request"]


@pytest.mark.promise(26, 27)
def test_a_large_body_that_finds_no_place_is_told_to_come_back_and_small_requests_go_on(hasty, monkeypatch):
    port, _ = hasty
    monkeypatch.setattr(pressure, "GRACE", 30.0)  # on a busy machine the first keeps its place all the same
    with socket.create_connection(("127.0.0.1", port), 30) as first:
        first.sendall(head("POST", "/", "Content-Length: 3000000", "Expect: 100-continue"))
        assert status_of(first.recv(1 << 16)) == 100  # it has its place and is waited for

        second = httpx.post(f"http://127.0.0.1:{port}", content=b"a" * 3_000_000)
        small = httpx.get(f"http://127.0.0.1:{port}")

    assert (second.status_code, second.headers["retry-after"]) == (503, "2")
    assert small.status_code == 200
