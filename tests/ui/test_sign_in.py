"""With a key set, a person signs in once in a real browser, and the page works from then on (promise 30)."""

import sys
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.ui.conftest import free_port, started, stopped

KEY = "correct horse battery"


@pytest.mark.promise(30)
def test_a_person_signs_in_once_and_the_page_works(browser: Browser, tmp_path: Path):
    port, api_port = free_port(), free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--api-port", str(api_port)]
    process = started(
        [*command, "--home", str(tmp_path / "home")],
        f"{address}/v1/health",
        tmp_path / "log",
        {"LIKENESS_API_KEY": KEY},
    )
    context = browser.new_context()
    context.set_default_timeout(60_000)
    try:
        for url in (address, f"{address}/v1/collections", f"http://127.0.0.1:{api_port}/v1/collections"):
            assert httpx.get(url, trust_env=False).status_code == 401

        page = context.new_page()
        page.goto(f"{address}/?c=photos")
        page.get_by_label("The key of this installation").fill("not the key")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("This is not the key")
        page.get_by_label("The key of this installation").fill(KEY)
        page.get_by_role("button", name="Sign in").click()

        # Streamlit's websocket and the page's own requests to the API came through.
        expect(page.get_by_text("Drop pictures, a folder or a zip here")).to_be_visible(timeout=60_000)
        assert page.evaluate("fetch('/v1/collections').then(answer => answer.status)") == 200
    finally:
        context.close()
        stopped(process)
