"""Starts the API, the page and the workers as processes of their own, and restarts what dies."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.jobs import LANES
from app.settings import Settings
from model.errors import BadInput

ROOT = Path(__file__).parent.parent
PR_SET_PDEATHSIG = 1  # linux/prctl.h
PATIENCE = 10.0  # seconds a process has to stop before it is killed
NICE = {"page": 5, "worker": 15}  # a search on two cores need not wait for a page that reruns, or for a training
QUICK = 5.0  # a process that lived shorter than this is restarted only after a pause


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    started: float
    restart_at: float | None = None


def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run until SIGINT or SIGTERM. `announce` gets the page's URL once everything answers."""
    settings.require_key()
    _require_free(settings.host, settings.port)
    _require_free(settings.api_host, settings.api_port)
    environment = {**os.environ, **_environment(settings), "PYTHONUNBUFFERED": "1"}
    commands = {
        "api": [sys.executable, "-m", "app.api"],
        "page": [sys.executable, "-m", "app.page"],
        **{f"worker {lane}": [sys.executable, "-m", "app.cli", "worker", "--lane", lane]
           for lane in sorted(set(LANES.values()))},
    }  # fmt: skip
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    def start(name: str) -> _Child:
        # A session of their own: Ctrl-C in a terminal reaches us alone, and we stop them in order.
        prepare = functools.partial(_in_the_child, NICE.get(name.partition(" ")[0], 0))
        process = subprocess.Popen(
            commands[name], cwd=ROOT, env=environment, start_new_session=True, preexec_fn=prepare
        )
        return _Child(process, time.monotonic())

    children = {name: start(name) for name in commands}
    announced = False
    try:
        while not stopping.is_set():
            for name, child in children.items():
                if child.process.poll() is None:
                    continue
                now = time.monotonic()
                if child.restart_at is None:
                    lived = now - child.started
                    child.restart_at = now if lived > QUICK else now + QUICK
                    print(f"{name} ended with {child.process.returncode}; restarting it", file=sys.stderr)
                if now >= child.restart_at:
                    children[name] = start(name)
            if not announced and _answers(settings):
                announced = True
                everywhere = settings.host in ("0.0.0.0", "::")
                shown = "localhost" if settings.loopback or everywhere else settings.host
                announce(f"http://{shown}:{settings.port}")
            stopping.wait(0.2)
    finally:
        _stop([child.process for child in children.values()])


def _in_the_child(nice: int) -> None:
    """Asks Linux for SIGTERM should we be killed, or the ports and locks would stay taken; and stands back."""
    if nice:
        os.nice(nice)
        _stand_back_as_a_session(nice)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _stand_back_as_a_session(nice: int) -> None:
    """Linux on a desktop divides the processor between sessions first (sched(7), "autogroup").

    Each child leads a session of its own, and there its niceness alone would count among its own threads only.
    """
    for _ in range(5):
        try:
            descriptor = os.open("/proc/self/autogroup", os.O_WRONLY)
            try:
                os.write(descriptor, str(nice).encode())
            finally:
                os.close(descriptor)
        except BlockingIOError:  # one change in a tenth of a second, unless by root
            time.sleep(0.11)
            continue
        except OSError:
            pass  # another system, or one that does not divide so
        return


def _environment(settings: Settings) -> dict[str, str]:
    """The settings as the variables our children read, so that options given here reach them."""
    values = settings.model_dump(exclude_none=True)
    return {f"LIKENESS_{name.upper()}": str(value) for name, value in values.items()}


def _answers(settings: Settings) -> bool:
    host = settings.host if settings.host not in ("0.0.0.0", "::") else "127.0.0.1"
    try:
        with httpx.Client(timeout=2, trust_env=False) as client:
            page = client.get(f"http://{host}:{settings.port}/_stcore/health")
            api = client.get(f"http://{host}:{settings.port}/v1/health")
    except httpx.TransportError:
        return False
    return page.status_code == api.status_code == 200


def _require_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BadInput(
                f"Port {port} on {host} cannot be used ({error.strerror}): stop what uses it, or choose another with "
                "--port and --api-port."
            ) from error


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + PATIENCE
    for process in processes:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
