"""A key, when set, guards all but health, page included; without one only this machine is served (promise 30)."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from app import key as key_module
from app.api import create_api
from app.guard import Guard
from app.key import COOKIE, session_of, sign_in_route
from app.rate import Rates
from app.serve import serve
from app.settings import Settings, load_settings
from model.errors import BadInput

KEY = "correct horse battery"


async def hello(request):
    return PlainTextResponse("hello")


async def talk(websocket):
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


@pytest.fixture
def client(monkeypatch):
    monkeypatch.setattr(key_module, "PAUSE", 0)
    routes = [
        Route("/", hello, methods=["GET", "POST"]), Route("/v1/collections", hello), Route("/v1/health", hello),
        WebSocketRoute("/talk", talk), sign_in_route(KEY, Rates(1000)),
    ]  # fmt: skip
    guard = Guard(Starlette(routes=routes), frozenset({"localhost"}), KEY)
    return TestClient(guard, base_url="http://localhost:8000", follow_redirects=False)


@pytest.mark.promise(30)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": f"Bearer {KEY}x"},
        {"X-API-Key": ""},
        {"Cookie": f"{COOKIE}={KEY}"},  # the cookie is not the key
        {"Cookie": f"{COOKIE}="},
        {"Cookie": "\x07;;=="},
    ],
)
def test_without_the_key_every_path_but_health_is_401(client, headers):
    answers = [client.get(path, headers=headers) for path in ("/", "/v1/collections", "/nothing")]

    assert {(answer.status_code, answer.json()["error"]) for answer in answers} == {(401, "NoKey")}
    assert answers[0].headers["www-authenticate"] == "Bearer"
    assert client.get("/v1/health", headers=headers).text == "hello"


@pytest.mark.promise(30)
@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY} "}, {"X-API-Key": KEY}]
)
def test_a_program_that_sends_the_key_is_let_in(client, headers):
    assert client.get("/v1/collections", headers=headers).text == "hello"
    assert client.post("/", headers=headers).text == "hello"


@pytest.mark.promise(30)
def test_a_person_types_the_key_once_and_comes_back_to_where_they_were(client):
    sent_away = client.get("/?c=photos&like=1", headers={"Accept": "text/html"})
    asked = client.get(sent_away.headers["location"])
    let_in = client.post(sent_away.headers["location"], data={"key": KEY})

    assert sent_away.status_code == 303
    assert "The key of this installation" in asked.text
    assert (let_in.status_code, let_in.headers["location"]) == (303, "/?c=photos&like=1")
    cookie = let_in.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert KEY not in cookie
    assert client.get("/").text == "hello"  # the client keeps cookies, as a browser does


@pytest.mark.promise(30)
def test_a_wrong_key_is_said_so_and_brings_no_cookie(client):
    answer = client.post("/sign-in", data={"key": "wrong"})

    assert answer.status_code == 401
    assert "This is not the key" in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.promise(30)
def test_a_form_too_long_to_be_a_key_is_not_read_to_its_end(client):
    answer = client.post("/sign-in", content=b"key=" + b"x" * 10_000_000)

    assert answer.status_code == 401


@pytest.mark.promise(30)
@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb"])
def test_signing_in_never_leads_to_another_site(client, elsewhere):
    answer = client.post("/sign-in", params={"next": elsewhere}, data={"key": KEY})

    assert answer.headers["location"] == "/"


@pytest.mark.promise(30)
def test_another_site_cannot_sign_a_browser_in(client):
    answer = client.post("/sign-in", data={"key": KEY}, headers={"Origin": "http://evil.example"})

    assert answer.status_code == 403


@pytest.mark.promise(30)
def test_a_websocket_needs_the_cookie(client):
    host = {"Host": "localhost:8000"}
    cookie = {"Cookie": f"a=b; {COOKIE}={session_of(KEY)}"}

    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/talk", headers=host):
        pass
    with client.websocket_connect("/talk", headers=host | cookie) as talking:
        assert talking.receive_text() == "hello"


@pytest.mark.promise(30)
def test_a_new_key_ends_every_session():
    assert session_of(KEY) != session_of(KEY + "!")


@pytest.mark.promise(30)
def test_the_api_asks_for_the_key_of_its_settings(settings):
    guarded = settings.model_copy(update={"api_key": KEY})
    with TestClient(create_api(guarded), base_url="http://localhost") as client:
        refused = client.get("/v1/collections")
        health = client.get("/v1/health")
        answered = client.get("/v1/collections", headers={"X-API-Key": KEY})

    assert (refused.status_code, health.status_code, answered.status_code) == (401, 200, 200)
    assert KEY not in refused.text


@pytest.mark.promise(30)
@pytest.mark.parametrize("address", [{"host": "0.0.0.0"}, {"host": "192.0.2.1"}, {"api_host": "::"}])
def test_other_machines_are_not_served_without_a_key_unless_told_so(tmp_path, address):
    with pytest.raises(BadInput, match="set LIKENESS_API_KEY to 16 characters or more"):
        serve(Settings(home=tmp_path, **address), print)

    Settings(home=tmp_path, **address, api_key=KEY).require_key()
    Settings(home=tmp_path, **address, open=True).require_key()


@pytest.mark.promise(30)
def test_a_short_key_stops_the_start_and_names_the_setting():
    with pytest.raises(BadInput, match="LIKENESS_API_KEY"):
        load_settings(api_key="short")
