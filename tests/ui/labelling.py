"""What tests of the Label page ask and see."""

from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.ui.conftest import Site


def api(site: Site, path: str, **parameters: Any) -> Any:
    answer = httpx.get(f"{site.api}/v1/collections/{path}", params=parameters, trust_env=False, timeout=60)
    return answer.raise_for_status().json()


def answers(site: Site, collection: str) -> dict[str, str]:
    """Picture's name -> its class, or the answer that is none."""
    items = api(site, f"{collection}/labels", limit=500)["items"]
    return {item["name"]: item["class"] or item["answer"] for item in items}


def picture(page: Page) -> Locator:
    """The picture to label."""
    return page.get_by_role("group", name="Picture to label").get_by_role("img")


def name_of(page: Page) -> str:
    return picture(page).get_attribute("alt") or ""


def saved(page: Page) -> None:
    expect(page.get_by_text("✓ All labels are saved.")).to_be_visible()
