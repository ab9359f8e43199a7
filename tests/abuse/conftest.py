"""One server for the tests of a file."""

from collections.abc import Iterator

import pytest

from tests.abuse.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server"), max_upload_mb=4)
    yield started
    started.stop()


@pytest.fixture(autouse=True)
def it_goes_on(server) -> Iterator[None]:
    """Whatever was done to it, it is there afterwards, and does its work."""
    yield
    assert server.process.poll() is None
    found = server.client.post("/v1/collections/photos/search", json={"positive": [1]})
    assert (found.status_code, found.json()["total"]) == (200, 7)
