"""A foreign web page cannot use a Likeness that runs on this machine (promise 29)."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from app.guard import Guard


async def hello(request):
    return PlainTextResponse("hello")


async def talk(websocket):
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


def guarded(base_url="http://localhost:8000"):
    inner = Starlette(routes=[Route("/", hello, methods=["GET", "POST"]), WebSocketRoute("/talk", talk)])
    return TestClient(Guard(inner, frozenset({"localhost", "[::1]"})), base_url=base_url)


@pytest.mark.promise(29)
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:8000", ""])
def test_an_unknown_host_is_400(host):
    answer = guarded().get("/", headers={"Host": host})

    assert (answer.status_code, answer.json()["error"]) == (400, "UnknownHost")


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "LOCALHOST:1", "[::1]:8000"])
def test_our_own_names_are_served(host):
    answer = guarded().get("/", headers={"Host": host})

    assert answer.text == "hello"


@pytest.mark.promise(29)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # another port of this machine
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "null"},
        {"Origin": "http://["},
    ],
)
def test_a_foreign_page_cannot_write(headers):
    answer = guarded().post("/", headers=headers)

    assert (answer.status_code, answer.json()["error"]) == (403, "CrossSite")


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:8000"}, {"Sec-Fetch-Site": "none"}]
)
def test_our_page_and_programs_can_write(headers):
    answer = guarded().post("/", headers=headers)

    assert answer.status_code == 200


@pytest.mark.promise(29)
def test_no_answer_allows_other_origins():
    answer = guarded().get("/", headers={"Origin": "http://evil.example"})

    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.promise(29)
def test_a_foreign_page_cannot_open_a_websocket():
    with (
        pytest.raises(WebSocketDisconnect),
        guarded().websocket_connect("/talk", headers={"Origin": "http://evil.example"}),
    ):
        pass


def test_our_page_can_open_a_websocket():
    with guarded().websocket_connect(
        "/talk", headers={"Origin": "http://localhost:8000", "Host": "localhost:8000"}
    ) as it:
        assert it.receive_text() == "hello"


@pytest.mark.promise(21)
def test_a_body_over_the_limit_is_413_in_json(settings):
    from app.api import create_api

    small = settings.model_copy(update={"max_upload_mb": 1})
    with TestClient(create_api(small), base_url="http://localhost") as client:
        client.post("/v1/collections", json={"name": "photos"})
        answer = client.post("/v1/collections/photos/images", files={"files": ("big.jpg", b"x" * (3 << 20))})

    assert (answer.status_code, answer.json()["error"]) == (413, "TooLarge")


def test_the_proxy_streams_and_says_when_the_api_is_down():
    from app.page import proxy_to

    with TestClient(proxy_to("http://127.0.0.1:9"), base_url="http://localhost") as client:
        answer = client.get("/v1/health")

    assert (answer.status_code, answer.json()["error"]) == (503, "ApiDown")
