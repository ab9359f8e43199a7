"""One real installation for the tests of the page and its client: `likeness serve` on free ports with an empty home."""

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from playwright.sync_api import Browser, Error, Page, expect, sync_playwright

from tests.pictures import views
from ui.client import Likeness

expect.set_options(timeout=30_000)
NAMES = {"coffee": "cup", "galaxies": "sky"}  # photograph -> what a person would call it
PATIENCE = 120  # seconds; a cold start is 10 on an idle machine with two cores
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


class Site(NamedTuple):
    """Where it is: the page, the API's own address, and its home."""

    page: str
    api: str
    home: Path


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


@contextmanager
def serving(folder: Path, ports: tuple[int, int] | None = None) -> Iterator[Site]:
    """`likeness serve` with its home in `folder`, empty at first; on free ports, or where it was before."""
    port, api_port = ports or (free_port(), free_port())
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--api-port", str(api_port)]
    process = started(
        [*command, "--home", str(folder / "home")], f"http://127.0.0.1:{port}/v1/ready", folder / "serve.log"
    )
    try:
        yield Site(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{api_port}", folder / "home")
    finally:
        stopped(process)


def with_shipped(folder: Path, shipped: Path) -> Path:
    """`folder`, where a home will be that has the encoder that ships and need not export it."""
    (folder / "home" / "models").mkdir(parents=True)
    (folder / "home" / "models" / shipped.name).symlink_to(shipped)
    return folder


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, shipped_folder: Path) -> Iterator[Site]:
    with serving(with_shipped(tmp_path_factory.mktemp("site"), shipped_folder)) as site:
        yield site


def collect(site: Site, name: str, subjects: tuple[str, ...], each: int, size: int = 96) -> None:
    """A collection of cuts of photographs, searchable."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for subject in subjects:
            for number, view in enumerate(views(subject, each, size)):
                picture = io.BytesIO()
                view.save(picture, "PNG")
                archive.writestr(f"{subject}-{number:02}.png", picture.getvalue())
    with Likeness(site.api) as likeness:
        likeness.create_collection(name)
        files = {"files": ("pictures.zip", buffer.getvalue(), "application/zip")}
        job = httpx.post(f"{site.api}/v1/collections/{name}/images", files=files, trust_env=False, timeout=60)
        likeness.wait(job.json(), timeout=240)
        likeness.wait(likeness.index(name), timeout=240)


@pytest.fixture(scope="session")
def demo(site: Site) -> Site:
    """The demo collection, indexed, with two classes of five labels."""
    with Likeness(site.api) as likeness:
        likeness.wait(likeness.open_demo(), timeout=240)
        likeness.wait(likeness.index("demo"), timeout=240)
        for subject in ("brick", "moon"):
            images = likeness.images("demo", filter={"text": subject}, sort="name", limit=5)["items"]
            likeness.label("demo", [image["id"] for image in images], subject)
    return site


@pytest.fixture(scope="session")
def mixed(site: Site) -> Site:
    """A collection of three subjects, eight labels each of which one is wrong."""
    collect(site, "mixed", ("coffee", "galaxies", "brick"), 16)
    with Likeness(site.api) as likeness:
        for subject, name in {**NAMES, "brick": "wall"}.items():
            images = likeness.images("mixed", filter={"text": subject}, sort="name", limit=8)["items"]
            likeness.label("mixed", [image["id"] for image in images], name)
        likeness.label("mixed", [images[0]["id"]], "cup")  # a wall that somebody took for a cup
        likeness.probe("mixed")
    return site


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


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """A fresh window; what goes wrong inside it fails the test, and so does any request to elsewhere."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(30_000)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(f"JavaScript: {error}"))
    page.on(
        "request",
        lambda request: re.match(r"(https?|wss?)://(?!127\.0\.0\.1)", request.url) and wrong.append(request.url),
    )
    yield page
    context.close()
    assert wrong == []


@contextmanager
def seen(page: Page, folder: Path) -> Iterator[None]:
    """Keep a picture of the page when what is inside fails."""
    try:
        yield
    except BaseException:
        path = folder / "page.png"
        page.screenshot(path=path)
        print(f"The page as it was: {path}", file=sys.stderr)
        raise
