"""Labels on their way: refused, without an answer, and kept while the server is away."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.ui.conftest import NAMES, Site, collect, free_port, seen, serving
from tests.ui.labelling import answers, api, name_of, picture, saved
from tests.ui.test_map import comes_true
from ui.client import Likeness

CLASSES_CHANGED = "dispatchEvent(new CustomEvent('likeness', { detail: { what: 'classes', collection: 'mixed' } }))"


def test_a_label_that_is_refused_brings_its_picture_back_with_the_reason(
    mixed: Site, page: Page, tmp_path: Path
) -> None:
    def refuse(route: Route) -> None:
        body = '{"error": "NoSuchImage", "detail": "There is no such picture.", "request_id": "x"}'
        route.fulfill(status=404, body=body)

    with seen(page, tmp_path):
        page.goto(f"{mixed.page}/label?c=mixed")
        expect(picture(page)).to_have_count(1)
        name = name_of(page)
        page.route(re.compile("/labels$"), refuse)
        said = page.get_by_text("There is no such picture.")
        for _ in range(5):  # what is refused changes nothing, so the key may be given again
            page.keyboard.press("1")
            with contextlib.suppress(AssertionError):
                expect(said).to_be_visible(timeout=6_000)
                break
        expect(said).to_be_visible()
        expect(picture(page)).to_have_attribute("alt", name)


def test_without_an_answer_the_queue_says_so_in_one_sentence_and_goes_on_by_itself(
    mixed: Site, page: Page, tmp_path: Path
) -> None:
    down = True
    page.route(re.compile("/suggestions"), lambda route: route.abort() if down else route.fallback())
    with seen(page, tmp_path):
        page.goto(f"{mixed.page}/label?c=mixed")
        expect(page.get_by_role("alert")).to_have_text("Likeness does not answer. Is it still running?")
        down = False
        expect(picture(page)).to_have_count(1)


def test_a_class_that_was_just_named_keeps_its_key_whatever_an_earlier_answer_says(
    mixed: Site, page: Page, tmp_path: Path
) -> None:
    before, held = answers(mixed, "mixed"), []

    def hold_the_first(route: Route) -> None:
        if held:
            route.fallback()
        else:
            held.append((route, route.fetch()))

    with seen(page, tmp_path):
        page.goto(f"{mixed.page}/label?c=mixed")
        expect(picture(page)).to_have_count(1)
        page.route(re.compile("/classes$"), hold_the_first)
        page.evaluate(CLASSES_CHANGED)
        comes_true(page, lambda: bool(held))
        names = []
        fresh = str(len(api(mixed, "mixed/classes")["items"]) + 1)
        for key in ("Enter", fresh):  # a class of that name is made, and then has the next key
            names.append(name_of(page))
            page.keyboard.press(key)
            if key == "Enter":
                page.keyboard.type("late")
                page.keyboard.press("Enter")
                expect(picture(page)).not_to_have_attribute("alt", names[0])
                route, response = held[0]
                route.fulfill(response=response)
        expect(picture(page)).not_to_have_attribute("alt", names[1])
        saved(page)
        assert answers(mixed, "mixed") == {**before, **dict.fromkeys(names, "late")}
        for _ in names:
            page.keyboard.press("Control+z")
        saved(page)
    httpx.delete(f"{mixed.api}/v1/collections/mixed/classes/late", trust_env=False).raise_for_status()
    assert answers(mixed, "mixed") == before


def test_a_button_under_the_hand_stays_until_it_is_let_go(mixed: Site, page: Page, tmp_path: Path) -> None:
    before = answers(mixed, "mixed")
    with seen(page, tmp_path):
        page.goto(f"{mixed.page}/label?c=mixed")
        expect(picture(page)).to_have_count(1)
        first = name_of(page)
        page.get_by_role("button", name=re.compile("^sky, ")).hover()
        page.mouse.down()
        page.keyboard.press("n")  # the list of classes is drawn anew
        expect(picture(page)).not_to_have_attribute("alt", first)
        second = name_of(page)
        page.mouse.up()
        expect(picture(page)).not_to_have_attribute("alt", second)
        saved(page)
        assert answers(mixed, "mixed") == {**before, first: "none_of_these", second: "sky"}
        for _ in range(2):
            page.keyboard.press("Control+z")
        saved(page)
    assert answers(mixed, "mixed") == before


def test_a_key_that_comes_before_the_classes_waits_for_them(mixed: Site, page: Page, tmp_path: Path) -> None:
    before, held, late = answers(mixed, "mixed"), [], True
    with seen(page, tmp_path):
        page.route(re.compile("/classes$"), lambda route: held.append(route) if late else route.fallback())
        page.goto(f"{mixed.page}/gallery?c=mixed")
        tiles = page.get_by_role("listbox", name="Pictures").get_by_role("option")
        expect(tiles.first).to_be_visible()
        tiles.first.click()
        page.keyboard.press("2")
        comes_true(page, lambda: len(held) > 1)
        late = False
        for route in held:
            route.continue_()
        expect(page.get_by_text("1 picture labelled")).to_be_visible()
        assert len(answers(mixed, "mixed")) == len(before) + 1
        page.keyboard.press("Control+z")
        expect(page.get_by_text("Undone")).to_be_visible()
    assert answers(mixed, "mixed") == before


@pytest.fixture
def own(browser: Browser) -> Iterator[Page]:
    """A window whose server may go away: requests that fail are what is tested."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(30_000)
    yield context.new_page()
    context.close()


def test_labels_given_while_the_server_is_away_are_kept_said_to_be_unsaved_and_sent_later(
    mixed: Site, own: Page, tmp_path: Path
) -> None:
    shutil.copytree(mixed.home / "models", tmp_path / "home" / "models")  # exporting the encoder again takes 10 s
    ports, said = (free_port(), free_port()), {}

    def label(page: Page, count: int) -> None:
        for _ in range(count):
            name = name_of(page)
            said[name] = NAMES[name.split("-")[0]]
            page.keyboard.press("1" if said[name] == "cup" else "2")
            expect(picture(page)).not_to_have_attribute("alt", name)

    def unsaved(page: Page, count: int) -> Locator:
        return page.get_by_text(f"{count} steps are not saved yet; they are kept here and sent again.")

    page, other = own, own.context.new_page()
    with seen(page, tmp_path):
        with serving(tmp_path, ports) as site:
            collect(site, "photos", ("coffee", "galaxies"), 20)
            with Likeness(site.api) as likeness:
                for name in NAMES.values():
                    path = f"{site.api}/v1/collections/photos/classes"
                    httpx.post(path, json={"name": name}, trust_env=False).raise_for_status()
                assert [one["name"] for one in likeness.classes("photos")] == ["cup", "sky"]
            for window in (page, other):
                window.goto(f"{site.page}/label?c=photos")
                expect(picture(window)).to_have_count(1)
            label(page, 4)
            saved(page)

        # stopped: the next pictures are there, and nothing is called saved
        label(page, 5)
        expect(unsaved(page, 5)).to_be_visible()
        expect(page.get_by_text("✓ All labels are saved.")).to_have_count(0)
        last = list(said)[-1]

        # undoing what was not sent yet needs no server
        page.keyboard.press("Control+z")
        expect(picture(page)).to_have_attribute("alt", last)
        del said[last]
        expect(unsaved(page, 4)).to_be_visible()

        # another window is closed with labels of its own that nobody has yet
        label(other, 7)
        expect(unsaved(other, 7)).to_be_visible()
        other.close()

        with serving(tmp_path, ports) as site:
            expect(unsaved(page, 4)).to_have_count(0, timeout=60_000)
            after = page.context.new_page()
            after.goto(f"{site.page}/gallery?c=photos")
            expect(after.get_by_text("✓ All saved")).to_be_visible()
            expect(after.get_by_role("listbox", name="Pictures").get_by_role("option").first).to_be_visible()
            saved(page)
            assert answers(site, "photos") == said
