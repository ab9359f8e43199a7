"""Another machine that asks too often, or tries keys, is told to come back later; this one is not counted."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from app import key as key_module
from app.guard import Guard
from app.key import COOKIE, session_of, sign_in_route
from app.rate import Rates
from app.settings import Settings

KEY = "correct horse battery"
RIGHT, WRONG = {"X-API-Key": KEY}, {"X-API-Key": "wrong"}


async def hello(request):
    return PlainTextResponse("hello")


@pytest.fixture
def calling(monkeypatch):
    """calling(address) → a client from there; all of one server."""
    monkeypatch.setattr(key_module, "PAUSE", 0)

    def make(requests: int, wrong_keys: int = 3, key: str | None = KEY):
        rates = Rates(requests, wrong_keys)
        routes = [Route("/", hello), Route("/v1/health", hello), sign_in_route(KEY, rates)]
        guard = Guard(Starlette(routes=routes), frozenset({"localhost"}), key, rates)
        return lambda address: TestClient(guard, base_url="http://localhost", client=(address, 1))

    return make


def test_an_address_that_asks_too_often_is_429_and_others_are_not(calling):
    server = calling(requests=5, key=None)
    eager, other, here = server("192.0.2.1"), server("192.0.2.2"), server("127.0.0.1")

    answers = [eager.get("/") for _ in range(7)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    refused = answers[-1]
    assert refused.json()["error"] == "TooOften"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert f"in {refused.headers['retry-after']} seconds" in refused.json()["detail"]
    assert eager.get("/v1/health").status_code == 200
    assert other.get("/").status_code == 200
    assert {here.get("/").status_code for _ in range(20)} == {200}


@pytest.mark.promise(30)
def test_after_some_wrong_keys_no_more_are_looked_at_not_even_the_right_one(calling):
    server = calling(requests=1000)
    guesser, other = server("192.0.2.1"), server("192.0.2.2")

    answers = [guesser.get("/", headers=WRONG).status_code for _ in range(4)]
    late = guesser.get("/", headers=RIGHT)

    assert answers == [401, 401, 401, 429]
    assert (late.status_code, late.json()["error"]) == (429, "TooManyKeys")
    assert int(late.headers["retry-after"]) >= 1
    assert other.get("/", headers=RIGHT).text == "hello"


@pytest.mark.promise(30)
def test_who_is_signed_in_stays_so_while_somebody_guesses_from_the_same_address(calling):
    guesser = calling(requests=1000)("192.0.2.1")
    for _ in range(4):
        guesser.get("/", headers=WRONG)

    assert guesser.get("/", headers={"Cookie": f"{COOKIE}={session_of(KEY)}"}).text == "hello"


@pytest.mark.promise(30)
def test_keys_typed_into_the_form_count_as_well(calling):
    person = calling(requests=1000)("192.0.2.1")

    answers = [person.post("/sign-in", data={"key": "wrong"}).status_code for _ in range(3)]
    late = person.post("/sign-in", data={"key": KEY})

    assert answers == [401] * 3
    assert late.status_code == 429
    assert "Too many wrong keys: try again in" in late.text
    assert "set-cookie" not in late.headers


def test_the_settings_say_how_often(monkeypatch):
    monkeypatch.setenv("LIKENESS_REQUESTS_PER_MINUTE", "7")

    assert Settings().requests_per_minute == 7
