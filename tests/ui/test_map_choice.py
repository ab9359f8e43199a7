"""What is chosen with the lasso's button: removed, or refused beyond the limit; a drawing that is given up."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.ui.conftest import Site, collect, seen
from tests.ui.test_map import SLOW, canvas, comes_true, groups, pictures
from ui.client import ApiError, Likeness

NAME, EACH = "plain", 20
SUBJECTS = ("brick", "galaxies", "cat")
MOST = 100_000  # pictures of a selection on the map, as in ui/grid/map.js


@pytest.fixture(scope="module")
def plain(site: Site) -> Iterator[Site]:
    """A small collection of three subjects with its map: its pictures may go."""
    collect(site, NAME, SUBJECTS, EACH, size=64)
    with Likeness(site.api) as likeness:
        likeness.wait(likeness.draw_map(NAME), timeout=240)
        yield site
        likeness.delete_collection(NAME)


def opened(page: Page, site: Site) -> dict[str, Any]:
    """The map on the page, and what the API says of it."""
    page.goto(f"{site.page}/map?c={NAME}")
    expect(canvas(page)).to_have_attribute("aria-busy", "false")
    expect(groups(page).get_by_role("button").first).to_be_visible()
    return httpx.get(f"{site.api}/v1/collections/{NAME}/map", trust_env=False).json()


def lasso(page: Page) -> None:
    """With the tool, and no key held: around the whole map, but for the buttons in its corner."""
    button = page.get_by_role("button", name="Lasso")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    box = canvas(page).bounding_box()
    assert box is not None
    left, top, right, bottom = box["x"] + 4, box["y"] + 4, box["x"] + box["width"] - 4, box["y"] + box["height"] - 4
    page.mouse.move(right, top)
    page.mouse.down()
    for x, y in ((right, bottom), (left, bottom), (left, top)):
        page.mouse.move(x, y, steps=3)
    page.mouse.up()
    expect(button).to_have_attribute("aria-pressed", "false")  # it is for one drawing; the next drag moves the map


def test_what_is_drawn_around_with_the_lasso_is_removed_from_the_collection_and_the_map(
    plain: Site, page: Page, tmp_path: Path
) -> None:
    with seen(page, tmp_path):
        drawn = opened(page, plain)
        lasso(page)
        expect(page.get_by_text(f"{len(drawn['ids'])} selected")).to_be_visible()

        # all but one are let go again, and that one is removed after a question
        pictures(page).nth(2).click()
        expect(page.get_by_text("1 selected", exact=True)).to_be_visible()
        page.get_by_role("button", name="Remove").click()
        question = page.get_by_role("dialog", name=re.compile(f"from “{NAME}”"))
        expect(question).to_contain_text("The file itself stays where it is.")
        question.get_by_role("button", name="Remove").click()
        expect(page.get_by_text("1 picture removed.")).to_be_visible()
        expect(page.get_by_text(f"{len(drawn['ids']) - 1} pictures on the map")).to_be_visible()
        with Likeness(plain.api) as likeness:
            left = {image["id"] for image in likeness.all_images(NAME)}
            n = likeness.map(NAME)["clusters"][0]["size"]
        assert len(left) == len(drawn["ids"]) - 1

        # a group of the list is removed whole, and the groups are listed without it
        page.get_by_role("button", name="All groups").click()
        first = groups(page).get_by_role("button").first
        expect(first).to_contain_text(f"{n} pictures")  # the list follows the map in a moment
        first.click()
        expect(page.get_by_text(f"{n} selected")).to_be_visible()
        page.get_by_role("button", name="Remove").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.get_by_text(f"{n} pictures removed.")).to_be_visible()
        expect(page.get_by_text(f"{len(left) - n} pictures on the map")).to_be_visible()
        expect(page.get_by_text("None of these pictures is in the collection any more.")).to_be_visible()
        with Likeness(plain.api) as likeness:
            assert likeness.collection(NAME)["images"] == len(left) - n
        page.get_by_role("button", name="All groups").click()
        expect(groups(page).get_by_role("button").first).to_be_visible()


def test_more_than_a_selection_may_hold_is_refused_in_one_sentence_and_fewer_work(
    plain: Site, page: Page, tmp_path: Path
) -> None:
    def crowded(route: Route) -> None:
        """The map as it is, and so many pictures more beside the first that no selection holds all."""
        response = route.fetch()
        real = response.json()
        for name in {"x", "y", "cluster", "name"} & real.keys():
            real[name] += [real[name][0]] * (MOST + 1 - len(real[name]))
        if "ids" in real:
            real["ids"] += range(max(real["ids"]) + 1, max(real["ids"]) + 2 + MOST - len(real["ids"]))
        route.fulfill(response=response, json={**real, "total": MOST + 1})

    address = re.compile(f"/v1/collections/{NAME}/map(/classes)?$")
    page.route(address, crowded)
    with seen(page, tmp_path):
        opened(page, plain)
        lasso(page)
        expect(
            page.get_by_text("A selection on the map holds at most 100,000 pictures: draw around fewer.")
        ).to_be_visible()
        expect(groups(page)).to_be_visible()  # nothing was chosen

        page.unroute(address)
        drawn = opened(page, plain)
        lasso(page)
        expect(page.get_by_text(f"{len(drawn['ids'])} selected")).to_be_visible()


def test_a_drawing_that_waits_is_given_up_and_the_map_stays_as_it_was(plain: Site, page: Page, tmp_path: Path) -> None:
    with Likeness(plain.api) as likeness, seen(page, tmp_path):
        before = opened(page, plain)
        # the lane is kept busy, so that the drawing is still to be begun when it is given up
        measuring = likeness.estimate(NAME, epochs=1, batch_size=16, image_size=32)
        page.get_by_role("button", name="Draw anew…").click()
        page.get_by_role("dialog").get_by_role("button", name="Draw anew…").click()
        stop = page.get_by_role("button", name="Cancel")
        stop.click()
        expect(page.get_by_text("Stopped. The map that was there before stays.")).to_be_visible(timeout=SLOW)
        expect(stop).to_be_hidden()
        jobs = [job for job in likeness.jobs(NAME) if job["kind"] == "map"]
        assert jobs[0]["state"] == "cancelled"
        after = httpx.get(f"{plain.api}/v1/collections/{NAME}/map", trust_env=False).json()
        assert (after["ids"], after["x"], after["made"]) == (before["ids"], before["x"], before["made"])

        # another is drawn to its end
        with contextlib.suppress(ApiError):  # it is over by now on a slow machine
            likeness.cancel(measuring["id"])
        page.get_by_role("button", name="Draw anew…").click()
        page.get_by_role("dialog").get_by_role("button", name="Draw anew…").click()
        comes_true(page, lambda: likeness.jobs(NAME)[0]["state"] == "succeeded", patience=SLOW)
        expect(stop).to_be_hidden()
        expect(canvas(page)).to_have_attribute("aria-busy", "false")
