"""The page, as a person meets it: a real browser, the real server, real photographs."""

import io
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.pictures import views
from tests.ui.conftest import Site, free_port, seen, serving, started, stopped
from ui.client import Likeness

SLOW = 180_000  # ms; the first index exports its encoder, which takes 10 s on an idle machine
SUBJECTS = {"galaxies": "night sky", "coffee": "cup"}  # photograph -> the class a person would give it
EACH = 9


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An installation of our own: the first start is part of what is tested."""
    with serving(tmp_path_factory.mktemp("fresh")) as site:
        yield site


def zipped() -> bytes:
    """A zip of two folders, each holding cuts of one photograph."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for subject in SUBJECTS:
            for number, view in enumerate(views(subject, EACH)):
                picture = io.BytesIO()
                view.save(picture, "PNG")
                archive.writestr(f"{subject}/{subject}-{number}.png", picture.getvalue())
        archive.writestr("notes.txt", "not a picture")
    return buffer.getvalue()


def pictures(page: Page, **what: Any) -> Locator:
    """The pictures on show."""
    return page.get_by_role("listbox", name="Pictures").get_by_role("option", **what)


def tiles(page: Page) -> list[str]:
    """What the pictures on show are called, in their order."""
    found = pictures(page).evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")
    return [name for name in found if name]


def label_five(page: Page, subject: str, class_: str) -> None:
    """Find `subject` by its file name, select five with Shift, and give them a class that does not exist yet."""
    page.get_by_label("Only file name, class or folder").fill(subject)
    expect(pictures(page, name=re.compile(f"^{subject}-"))).to_have_count(EACH)
    expect(pictures(page)).to_have_count(EACH)
    pictures(page).nth(0).click()
    pictures(page).nth(4).click(modifiers=["Shift"])
    expect(page.get_by_text("5 selected")).to_be_visible()
    page.get_by_label("Name of a new class").fill(class_)
    page.get_by_label("Name of a new class").press("Enter")
    expect(page.get_by_text(f"5 pictures labelled “{class_}”.")).to_be_visible()
    page.keyboard.press("Escape")


def test_a_zip_becomes_a_classifier_with_a_few_clicks(site: Site, page: Page, tmp_path: Path) -> None:
    with seen(page, tmp_path):
        page.goto(site.page)
        expect(page.get_by_text("finds the pictures that look alike")).to_be_visible()

        # a zip goes in, and what is in it can be searched
        page.get_by_label("Choose files or a zip").set_input_files(
            {"name": "holiday.zip", "mimeType": "application/zip", "buffer": zipped()}
        )
        show = page.get_by_role("button", name="Show them")
        show.wait_for(timeout=SLOW)
        expect(page.get_by_text(f"{2 * EACH} pictures added.")).to_be_visible()
        expect(page.get_by_text("1 file refused")).to_be_visible()
        show.click()
        expect(pictures(page)).to_have_count(2 * EACH)

        # a click on one picture, then those like it
        pictures(page, name=re.compile("^galaxies-4")).click()
        page.get_by_role("button", name="Find similar").click()
        expect(pictures(page)).to_have_count(2 * EACH - 1)  # all but the one that was asked with
        nearest = tiles(page)
        assert [name.split("-")[0] for name in nearest] == ["galaxies"] * (EACH - 1) + ["coffee"] * EACH
        scores = [float(re.search(r"score ([\d.-]+)", name)[1]) for name in nearest]  # type: ignore[index]
        assert scores == sorted(scores, reverse=True)

        # five labels for each of two classes, and the rest is sorted
        page.get_by_role("button", name="New search").click()
        for subject, class_ in SUBJECTS.items():
            label_five(page, subject, class_)
        page.get_by_role("link", name="Label").click()
        page.get_by_text("Predictions", exact=True).click()
        right = []
        for subject, class_ in SUBJECTS.items():
            chip = page.get_by_role("button", name=re.compile(f"^{class_} "))
            chip.click()
            expect(chip).to_have_attribute("aria-pressed", "true")
            expect(page.get_by_role("listbox", name="Pictures")).to_have_attribute("aria-busy", "false")
            guessed = re.compile(rf"^{subject}-\d\.png, looks like {class_}, \d+ %")
            right += [name for name in tiles(page) if guessed.match(name)]
        assert len(right) >= 6  # of the 8 without a label, by an encoder that has not learnt anything yet


def test_the_demo_is_one_click_away(site: Site, page: Page, tmp_path: Path) -> None:
    with seen(page, tmp_path):
        page.goto(site.page)
        page.get_by_role("button", name="Open the demo").click()
        show = page.get_by_role("button", name="Show them")
        show.wait_for(timeout=SLOW)
        expect(page.get_by_text("600 pictures added.")).to_be_visible()

        show.click()
        expect(page.get_by_role("status").filter(has_text="600 pictures")).to_be_visible()


def test_files_whose_connection_breaks_arrive_whole_and_the_first_hundred_before_the_rest(
    site: Site, page: Page, tmp_path: Path
) -> None:
    broken = []

    def breaks(route: Route) -> None:
        if len(broken) == 3:
            return route.fallback()
        broken.append(route.request.url)
        return route.abort("connectionreset")

    sent = []
    for number, view in enumerate(views("rocket", 130, size=48)):
        picture = io.BytesIO()
        view.save(picture, "PNG")
        sent.append({"name": f"{number}.png", "mimeType": "image/png", "buffer": picture.getvalue()})
    page.route(re.compile("/v1/uploads/.*/file"), breaks)
    with seen(page, tmp_path):
        page.goto(site.page)
        page.get_by_role("combobox", name="Add to").fill("sent")
        page.get_by_role("combobox", name="Add to").press("Enter")
        expect(page.get_by_text("They go into a new collection, “sent”.")).to_be_visible()

        page.get_by_label("Choose files or a zip").set_input_files(sent)  # type: ignore[arg-type]
        expect(page.get_by_text("130 pictures added.")).to_be_visible(timeout=SLOW)

    with Likeness(site.api) as likeness:
        imported = [job for job in likeness.jobs("sent") if job["kind"] == "import"]
        indexed = likeness.collection("sent")["indexed"]
    assert len(broken) == 3
    assert [job["result"]["added_total"] for job in imported if job["result"]] == [30, 100]  # newest first
    assert indexed == 130


def test_a_link_reopens_the_same_search(site: Site, page: Page, tmp_path: Path) -> None:
    with seen(page, tmp_path):
        page.goto(f"{site.page}/search?c=photos&like=1,2&not=18")

        expect(page.get_by_role("group", name="Searching with").get_by_role("img")).to_have_count(3)
        expect(pictures(page, name=re.compile("score")).first).to_be_visible()


def test_keys_label_one_picture_after_another_and_ctrl_z_takes_the_last_back(
    site: Site, page: Page, tmp_path: Path
) -> None:
    with seen(page, tmp_path):
        page.goto(f"{site.page}/label?c=photos")
        first = page.get_by_role("button", name=re.compile(r"^night sky, \d+ label"))
        before = int(re.search(r"\d+", first.get_attribute("aria-label") or "")[0])  # type: ignore[index]
        picture = page.get_by_role("group", name="Picture to label").get_by_role("img")
        name = picture.get_attribute("alt")

        page.keyboard.press("1")
        expect(picture).not_to_have_attribute("alt", name or "")
        expect(first).to_have_attribute("aria-label", f"night sky, {before + 1} labels")

        page.keyboard.press("Control+z")
        expect(picture).to_have_attribute("alt", name or "")
        expect(first).to_have_attribute("aria-label", f"night sky, {before} labels")


def test_before_a_training_the_page_shows_what_it_would_call_the_same(site: Site, page: Page, tmp_path: Path) -> None:
    with seen(page, tmp_path):
        page.goto(f"{site.page}/train?c=photos")
        view = page.get_by_role("img", name="View 1").first
        expect(page.get_by_role("img", name="View 1")).to_have_count(6)
        expect(view).to_have_js_property("naturalWidth", 64)
        address = view.get_attribute("src") or ""
        assert "preset=photo&" in address

        page.get_by_role("button", name="Show others").click()
        expect(view).not_to_have_attribute("src", address)

        page.get_by_label("Changes to that, if any").fill("mirror=2")
        page.get_by_label("Changes to that, if any").press("Enter")
        expect(page.get_by_text("'mirror=2' does not change a preset")).to_be_visible()

        page.get_by_label("Changes to that, if any").fill("mirror=0")
        page.get_by_label("Changes to that, if any").press("Enter")
        expect(view).to_have_attribute("src", re.compile(r"preset=photo%2Cmirror%3D0&"))


def test_without_the_api_the_page_says_so_in_one_sentence(page: Page, tmp_path: Path) -> None:
    port, nobody = free_port(), free_port()
    address = f"http://127.0.0.1:{port}"
    process = started(
        [sys.executable, "-m", "app.page"],
        f"{address}/_stcore/health",
        tmp_path / "page.log",
        {"LIKENESS_PORT": str(port), "LIKENESS_API_PORT": str(nobody), "LIKENESS_HOME": str(tmp_path)},
    )
    try:
        with seen(page, tmp_path):
            page.goto(f"{address}/gallery")

            expect(page.get_by_text("Likeness does not answer").first).to_be_visible()
            expect(page.get_by_text("Traceback")).to_have_count(0)
    finally:
        stopped(process)
