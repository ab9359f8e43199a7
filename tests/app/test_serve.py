"""`likeness serve`: one URL, restarts what dies, stops everything it started."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from app.serve import NICE

PATIENCE = 90  # seconds; Streamlit takes a while to import on a busy machine


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def children_of(pid):
    listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return {int(line.split(None, 1)[0]): line for line in listed.splitlines()}


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # ended, and only waiting for somebody to notice


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"waited {PATIENCE} s for {what}")


@pytest.fixture
def served(settings, tmp_path):
    """A running `likeness serve`: (process, port, api_port)."""
    port, api_port = free_ports(2)
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--api-port", str(api_port)]
    relative = os.path.relpath(settings.home)  # the processes it starts must find the same folder
    environment = {**os.environ, "LIKENESS_HOME": relative, "PYTHONUNBUFFERED": "1"}
    log = open(tmp_path / "log", "wb")  # noqa: SIM115
    process = subprocess.Popen([*command], env=environment, stdout=log, stderr=log)
    try:
        wait_until(
            lambda: b"Likeness is at" in (tmp_path / "log").read_bytes() or process.poll() is not None, "the URL"
        )
        assert process.poll() is None, (tmp_path / "log").read_text()
        yield process, port, api_port
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)
        log.close()


@pytest.mark.promise(33)
def test_page_and_api_share_one_origin_survive_a_crash_and_stop_together(served, settings):
    process, port, api_port = served
    page = f"http://localhost:{port}"
    children = children_of(process.pid)
    (api,) = [pid for pid, line in children.items() if "app.api" in line]

    html = httpx.get(page).text
    through_page = httpx.get(f"{page}/v1/health").json()
    directly = httpx.get(f"http://localhost:{api_port}/v1/health").json()
    made = httpx.post(f"{page}/v1/collections", json={"name": "photos"})
    foreign = httpx.post(f"{page}/v1/collections", json={"name": "x"}, headers={"Origin": "http://evil.example"})
    os.kill(api, signal.SIGKILL)
    wait_until(lambda: httpx.get(f"{page}/v1/health").status_code == 503, "the page to say that the API is down")
    wait_until(lambda: httpx.get(f"{page}/v1/collections").status_code == 200, "the API's return")
    kept = httpx.get(f"{page}/v1/collections").json()["items"]
    process.send_signal(signal.SIGTERM)
    process.wait(30)

    assert "<html" in html
    assert through_page == directly
    assert made.status_code == 201
    assert foreign.status_code == 403
    assert [item["name"] for item in kept] == ["photos"]
    assert (settings.home / "catalog.db").exists()
    assert len(children) == 4
    assert not any(os.path.exists(f"/proc/{pid}") for pid in children)


def test_a_collection_may_be_called_anything(served):
    _process, port, _api_port = served
    page = f"http://localhost:{port}/v1/collections"

    made = httpx.post(page, json={"name": "What? 100%#1"})
    found = httpx.get(f"{page}/What%3F%20100%25%231")

    assert made.status_code == 201
    assert found.json()["name"] == "What? 100%#1"


@pytest.mark.promise(33)
def test_a_killed_serve_leaves_nothing_running(served):
    process, _port, _api_port = served
    children = children_of(process.pid)

    process.kill()
    process.wait()

    wait_until(lambda: not any(alive(pid) for pid in children), "the children to end")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_pages_and_workers_stand_back_for_searches(served):
    process, _port, _api_port = served
    said = {"api": 0, "page": NICE["page"], "cli": NICE["worker"]}

    nice = {}
    for pid, line in children_of(process.pid).items():
        name = line.split("app.")[1].split()[0]
        nice[name] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16])
        group = Path(f"/proc/{pid}/autogroup")
        if group.exists():  # each is a session of its own, and Linux divides between sessions first
            assert int(group.read_text().split()[-1]) == said[name]

    assert nice["api"] < nice["page"] < nice["cli"]


def test_a_taken_port_is_said_in_one_sentence(settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
        environment = {**os.environ, "LIKENESS_HOME": str(settings.home)}
        process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)

    assert process.returncode == 1
    assert f"Port {port} on 127.0.0.1 cannot be used" in process.stderr
