"""One real installation for the tests of the page and its client: `likeness serve` on free ports with an empty home."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from playwright.sync_api import Browser, Error, sync_playwright

PATIENCE = 120  # seconds; a cold start is 10 on an idle machine with two cores
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


class Site(NamedTuple):
    """Where it is: the page, and the API's own address."""

    page: str
    api: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def started(command: list[str], answers: str, log: Path, environment: dict[str, str] | None = None) -> subprocess.Popen:
    """Run `command` until the address `answers` does; its output goes to `log`."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
        )
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(answers, timeout=2, trust_env=False).is_success:
                return process
        except httpx.TransportError:
            time.sleep(0.2)
    process.terminate()
    raise AssertionError(f"{' '.join(command)} did not answer at {answers}:\n{log.read_text(errors='replace')[-4000:]}")


def stopped(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    port, api_port = free_port(), free_port()
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--api-port", str(api_port)]
    process = started(
        [*command, "--home", str(folder / "home")], f"http://127.0.0.1:{port}/v1/ready", folder / "serve.log"
    )
    try:
        yield Site(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{api_port}")
    finally:
        stopped(process)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        except Error:
            if chromium is not None:
                raise
            pytest.fail("There is no Chromium on this machine: run ./scripts/setup, which installs it.")
        yield browser
        browser.close()
