"""Promise 26: 64 clients with 20 MB each at once."""

import pytest

from app.pressure import Gate, Overloaded
from scripts.benchmarks.load import CLIENTS, MEGABYTES, noise, storm
from tests.abuse.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = Server(tmp_path_factory.mktemp("server"))
    yield started
    started.stop()


@pytest.mark.promise(26)
def test_promise_26_some_are_served_the_rest_told_to_come_back_and_health_is_always_answered(server, record_property):
    picture = noise(MEGABYTES)
    storm(server, 1, picture)

    seen = storm(server, CLIENTS, picture)

    served, refused = len(seen.served), seen.answers[429] + seen.answers[503]
    record_property("clients at once", CLIENTS)
    record_property("of them served", served)
    record_property("ms, the slowest answer of health", round(1000 * max(seen.health)))
    record_property("MB more memory", round(seen.grown / 1e6))
    assert served >= 2
    assert served + refused == CLIENTS, seen.answers
    assert seen.unexplained == 0
    assert len(seen.health) > 5
    assert seen.silent == 0
    assert seen.grown < 4e8
    assert not list(server.temporary.iterdir())


@pytest.mark.promise(26)
def test_promise_26_a_gate_lets_some_in_has_few_wait_and_refuses_the_rest():
    gate = Gate(places=1, waiting=1, patience=0.01)

    with gate.place():
        with pytest.raises(Overloaded, match="try again in"), gate.place():
            pass
        gate._waiting.acquire()  # somebody else waits
        with pytest.raises(Overloaded), gate.place():
            pass
        gate._waiting.release()
    with gate.place():
        pass
