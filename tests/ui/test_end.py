"""The line where the alike ones seem to end: it lies between the pictures that it says it lies between."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.ui.conftest import Site, seen
from tests.ui.test_everywhere import FRAME

LINE = re.compile(r"^The alike ones seem to end here, at a score of \d\.\d\d")


def tiles(page: Page) -> list[dict[str, float]]:
    """Place in the list, score, upper and lower edge of every picture that is drawn, in their order."""
    return page.get_by_role("listbox", name="Pictures").evaluate(
        """(grid) => [...grid.querySelectorAll("[role=option]")]
          .map((one) => ({
            place: Number(one.ariaPosInSet),
            score: Number(/score (-?[\\d.]+)/.exec(one.ariaLabel)[1]),
            top: one.getBoundingClientRect().top,
            bottom: one.getBoundingClientRect().bottom,
          }))
          .sort((a, b) => a.place - b.place)"""
    )


def parts(page: Page, line: Locator, at: int, score: float) -> None:
    """Assert that the line lies below the first `at` pictures and above all others, and that this is at `score`."""
    line.scroll_into_view_if_needed()
    page.evaluate(FRAME)  # what came into view is drawn then
    box = line.bounding_box()
    assert box is not None
    above = [one for one in tiles(page) if one["bottom"] <= box["y"] + 1]
    below = [one for one in tiles(page) if one["top"] >= box["y"] + box["height"] - 1]
    assert len(above) + len(below) == len(tiles(page)), "a picture lies under the line"
    assert (above[-1]["place"], below[0]["place"]) == (at, at + 1)
    assert min(one["score"] for one in above) >= score - 0.01
    assert max(one["score"] for one in below) <= score + 0.01


@pytest.fixture
def asked(demo: Site) -> tuple[int, int, float]:
    """A picture of the demo, how many are alike, and the score that ends them."""
    images = httpx.get(f"{demo.api}/v1/collections/demo/images", params={"text": "coffee", "limit": 1}, trust_env=False)
    picture = images.json()["items"][0]["id"]
    body = {"positive": [picture], "limit": 500}
    end = httpx.post(f"{demo.api}/v1/collections/demo/search", json=body, trust_env=False).json()["end"]
    return picture, end["at"], end["score"]


def test_the_line_lies_where_the_alike_ones_end_and_selects_or_keeps_them(
    demo: Site, asked: tuple[int, int, float], page: Page, tmp_path: Path
) -> None:
    picture, at, score = asked
    assert at > 0
    with seen(page, tmp_path):
        page.goto(f"{demo.page}/search?c=demo&like={picture}")
        line = page.locator(".line")
        expect(line).to_contain_text(LINE)
        parts(page, line, at, score)

        # other tile sizes lay everything out anew, the line with it
        page.get_by_role("slider", name="Size of the pictures").fill("120")
        parts(page, line, at, score)
        page.get_by_role("slider", name="Size of the pictures").fill("240")
        parts(page, line, at, score)

        page.get_by_role("button", name=f"Select the {at} above").click()
        expect(page.get_by_text(f"{at} selected", exact=True)).to_be_visible()
        page.keyboard.press("Escape")

        # another list has a line of its own, or none
        page.get_by_role("button", name="Show only those").click()
        expect(page.get_by_role("status").filter(has_text=re.compile(f"^{at} pictures?,"))).to_be_visible()
        expect(line).to_be_hidden()
        page.get_by_role("button", name=re.compile("^Remove the filter: Score")).click()
        expect(line).to_contain_text(LINE)
        parts(page, line, at, score)
        page.get_by_role("button", name="New search").click()
        expect(page.get_by_role("status").filter(has_text=re.compile(r"^\d+ pictures$"))).to_be_visible()
        expect(line).to_be_hidden()


def test_ctrl_a_says_when_a_list_is_longer_than_it_can_take(
    demo: Site, asked: tuple[int, int, float], page: Page, tmp_path: Path
) -> None:
    def longer(route: Route) -> None:  # the demo's own hits, in a list said to go on: ten thousand are not at hand
        if route.request.post_data_json.get("offset", 0) >= 600:
            return route.fulfill(json={"hits": [], "total": 10_050, "end": None})
        answer = route.fetch()
        return route.fulfill(response=answer, json={**answer.json(), "total": 10_050, "end": None})

    with seen(page, tmp_path):
        page.route("**/v1/collections/demo/search", longer)
        page.goto(f"{demo.page}/search?c=demo&like={asked[0]}")
        expect(page.get_by_role("status").filter(has_text="10,050 pictures")).to_be_visible()
        page.get_by_role("listbox", name="Pictures").focus()
        page.keyboard.press("Control+a")
        said = page.get_by_text("Selected the first 10,000 of 10,050")
        expect(said).to_be_visible(timeout=120_000)  # a hundred pages were asked for before
        page.keyboard.press("Escape")
