"""Promise 24: whatever a parameter holds, the answer is no 500, and no 503 or 507 while nothing is wrong outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.abuse.server import Server

EXAMPLES = 5  # of every operation and kind; --deep multiplies it
# Where half of the requests go, so that they get past "there is no such thing".
KNOWN = {"collection": "photos", "image_id": 3, "class": "cat", "name": "cat", "fingerprint": "7beda1c2b075adfc"}
ENDLESS = "/v1/jobs/{job_id}/events"  # tells of a job until it has ended, and nobody works here
WRONG = (500, 501, 502, 503, 504, 507)


@pytest.fixture(scope="module")
def document(server) -> dict[str, Any]:
    return server.client.get("/v1/openapi.json").json()


def bounds(document: dict[str, Any]) -> Iterator[tuple[str, str, str, str, Any]]:
    """(method, path, where, name, a value just outside) for every bound that the document names."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for parameter in operation.get("parameters", []):
                kinds = parameter["schema"].get("anyOf", [parameter["schema"]])
                for kind in kinds:
                    outside: list[Any] = ["no number"] if kind.get("type") in ("integer", "number") else []
                    outside += [kind["minimum"] - 1] if "minimum" in kind else []
                    outside += [kind["maximum"] + 1, 10**400] if "maximum" in kind else []
                    outside += ["x" * (kind["maxLength"] + 1)] if "maxLength" in kind else []
                    outside += ["no such choice"] if "enum" in kind else []
                    for value in outside:
                        yield method, path, parameter["in"], parameter["name"], value


@pytest.mark.promise(24)
def test_promise_24_every_parameter_just_outside_its_bounds_is_4xx(server, document, record_property):
    wrong, tried = [], 0
    for method, path, where, name, value in bounds(document):
        given_ = {
            **KNOWN,
            "job_id": 1,
            "search_id": 1,
            "comparison_id": 1,
            "upload": "x",
            "query_id": "x",
            "what": "cancel",
            "column": "classes",
        }
        query = {name: value} if where == "query" else {}
        address = path.format(**({**given_, name: value} if where == "path" else given_))
        answer = server.client.request(method, address, params=query)
        tried += 1
        if not 400 <= answer.status_code < 500 or "detail" not in answer.json():
            wrong.append((method, path, name, str(value)[:40], answer.status_code))
    record_property("requests sent", tried)

    assert wrong == []
    assert tried > 100


@pytest.mark.promise(24)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["as described", "otherwise"])
def test_promise_24_no_request_that_the_document_describes_or_not_is_a_500(
    server, document, mode, record_property, request
):
    schema = schemathesis.openapi.from_dict(document)
    session = requests.Session()
    session.trust_env = False
    found: list[str] = []
    tried = 0
    examples = EXAMPLES * request.config.getoption("--deep")

    for result in schema.get_all_operations():
        operation = result.ok()
        names = {parameter.name for parameter in operation.path_parameters}
        known = {name: value for name, value in KNOWN.items() if name in names}
        if operation.method == "delete" and operation.path.endswith("{collection}"):
            known = {}
        if operation.path == ENDLESS:
            known = {}

        def send(case: schemathesis.Case) -> None:
            nonlocal tried
            tried += 1
            answer = case.call(base_url=server.url, session=session, timeout=60)
            if answer.status_code in WRONG:
                found.append(f"{answer.status_code}: {case.as_curl_command()}")

        for fixed in ({}, known) if known else ({},):
            try:
                strategy = operation.as_strategy(generation_mode=mode, path_parameters=fixed or None)
                drawn(strategy, examples)(send)
            except Unsatisfiable:
                continue  # nothing that this operation takes can be wrong
        restore(server)
    record_property("requests sent", tried)

    assert found == []
    assert tried > 150


def drawn(strategy: Any, examples: int) -> Any:
    """Call a function with so many cases of a strategy; the same ones every time, unless asked to go deeper."""

    def run(function: Any) -> None:
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=examples == EXAMPLES,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def each(case: Any) -> None:
            function(case)

        each()

    return run


def restore(server: Server) -> None:
    """What a request may rightly have renamed or taken away comes back, so that the next finds it."""
    names = [item["name"] for item in server.client.get("/v1/collections").json()["items"]]
    if "photos" not in names:
        made = next(name for name in names if server.client.get(f"/v1/collections/{name}").json()["images"])
        server.client.patch(f"/v1/collections/{made}", json={"name": "photos"})


@pytest.fixture(autouse=True)
def it_goes_on(server) -> Iterator[None]:
    """A request may rightly have taken pictures away: that it goes on is enough."""
    yield
    assert server.process.poll() is None
    assert server.client.get("/v1/ready").status_code == 200
