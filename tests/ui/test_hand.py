"""The page under the hand: selecting, acting, searching and looking closely, in the demo collection."""

import base64
import io
import re
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.pictures import encoded, picture
from tests.ui.conftest import Site, seen
from ui.client import Likeness

EACH = 40  # pictures of each of the demo's fifteen subjects


def pictures(page: Page) -> Locator:
    """The pictures on show."""
    return page.get_by_role("listbox", name="Pictures").get_by_role("option")


def shown(page: Page, number: int) -> None:
    """Wait until so many pictures match."""
    expect(page.get_by_role("status").filter(has_text=re.compile(rf"^{number:,} pictures"))).to_be_visible()
    expect(page.get_by_role("listbox", name="Pictures")).to_have_attribute("aria-busy", "false")


def names(page: Page) -> list[str]:
    """What the pictures on show are called, in their order."""
    found = pictures(page).evaluate_all(
        "all => all.sort((a, b) => a.ariaPosInSet - b.ariaPosInSet).map((one) => one.getAttribute('aria-label'))"
    )
    return [name for name in found if name and name != "Loading"]


def images(site: Site, **filter_: str) -> httpx.Response:
    return httpx.get(f"{site.api}/v1/collections/demo/images", params={"limit": 1, **filter_}, trust_env=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two photographs of a person's own, which the demo holds other views of."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("coffee", "rocket"):
        picture(name, side=300).save(folder / f"{name}.jpg")
    return [folder / "coffee.jpg", folder / "rocket.jpg"]


def drop(page: Page, files: list[Path]) -> None:
    """Drop files, as a browser hands them over."""
    page.get_by_role("group", name="Searching with").evaluate(
        """(strip, files) => {
            const transfer = new DataTransfer();
            for (const [name, data] of files) {
                const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
                transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
            }
            const about = { bubbles: true, composed: true, cancelable: true };
            strip.dispatchEvent(new DragEvent("drop", { ...about, dataTransfer: transfer }));
        }""",
        [(file.name, base64.b64encode(file.read_bytes()).decode()) for file in files],
    )


def copy(page: Page, name: str) -> None:
    """Put a picture on the browser's clipboard, as any program does from which one is copied."""
    buffer = io.BytesIO()
    picture(name, side=300).save(buffer, "PNG")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async (data) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const blob = new Blob([bytes], { type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }""",
        base64.b64encode(buffer.getvalue()).decode(),
    )


def test_a_selection_survives_paging_and_becomes_actions(demo: Site, page: Page, tmp_path: Path) -> None:
    with seen(page, tmp_path):
        page.goto(f"{demo.page}/gallery?c=demo&sort=name")
        shown(page, 15 * EACH)

        # click, Shift, Ctrl; the selection stays while the grid goes to its end and back
        pictures(page).nth(0).click()
        pictures(page).nth(4).click(modifiers=["Shift"])
        pictures(page).nth(7).click(modifiers=["ControlOrMeta"])
        expect(page.get_by_text("6 selected")).to_be_visible()
        page.mouse.wheel(0, 100_000)
        expect(page.get_by_role("option", name=re.compile("^tissue-39"))).to_be_visible()
        expect(page.get_by_text("6 selected")).to_be_visible()
        page.keyboard.press("Home")
        expect(pictures(page).first).to_have_attribute("aria-selected", "true")
        page.keyboard.press("Escape")
        expect(page.get_by_text("6 selected")).to_be_hidden()

        # a box drawn over four
        first, last = pictures(page).nth(0).bounding_box(), pictures(page).nth(1).bounding_box()
        assert first is not None
        assert last is not None
        page.mouse.move(first["x"] + 60, first["y"] + 60)
        page.mouse.down()
        page.mouse.move(last["x"] + 40, last["y"] + last["height"] + 40, steps=4)
        page.mouse.up()
        expect(page.get_by_text("4 selected")).to_be_visible()

        # all that match are a filter, not ids: they are labelled after a look at what would change, and undone whole
        page.get_by_label("File name, class or folder").fill("coffee")
        shown(page, EACH)
        pictures(page).nth(0).click()
        page.keyboard.press("Control+a")
        expect(page.get_by_text(f"All {EACH} that match")).to_be_visible()
        with page.expect_request(lambda request: request.method == "POST" and "labels" in request.url) as asked:
            page.get_by_label("Name of a new class").fill("cup")
            page.get_by_label("Name of a new class").press("Enter")
        assert asked.value.post_data_json["filter"] == {"text": "coffee"}
        expect(page.get_by_text(f"Label {EACH} pictures “cup”?")).to_be_visible()
        assert images(demo, **{"class": "cup"}).json()["total"] == 0
        page.get_by_role("button", name="Label them").click()
        page.get_by_role("button", name="Undo").hover()  # what it says stays there under the pointer
        expect(page.get_by_text(f"{EACH} pictures labelled “cup”.")).to_be_visible()
        expect(page.get_by_text("✓ All saved")).to_be_visible()
        assert images(demo, **{"class": "cup"}).json()["total"] == EACH
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_text(f"Undone: “cup” for {EACH} pictures.")).to_be_visible()
        assert images(demo, **{"class": "cup"}).json()["total"] == 0

        # a list to take away
        page.get_by_role("listbox", name="Pictures").press("Control+a")
        page.get_by_role("button", name="Export").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="A list (CSV)").click()
        lines = Path(download.value.path()).read_text("utf-8").splitlines()
        assert (len(lines), lines[0][:14]) == (1 + EACH, "id,folder,name")

        # removed from the collection; the file stays
        page.get_by_role("listbox", name="Pictures").press("Escape")
        pictures(page).nth(0).click()
        page.keyboard.press("Delete")
        expect(page.get_by_text("The file itself stays where it is.")).to_be_visible()
        before = images(demo, text="coffee", sort="name").json()["items"][0]
        path = httpx.get(f"{demo.api}/v1/images/{before['id']}", trust_env=False).json()["path"]
        page.get_by_role("button", name="Remove", exact=True).click()
        shown(page, EACH - 1)
        assert Path(path).exists()


def test_a_search_is_begun_in_every_way_refined_kept_and_reopened(
    demo: Site, page: Page, files: list[Path], tmp_path: Path
) -> None:
    with seen(page, tmp_path):
        page.goto(f"{demo.page}/search?c=demo")
        strip = page.get_by_role("group", name="Searching with")
        expect(pictures(page).first).to_be_visible()

        # pasted, then two dropped at once
        copy(page, "coffee")
        page.keyboard.press("Control+v")
        expect(strip.get_by_role("img")).to_have_count(1)
        expect(page.get_by_role("option", name=re.compile("^coffee-.*score")).first).to_be_visible()
        drop(page, files)
        expect(strip.get_by_role("img")).to_have_count(3)  # onto the strip: they join the one that is there
        page.get_by_role("button", name="New search").click()

        # by a double click, with a filter as a chip that can be taken away
        page.get_by_label("Only file name, class or folder").fill("rocket")
        shown(page, EACH)
        pictures(page).nth(3).dblclick()
        shown(page, EACH - 1)
        page.get_by_label("Only file name, class or folder").fill("")
        page.get_by_role("button", name="Filter", exact=True).click()
        page.get_by_role("spinbutton", name="Shorter side at least, pixels").fill("5000")
        page.get_by_role("spinbutton", name="Shorter side at least, pixels").press("Tab")
        expect(page.get_by_text("No picture matches.")).to_be_visible()
        page.keyboard.press("Escape")
        page.get_by_role("button", name=re.compile("^Remove the filter: Shorter side")).click()
        shown(page, 15 * EACH - 2)  # but for the one removed and the one searched with
        assert names(page)[0].startswith("rocket-")

        # ✓ and ✗ refine
        page.get_by_role("listbox", name="Pictures").focus()
        page.keyboard.press("+")
        expect(strip.get_by_role("img")).to_have_count(2)
        shown(page, 15 * EACH - 3)
        page.keyboard.press("End")
        expect(page.locator(".tile.focus")).to_have_attribute("aria-label", re.compile("score"))
        page.keyboard.press("-")
        expect(strip.get_by_role("img")).to_have_count(3)
        shown(page, 15 * EACH - 4)

        # why the best is there: both pictures, painted where they match
        page.get_by_role("listbox", name="Pictures").press("Home")
        page.keyboard.press("w")
        why = page.get_by_role("dialog", name="Why alike?")
        expect(why).to_contain_text("of what matches")
        painted = "all => all.map((c) => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data])"
        assert [len(set(pixels)) > 8 for pixels in why.locator("canvas").evaluate_all(painted)] == [True, True]
        page.keyboard.press("Escape")

        # saved, forgotten, found in the history, and reopened from its address
        page.get_by_role("button", name="Saved").click()
        page.get_by_label("Name of this search").fill("rockets")
        page.get_by_label("Name of this search").press("Enter")
        expect(page.get_by_role("button", name="Forget “rockets”")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page).to_have_url(re.compile(r"not=\d+"))
        # by name and score: how probable a class is may be settled meanwhile
        found, address = [re.sub(", looks like .*%", "", name) for name in names(page)[:20]], page.url
        page.get_by_role("button", name="New search").click()
        shown(page, 15 * EACH - 1)
        page.get_by_role("button", name="History").click()
        page.get_by_role("dialog", name="History").get_by_role("listitem").first.get_by_role("button").click()
        expect(strip.get_by_role("img")).to_have_count(3)
        page.goto(address)
        shown(page, 15 * EACH - 4)
        assert [re.sub(", looks like .*%", "", name) for name in names(page)[:20]] == found


def test_a_refinement_is_in_the_history_though_the_page_is_left_at_once(demo: Site, page: Page, tmp_path: Path) -> None:
    strip = page.get_by_role("group", name="Searching with")
    with seen(page, tmp_path):
        page.goto(f"{demo.page}/search?c=demo&like={images(demo).json()['items'][0]['id']}")
        shown(page, images(demo).json()["total"] - 1)
        page.evaluate("window.setTimeout = () => 0")  # the page is gone before anything that waits
        page.get_by_role("listbox", name="Pictures").press("+")
        expect(strip.get_by_role("img")).to_have_count(2)

        page.goto(f"{demo.page}/search?c=demo")
        page.get_by_role("button", name="History").click()
        page.get_by_role("dialog", name="History").get_by_role("listitem").first.get_by_role("button").click()
        expect(strip.get_by_role("img")).to_have_count(2)


@pytest.mark.parametrize("where", ["gallery", "search"])
def test_what_is_being_typed_in_the_filter_stays_when_the_list_changes_meanwhile(
    demo: Site, page: Page, tmp_path: Path, where: str
) -> None:
    with seen(page, tmp_path):
        page.goto(f"{demo.page}/{where}?c=demo")
        expect(pictures(page).first).to_be_visible()
        page.get_by_role("button", name="Filter", exact=True).click()
        side = page.get_by_role("spinbutton", name="Shorter side at least, pixels")
        side.fill("5000")

        page.get_by_role("searchbox").evaluate("box => ((box.value = 'rocket'), box.dispatchEvent(new Event('input')))")

        shown(page, EACH)
        expect(side).to_have_value("5000")
        expect(side).to_be_focused()
        side.press("Tab")
        expect(page.get_by_role("button", name=re.compile("^Remove the filter: Shorter side"))).to_be_visible()
        expect(pictures(page)).to_have_count(0)


def test_a_picture_is_looked_at_closely_and_a_part_of_it_searched_with(demo: Site, page: Page, tmp_path: Path) -> None:
    with seen(page, tmp_path):
        page.goto(f"{demo.page}/gallery?c=demo&text=astronaut&sort=name")
        shown(page, EACH)
        page.get_by_role("listbox", name="Pictures").focus()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Shortcuts")).to_contain_text("Select all that match")
        page.keyboard.press("Escape")

        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        viewer = page.get_by_role("dialog", name="Picture")
        expect(viewer.get_by_role("heading", name="astronaut-01.jpg")).to_be_visible()
        expect(viewer).to_contain_text("128 × 128")
        expect(viewer.get_by_role("group", name="Alike").get_by_role("button")).to_have_count(8)
        page.keyboard.press("ArrowRight")
        expect(viewer.get_by_role("heading", name="astronaut-02.jpg")).to_be_visible()

        page.keyboard.press("b")
        frame = viewer.locator(".stage").bounding_box()
        assert frame is not None
        middle = (frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)
        page.mouse.move(middle[0] - 150, middle[1] - 150)
        page.mouse.down()
        with page.expect_request(lambda request: request.url.endswith("/queries")) as asked:
            page.mouse.move(middle[0] + 150, middle[1] + 150, steps=4)
            page.mouse.up()
        left, top, right, bottom = asked.value.post_data_json["box"]
        assert 0 < left < 0.5 < right < 1
        assert right - left == pytest.approx(bottom - top, abs=0.02)  # the picture is square, and so was the box
        expect(page).to_have_url(re.compile("/search.*like=q"))
        expect(page.get_by_role("group", name="Searching with").get_by_role("img")).to_have_count(1)
        shown(page, 15 * EACH - 1)


@pytest.fixture(scope="module")
def close(demo: Site) -> Site:
    """The collection `close`: a JPEG with a date, a camera and a place, and a TIFF, both larger than a rendition."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "Canon EOS R5"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:31 18:30:00"
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 22.0, 30.0), 3: "E", 4: (8.0, 32.0, 6.0)})
    view = picture("coffee").resize((1800, 1200))
    files = {"a.jpg": encoded(view, exif=exif), "b.tif": encoded(view.crop((0, 0, 1700, 1100)), "TIFF")}
    with Likeness(demo.api) as likeness:
        likeness.create_collection("close")
        sent = [("files", each) for each in files.items()]
        job = httpx.post(f"{demo.api}/v1/collections/close/images", files=sent, trust_env=False).json()
        likeness.wait(job["id"], timeout=120)
        first = httpx.get(f"{demo.api}/v1/collections/close/images", params={"sort": "name"}, trust_env=False).json()
        likeness.label("close", [first["items"][0]["id"]], "cup")
    return demo


def test_a_picture_is_seen_at_full_size_with_what_its_camera_wrote_and_what_was_said_of_it(
    close: Site, page: Page, tmp_path: Path
) -> None:
    width = "(image) => image.complete ? image.naturalWidth : 0"
    with seen(page, tmp_path):
        page.goto(f"{close.page}/gallery?c=close&sort=name")
        shown(page, 2)
        page.get_by_role("listbox", name="Pictures").focus()
        page.keyboard.press("Enter")
        viewer = page.get_by_role("dialog", name="Picture")
        large = viewer.get_by_role("img", name="a.jpg")
        expect(viewer.get_by_role("heading", name="a.jpg")).to_be_visible()
        for fact in ("May 31, 2024", "Canon EOS R5", "47.37500, 8.53500", "1,800 × 1,200"):
            expect(viewer).to_contain_text(fact)
        expect(viewer.get_by_role("heading", name="History")).to_be_visible()
        expect(viewer.get_by_text("is cup")).to_be_visible()

        with page.expect_response(lambda answer: answer.url.endswith("/original")):
            page.keyboard.press("f")
        page.wait_for_function(f"(image) => ({width})(image) === 1800", arg=large.element_handle())
        assert large.evaluate("(image) => image.getBoundingClientRect().width") == 1800
        page.keyboard.press("f")
        expect(viewer.locator(".stage.full")).to_have_count(0)
        with page.expect_download() as saved:
            viewer.get_by_role("link", name="Save the original").click()
        assert Image.open(saved.value.path()).getexif()[0x0110] == "Canon EOS R5"

        # no browser shows a TIFF: what is shown instead is said to be a copy
        page.keyboard.press("ArrowRight")
        expect(viewer.get_by_role("heading", name="b.tif")).to_be_visible()
        expect(viewer.get_by_text("1,440 pixels")).to_have_count(0)
        page.keyboard.press("f")
        expect(viewer.get_by_role("status")).to_contain_text("A browser cannot show TIFF")
        page.wait_for_function(
            f"(image) => ({width})(image) === 1440", arg=viewer.get_by_role("img", name="b.tif").element_handle()
        )
        page.keyboard.press("Escape")
        expect(viewer).to_be_hidden()
