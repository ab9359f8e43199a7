"""The map under the hand: drawn, coloured, looked into; what is drawn around or chosen is labelled, and undone."""

import contextlib
import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

from tests.ui.conftest import Site, seen
from tests.ui.test_everywhere import DARK, FRAME, WCAG, barriers, settle
from ui.client import ApiError, Likeness

EDGE = 30  # pixels that are free around the whole map, as in ui/grid/plot.js
TOOLS = (50, 120)  # pixels of the corner that the buttons take
SLOW = 240_000  # ms; drawing compiles UMAP first


@pytest.fixture(scope="module")
def mapped(demo: Site, browser: Browser) -> Site:
    """The demo with its map, drawn by the page itself."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(f"{demo.page}/map?c=demo")
    expect(page.get_by_text("This collection has no map yet.")).to_be_visible()
    page.get_by_role("button", name="Draw the map").click()
    expect(page.get_by_text(re.compile("^Drawing the map|^The map waits"))).to_be_visible()
    expect(canvas(page)).to_have_attribute("aria-busy", "false", timeout=SLOW)
    context.close()
    return demo


def canvas(page: Page) -> Locator:
    return page.get_by_role("application", name=re.compile("^Map: "))


def opened(page: Page, site: Site, query: str = "") -> dict[str, Any]:
    """The map on the page, and what the API says of it."""
    page.goto(f"{site.page}/map?c=demo{query}")
    expect(canvas(page)).to_have_attribute("aria-busy", "false")
    expect(groups(page).get_by_role("button").first).to_be_visible()
    return httpx.get(f"{site.api}/v1/collections/demo/map", trust_env=False).json()


def groups(page: Page) -> Locator:
    return page.get_by_role("list", name="Groups")


def pictures(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Pictures").get_by_role("option")


def total(site: Site, class_: str) -> int:
    query = {"class": class_, "limit": 1}
    return httpx.get(f"{site.api}/v1/collections/demo/images", params=query, trust_env=False).json()["total"]


def on_screen(page: Page, drawn: dict[str, Any]) -> dict[int, tuple[float, float]]:
    """Where each picture lies on the page while the whole map is in view."""
    box = canvas(page).bounding_box()
    assert box is not None
    wide, high = box["width"] - 2 * EDGE, box["height"] - 2 * EDGE
    return {
        i: (box["x"] + EDGE + x * wide, box["y"] + EDGE + y * high)
        for i, x, y in zip(drawn["ids"], drawn["x"], drawn["y"], strict=True)
    }


def around_a_cluster(places: dict[int, tuple[float, float]], drawn: dict[str, Any]) -> tuple[set[int], list[float]]:
    """The ids in a box around one cluster whose border no point is near, and the box: left, top, right, bottom.

    Where it begins and ends lies on the map, and not on the buttons that zoom, in the upper left.
    """
    origin = min(x for x, _ in places.values()) - EDGE, min(y for _, y in places.values()) - EDGE
    clusters = dict(zip(drawn["ids"], drawn["cluster"], strict=True))
    for one in drawn["clusters"]:
        members = [places[i] for i, cluster in clusters.items() if cluster == one["cluster"]]
        box = [min(x for x, _ in members) - 7, min(y for _, y in members) - 7,
               max(x for x, _ in members) + 7, max(y for _, y in members) + 7]  # fmt: skip
        inside = {i for i, (x, y) in places.items() if box[0] < x < box[2] and box[1] < y < box[3]}
        near = {i for i, (x, y) in places.items() if box[0] - 3 < x < box[2] + 3 and box[1] - 3 < y < box[3] + 3}
        clear = {i for i, (x, y) in places.items() if box[0] + 3 < x < box[2] - 3 and box[1] + 3 < y < box[3] - 3}
        free = box[0] > origin[0] + TOOLS[0] or box[1] > origin[1] + TOOLS[1]
        if near == inside == clear and len(inside) > 25 and free:
            return inside, box
    raise AssertionError("every cluster of the demo has a neighbour at its border")


def pixels(page: Page, colour: str) -> int:
    """How many pixels of the map have exactly this colour."""
    return canvas(page).evaluate(
        """(canvas, colour) => {
            const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let found = 0;
            for (let k = 0; k < data.length; k += 4) found += data[k] === r && data[k + 1] === g && data[k + 2] === b;
            return found;
        }""",
        colour,
    )


def comes_true(page: Page, what: Callable[[], bool], look: int = 100, patience: int = 30_000) -> None:
    """Wait for what no locator can see; `look` every so many ms, for `patience` ms at most."""
    deadline = time.monotonic() + patience / 1000
    while not what():
        assert time.monotonic() < deadline
        page.wait_for_timeout(look)


def test_what_is_drawn_around_is_shown_labelled_in_one_step_and_undone(
    mapped: Site, page: Page, tmp_path: Path
) -> None:
    with seen(page, tmp_path):
        drawn = opened(page, mapped)
        expected, (left, top, right, bottom) = around_a_cluster(on_screen(page, drawn), drawn)

        page.keyboard.down("Shift")
        page.mouse.move(left, top)
        page.mouse.down()
        for x, y in ((right, top), (right, bottom), (left, bottom)):
            page.mouse.move(x, y, steps=3)
        page.mouse.up()
        page.keyboard.up("Shift")
        expect(page.get_by_text(f"{len(expected)} selected")).to_be_visible()
        expect(pictures(page).first).to_have_attribute("aria-selected", "true")

        # one that does not belong is taken out, the others are labelled after a look
        pictures(page).first.press("Home")
        page.keyboard.press("Space")
        expect(page.get_by_text(f"{len(expected) - 1} selected")).to_be_visible()
        page.get_by_label("Name of a new class").fill("found")
        with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/labels")) as asked:
            page.get_by_label("Name of a new class").press("Enter")
        expect(page.get_by_text(f"Label {len(expected) - 1} pictures “found”?")).to_be_visible()
        assert total(mapped, "found") == 0
        page.get_by_role("button", name="Label them").click()
        expect(page.get_by_text(f"{len(expected) - 1} pictures labelled “found”.")).to_be_visible()
        given = set(asked.value.post_data_json["image_ids"])
        assert given < expected
        assert len(given) == len(expected) - 1
        assert total(mapped, "found") == len(expected) - 1

        # the map and its legend say so at once
        with Likeness(mapped.api) as likeness:
            colour = next(one["colour"] for one in likeness.classes("demo") if one["name"] == "found")
        legend = page.get_by_role("group", name="What the colours mean")
        chip = legend.get_by_role("button", name=re.compile("^found "))
        expect(chip).to_contain_text(f"{len(expected) - 1}")
        comes_true(page, lambda: pixels(page, colour) > 50)
        chip.click()
        expect(chip).to_have_attribute("aria-pressed", "false")
        comes_true(page, lambda: pixels(page, colour) == 0)
        chip.click()

        page.get_by_role("listbox", name="Pictures").press("Control+z")
        expect(page.get_by_text(f"Undone: “found” for {len(expected) - 1} pictures.")).to_be_visible()
        assert total(mapped, "found") == 0
        expect(chip).to_have_count(0)

        # the same selection is taken away as a list, and searched with
        page.get_by_role("button", name="Export").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="A list (CSV)").click()
        rows = Path(download.value.path()).read_text("utf-8").splitlines()[1:]
        assert {int(row.split(",")[0]) for row in rows} == given
        page.get_by_role("button", name="All groups").click()
        expect(groups(page)).to_be_visible()
        expect(page.get_by_text(f"{len(expected) - 1} selected")).to_be_hidden()
        groups(page).get_by_role("button").last.click()
        page.get_by_role("button", name=re.compile("^Find similar")).click()
        expect(page).to_have_url(re.compile(r"/search\?.*like=\d+"))


def test_a_group_is_chosen_and_labelled_by_the_keyboard_alone(mapped: Site, page: Page, tmp_path: Path) -> None:
    with seen(page, tmp_path):
        drawn = opened(page, mapped)
        largest = drawn["clusters"][0]
        with Likeness(mapped.api) as likeness:
            name = next(one["name"] for one in likeness.classes("demo") if one["key"] == "1")
        body = {"filter": {"cluster": largest["cluster"]}, "class": name, "preview": True}
        address = f"{mapped.api}/v1/collections/demo/labels"
        change = httpx.post(address, json=body, trust_env=False).json()["changed"]
        before = total(mapped, name)

        canvas(page).focus()
        group = groups(page).get_by_role("button").first
        for _ in range(10):
            page.keyboard.press("Tab")
            if group.evaluate("one => one.getRootNode().activeElement === one"):
                break
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"{largest['size']} selected")).to_be_visible()
        expect(page.get_by_role("listbox", name="Pictures")).to_be_focused()
        expect(pictures(page).first).to_have_attribute("aria-selected", "true")
        page.keyboard.press("1")
        expect(page.get_by_text(f"Label {change} pictures “{name}”?")).to_be_visible()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.get_by_text(f"{change} pictures labelled “{name}”.")).to_be_visible()
        assert total(mapped, name) == before + change
        expect(page.get_by_role("listbox", name="Pictures")).to_be_focused()
        page.keyboard.press("Control+z")
        expect(page.get_by_text(f"Undone: “{name}” for {change} pictures.")).to_be_visible()
        assert total(mapped, name) == before


def test_a_point_says_what_it_is_opens_and_leads_to_a_walk(mapped: Site, page: Page, tmp_path: Path) -> None:
    spoken: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: spoken.append(str(frame)[:80])))
    with seen(page, tmp_path):
        drawn = opened(page, mapped, "&by=prediction")
        legend = page.get_by_role("group", name="What the colours mean")
        expect(legend.get_by_role("button", name=re.compile("^brick "))).to_be_visible()
        settle(page)
        spoken.clear()
        places = on_screen(page, drawn)
        x, y = places[drawn["clusters"][0]["representatives"][0]]

        page.mouse.move(x, y)
        card = page.locator(".pointcard")
        expect(card).to_contain_text(re.compile(r"\w+-\d+\.jpg"))
        expect(card).to_contain_text(re.compile(r"looks like (brick|moon), \d+ %"))

        # nearer, points become pictures: those in view are fetched, and no others
        fetched: set[int] = set()

        def new_ones(request: Request) -> bool:
            found = re.search(r"/images/(\d+)/preview", request.url)
            fetched.update([int(found[1])] if found else [])
            return len(fetched) > 4

        with page.expect_request(new_ones):
            for _ in range(6):
                page.mouse.wheel(0, -240)
        assert len(fetched) < len(drawn["ids"]) / 2
        page.mouse.move(x + 200, y + 200)
        page.mouse.down()
        page.mouse.move(x + 160, y + 170, steps=4)
        page.mouse.up()
        assert spoken == []  # all this time Python was not asked

        page.get_by_role("button", name="All of the map").click()
        page.mouse.click(x, y)
        viewer = page.get_by_role("dialog", name="Picture")
        heading = viewer.get_by_role("heading", name=re.compile(r"-\d+\.jpg$"))
        expect(heading).to_be_visible()
        expect(viewer.get_by_role("button", name="Next picture")).to_be_hidden()
        viewer.get_by_role("button", name="More like this, but different").click()
        expect(page).to_have_url(re.compile(r"/search\?.*like=\d+"))
        expect(page).to_have_url(re.compile(r"variety=0\.5"))
        expect(pictures(page).first).to_be_visible()


def test_it_is_coloured_by_folder_and_group_in_an_address_that_stays(mapped: Site, page: Page, tmp_path: Path) -> None:
    with seen(page, tmp_path):
        drawn = opened(page, mapped)
        legend = page.get_by_role("group", name="What the colours mean")

        page.get_by_label("Colour by").select_option("folder")
        expect(legend.get_by_role("button", name=re.compile(r"^demo.\w+ \d+$"))).to_have_count(15)
        page.get_by_label("Colour by").select_option("group")
        expect(legend.get_by_role("button", name=re.compile(r"^Group \d+ \d+$"))).to_have_count(len(drawn["clusters"]))
        expect(page).to_have_url(re.compile("by=group"))
        page.reload()
        expect(legend.get_by_role("button", name=re.compile(r"^Group \d+ \d+$"))).to_have_count(len(drawn["clusters"]))


def worker(home: Path) -> int:
    """The process that draws maps for the installation in `home`."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().split(b"\0")
            given = (folder / "environ").read_bytes().split(b"\0")
            if b"learning" in command and b"LIKENESS_HOME=" + bytes(home) in given:
                return int(folder.name)
    raise AssertionError("nobody draws maps")


def held(pid: int, home: Path) -> None:
    """Stop a process where it does not hold the catalog: nobody could cancel its job."""
    while True:
        os.kill(pid, signal.SIGSTOP)
        with contextlib.closing(sqlite3.connect(home / "catalog.db", timeout=0.5)) as catalog:
            try:
                catalog.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                os.kill(pid, signal.SIGCONT)
                time.sleep(0.05)
            else:
                return


def test_a_drawing_that_runs_is_given_up_and_the_map_stays_as_it_was(mapped: Site, page: Page, tmp_path: Path) -> None:
    with Likeness(mapped.api) as likeness, seen(page, tmp_path):
        before = opened(page, mapped)
        page.get_by_role("button", name="Draw anew…").click()
        page.get_by_role("dialog").get_by_role("button", name="Draw anew…").click()
        comes_true(page, lambda: likeness.jobs("demo")[0]["state"] == "running", 10)
        pid = worker(mapped.home)
        held(pid, mapped.home)  # it is in the middle of it, however fast this machine is
        try:
            page.get_by_role("button", name="Cancel").click()
            expect(page.get_by_text("Drawing the map… stopping")).to_be_visible()
        finally:
            os.kill(pid, signal.SIGCONT)
        expect(page.get_by_text("Stopped. The map that was there before stays.")).to_be_visible(timeout=SLOW)
        expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
        assert likeness.jobs("demo")[0]["state"] == "cancelled"
        after = likeness.map("demo")
        assert (after["ids"], after["x"], after["made"]) == (before["ids"], before["x"], before["made"])


def test_new_pictures_are_put_on_the_map_and_every_failure_is_one_sentence(
    mapped: Site, page: Page, tmp_path: Path
) -> None:
    address, answers = re.compile("/v1/collections/demo/map$"), ["down"]

    def answer(route: Route) -> None:
        if answers == ["down"]:
            return route.abort()
        if answers == ["damaged"]:
            body = {"error": "Damaged", "detail": "The index is damaged.", "request_id": "x"}
            return route.fulfill(status=503, json=body)
        response = route.fetch()
        return route.fulfill(response=response, json={**response.json(), "missing": 3})

    page.route(address, answer)
    with seen(page, tmp_path):
        page.goto(f"{mapped.page}/map?c=demo")
        expect(page.get_by_text("Likeness does not answer.")).to_be_visible()
        answers[:] = ["damaged"]
        expect(page.get_by_text("The index is damaged.")).to_be_visible()  # it tries again by itself
        answers[:] = ["new"]
        expect(page.get_by_text("3 pictures are new since the map was drawn.")).to_be_visible()
        page.unroute(address)
        page.get_by_role("button", name="Put them on the map").click()
        expect(page.get_by_text("3 pictures are new since the map was drawn.")).to_be_hidden(timeout=SLOW)
        expect(page.get_by_role("button", name="Put them on the map")).to_be_hidden(timeout=SLOW)


def test_without_an_index_the_map_says_what_is_missing(
    site: Site, page: Page, browser: Browser, tmp_path: Path
) -> None:
    with Likeness(site.api) as likeness, seen(page, tmp_path):
        likeness.create_collection("bare")
        page.goto(f"{site.page}/map?c=bare")
        page.get_by_role("button", name="Draw the map").click()
        with pytest.raises(ApiError) as missing:
            likeness.draw_map("bare")
        expect(page.get_by_text(missing.value.detail)).to_be_visible()

        # and so it does in Chinese, though the API speaks English
        context = browser.new_context(locale="zh-CN")
        chinese = context.new_page()
        chinese.goto(f"{site.page}/map?c=bare")
        chinese.get_by_role("button", name="绘制地图").click()
        expect(chinese.get_by_text("这里还不能搜索")).to_be_visible()
        context.close()
        likeness.delete_collection("bare")


def test_the_map_has_no_barrier_that_axe_finds_in_light_or_dark_and_fits_a_phone(
    mapped: Site, page: Page, tmp_path: Path
) -> None:
    wrong = []
    with seen(page, tmp_path):
        for chosen in (False, True):
            opened(page, mapped, "&by=group")
            if chosen:
                groups(page).get_by_role("button").first.click()
                expect(pictures(page).first).to_be_visible()
            settle(page)
            wrong += barriers(page, WCAG)
            page.emulate_media(color_scheme="dark")
            page.wait_for_function(DARK)
            page.evaluate(FRAME)
            wrong += barriers(page, ["color-contrast"])
            page.set_viewport_size({"width": 360, "height": 740})
            page.evaluate(FRAME)
            if page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") > 360:
                wrong.append("the map scrolls sideways on a phone")
            page.set_viewport_size({"width": 1280, "height": 800})
            page.emulate_media(color_scheme="light")

        assert wrong == []
