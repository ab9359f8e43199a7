"""Labelling where a picture may have several classes: a key says yes or no of one, and the picture stays."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.ui.conftest import Site, collect, seen
from tests.ui.labelling import api, name_of, picture, saved


@pytest.fixture(scope="module")
def tags(site: Site) -> Site:
    """A collection whose pictures may have several classes, and two classes without an answer."""
    collect(site, "tags", ("coffee", "galaxies"), 8)
    here = f"{site.api}/v1/collections/tags"
    httpx.patch(here, json={"multi_label": True}, trust_env=False, timeout=60).raise_for_status()
    for name in ("cup", "dark"):
        httpx.post(f"{here}/classes", json={"name": name}, trust_env=False, timeout=60).raise_for_status()
    return site


def answers(site: Site, name: str) -> dict[str, str]:
    """What was said of the picture of that name: class -> answer."""
    items = api(site, "tags/images", limit=500)["items"]
    return {item["name"]: item["answers"] for item in items}[name]


def said(page: Page, name: str, answer: str) -> Locator:
    return page.get_by_role("button", name=re.compile(rf"^{name}, \d+ labels?, {answer}$"))


def test_keys_say_yes_and_no_of_each_class_and_the_picture_stays_until_it_is_left(
    tags: Site, page: Page, tmp_path: Path
) -> None:
    press = page.keyboard.press
    with seen(page, tmp_path):
        page.goto(f"{tags.page}/label?c=tags")
        expect(picture(page)).to_have_count(1)
        first = name_of(page)
        expect(said(page, "cup", "not said")).to_be_visible()

        press("1")
        press("2")
        press("2")
        expect(said(page, "cup", "yes")).to_be_visible()
        expect(said(page, "dark", "no")).to_be_visible()
        press("a")
        page.keyboard.type("warm")
        press("Enter")
        expect(said(page, "warm", "yes")).to_be_visible()
        saved(page)
        assert name_of(page) == first
        assert answers(tags, first) == {"cup": "yes", "dark": "no", "warm": "yes"}

        press("Shift+Digit1")
        expect(said(page, "cup", "no")).to_be_visible()
        press("Control+z")
        expect(said(page, "cup", "yes")).to_be_visible()
        saved(page)
        assert answers(tags, first) == {"cup": "yes", "dark": "no", "warm": "yes"}

        press("Space")
        expect(picture(page)).not_to_have_attribute("alt", first)
        second = name_of(page)
        expect(said(page, "cup", "not said")).to_be_visible()
        said(page, "dark", "not said").click()
        expect(said(page, "dark", "yes")).to_be_visible()
        press("Enter")
        expect(picture(page)).not_to_have_attribute("alt", second)
        saved(page)
        assert answers(tags, second) == {"dark": "yes"}

        # one step back is the picture that was left, the next its answer, then the picture before
        press("Control+z")
        expect(picture(page)).to_have_attribute("alt", second)
        expect(said(page, "dark", "yes")).to_be_visible()
        press("Control+z")
        expect(said(page, "dark", "not said")).to_be_visible()
        press("Control+z")
        expect(picture(page)).to_have_attribute("alt", first)
        expect(said(page, "dark", "no")).to_be_visible()
        saved(page)
        assert answers(tags, second) == {}
        assert answers(tags, first) == {"cup": "yes", "dark": "no", "warm": "yes"}


def test_none_of_these_is_a_no_to_every_class_and_undone_in_one_step(tags: Site, page: Page, tmp_path: Path) -> None:
    press = page.keyboard.press
    with seen(page, tmp_path):
        page.goto(f"{tags.page}/label?c=tags")
        expect(picture(page)).to_have_count(1)
        first = name_of(page)

        press("1")
        expect(said(page, "cup", "yes")).to_be_visible()
        press("n")
        expect(picture(page)).not_to_have_attribute("alt", first)
        saved(page)
        assert answers(tags, first) == {}
        press("Control+z")
        expect(picture(page)).to_have_attribute("alt", first)
        expect(said(page, "cup", "yes")).to_be_visible()
        saved(page)
        assert answers(tags, first)["cup"] == "yes"


def test_classes_that_come_late_are_in_the_open_menu_of_a_search_and_leave_what_is_typed_there(
    tags: Site, page: Page, tmp_path: Path
) -> None:
    (like, *_) = api(tags, "tags/images", limit=1)["items"]
    held: list[Route] = []
    asked = re.compile("/tags/classes$")
    with seen(page, tmp_path):
        page.route(asked, lambda route: held.append(route))
        with page.expect_request(asked):
            page.goto(f"{tags.page}/search?c=tags&like={like['id']}")
        page.get_by_role("button", name="Label", exact=True).click()
        panel = page.get_by_role("dialog", name="Label")
        name = panel.get_by_label("Name of a new class")
        name.fill("war")
        expect(panel.get_by_role("button", name="cup")).to_have_count(0)

        for route in held:
            route.fallback()

        expect(panel.get_by_role("button", name="cup")).to_be_visible()
        expect(name).to_have_value("war")
        expect(name).to_be_focused()


def test_ticks_and_crosses_of_a_search_become_yes_and_no_of_a_class(tags: Site, page: Page, tmp_path: Path) -> None:
    ids = {item["name"]: item["id"] for item in api(tags, "tags/images", limit=500)["items"]}
    like, unlike = ids["coffee-06.png"], ids["galaxies-06.png"]
    with seen(page, tmp_path):
        page.goto(f"{tags.page}/search?c=tags&like={like}&not={unlike}")
        page.get_by_role("button", name="Label", exact=True).click()
        panel = page.get_by_role("dialog", name="Label")
        expect(panel).to_contain_text("✓ 1 are of the class, ✗ 1 are not")
        panel.get_by_role("button", name="cup").click()
        expect(page.get_by_text("✓ All saved")).to_be_visible()

    assert answers(tags, "coffee-06.png")["cup"] == "yes"
    assert answers(tags, "galaxies-06.png")["cup"] == "no"
