"""Sending from the page: how files become pictures, what is gone on with, what is left out, and why, in Chinese too."""

import os
import re
from pathlib import Path

from playwright.sync_api import Browser, Page, Request, Route, expect

from tests.pictures import jpeg, stack
from tests.ui.conftest import Site, seen
from tests.ui.test_arrive import LISTEN
from tests.ui.test_many_files import own_collection
from tests.ui.test_map import comes_true
from ui.client import Likeness


def test_pages_and_tiles_are_chosen_by_key_under_options_and_hold_for_files_and_paths(
    site: Site, page: Page, tmp_path: Path
) -> None:
    (tmp_path / "stack.tif").write_bytes(stack())
    with own_collection(site, page, "options") as likeness, seen(page, tmp_path):
        options = page.locator("summary", has_text="Options")
        every_page = page.get_by_label("Take every page of a TIFF, not only the first")
        expect(every_page).to_be_hidden()
        page.get_by_role("button", name="Open the demo").focus()
        page.keyboard.press("Tab")
        expect(options).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.get_by_label("Cut each picture into squares")).to_be_focused()
        page.keyboard.press("Tab")
        expect(every_page).to_be_focused()
        page.keyboard.press("Space")
        expect(page.get_by_text("Options: every page", exact=True)).to_be_visible()

        page.get_by_label("Choose files or a zip").set_input_files(tmp_path / "stack.tif")
        expect(page.get_by_text("3 pictures added.")).to_be_visible(timeout=120_000)

        every_page.uncheck()
        page.get_by_label("Cut each picture into squares").check()
        side = page.get_by_label("Pixels a side")
        side.fill("7")
        page.get_by_label("A path on this machine").fill(str(tmp_path / "stack.tif"))
        page.get_by_role("button", name="Import", exact=True).click()
        expect(page.get_by_text("A square has 16 to 8,192 pixels a side.")).to_be_visible()
        expect(side).to_be_focused()
        side.fill("64")
        page.get_by_role("button", name="Import", exact=True).click()
        expect(page.get_by_text("4 pictures added.")).to_be_visible(timeout=120_000)
        parts = [image["part"] for image in likeness.all_images("options")]
        assert parts[:3] == [{"page": number} for number in range(3)]
        assert all(part["box"][2] - part["box"][0] == 64 for part in parts[3:])


def test_what_had_arrived_before_is_not_sent_again_and_the_page_says_so(site: Site, page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "trip"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.jpg").write_bytes(jpeg("cat", 100 + number))
    sent: list[str] = []

    def lost(route: Route) -> None:
        """The line holds for the first four files."""
        name = re.search(r"name=trip%2F(\d)", route.request.url)
        sent.append(name.group(1) if name else "")
        if len(set(sent)) > 4:
            route.abort()
        else:
            route.continue_()

    with own_collection(site, page, "resumed") as likeness, seen(page, tmp_path):
        page.route("**/v1/uploads/*/file?*", lost)
        there: set[str] = set()

        def has_arrived(request: Request) -> None:
            answer = request.response()
            if "/file?" in request.url and answer and answer.ok:
                there.add(request.url.partition("name=")[2].partition("&")[0])

        page.on("requestfinished", has_arrived)
        page.get_by_label("Choose a folder").set_input_files(folder)
        comes_true(page, lambda: len(there) == 4)  # else leaving cuts off what is on its way
        expect(page.get_by_text("The connection was lost; going on by itself when it is back.").first).to_be_visible()
        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        page.unroute("**/v1/uploads/*/file?*")
        expect(page.get_by_text("They go into “resumed”.")).to_be_visible()
        page.evaluate(LISTEN)
        arrived = {name for name in sent if sent.count(name) == 1} & set(sent[:4])
        again: list[str] = []
        page.on("request", lambda request: "/file?" in request.url and again.append(request.url))

        page.get_by_label("Choose a folder").set_input_files(folder)

        expect(page.get_by_text("6 pictures added.")).to_be_visible(timeout=120_000)
        said = page.evaluate("window.lines")
        assert any("had arrived before; going on from there." in line for line in said), said
        assert not {number for number in arrived if any(f"trip%2F{number}" in url for url in again)}
        assert len(again) == 2
        assert len(list(likeness.all_images("resumed"))) == 6


def test_pictures_are_said_to_be_added_only_when_they_can_be_searched_though_looks_at_the_job_fail(
    site: Site, page: Page, tmp_path: Path
) -> None:
    lost: list[str] = []
    seen_running: list[int] = []

    def as_it_was(route: Route) -> None:
        """The jobs, of which the one that makes the pictures searchable runs until five looks are lost."""
        answer = route.fetch()
        jobs = answer.json()
        index = [job for job in jobs["items"] if job["kind"] == "index"]
        others = {job["state"] for job in jobs["items"] if job["kind"] != "index"}
        if index and others == {"succeeded"} and len(lost) < 5:
            seen_running.append(index[0]["id"])
            index[0]["state"] = "running"
        route.fulfill(response=answer, json=jobs)

    def lose(route: Route) -> None:
        if seen_running and len(lost) < 5:
            lost.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    with own_collection(site, page, "looks") as likeness, seen(page, tmp_path):
        page.route("**/v1/jobs?*", as_it_was)
        page.route("**/v1/collections/looks", lose)
        (tmp_path / "cat.jpg").write_bytes(jpeg("cat"))
        page.get_by_label("Choose files or a zip").set_input_files(tmp_path / "cat.jpg")

        expect(page.get_by_text("1 picture added.")).to_be_visible(timeout=120_000)
        assert len(lost) == 5  # until then it was not said
        assert likeness.collection("looks")["indexed"] == 1


def test_a_file_that_is_gone_when_its_turn_comes_costs_only_itself(site: Site, page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "trip"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(jpeg("cat", 100 + number))

    def vanish(route: Route) -> None:
        (folder / "1.jpg").unlink(missing_ok=True)
        route.abort()

    with own_collection(site, page, "vanished"), seen(page, tmp_path):
        page.route("**/file?name=trip%2F1.jpg*", vanish)
        page.get_by_label("Choose a folder").set_input_files(folder)

        expect(page.get_by_text("2 pictures added.")).to_be_visible(timeout=120_000)
        page.get_by_text("1 file refused").click()
        expect(page.get_by_role("listitem").filter(has_text="1.jpg")).to_contain_text(
            "was changed or is gone: not sent"
        )


def test_why_files_and_values_are_refused_is_said_in_chinese(site: Site, browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "letter.jpg").write_bytes(b"Dear friend, this is not a picture.")
    (folder / "half.jpg").write_bytes(jpeg("cat", 300)[:3000])
    (folder / "nothing.jpg").write_bytes(b"")
    context = browser.new_context(locale="zh-CN", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    with Likeness(site.api) as likeness, seen(page, tmp_path):
        likeness.create_collection("chinese")
        page.goto(f"{site.page}/?c=chinese")
        path = page.get_by_label("本机上的路径")
        path.fill("/nowhere/at-all")
        path.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text(re.compile("[没不].*(LIKENESS_IMPORT_ROOTS|检查路径)"))
        for send in (lambda: (path.fill(str(folder)), path.press("Enter")),
                     lambda: page.get_by_label("选择文件夹").set_input_files(folder)):  # fmt: skip
            send()
            refused = page.get_by_text("3 个文件被拒绝")
            expect(refused).to_be_visible(timeout=120_000)
            refused.click()
            for name, reason in (("letter", "不是可读取的图片格式"), ("half", "图片已损坏"), ("nothing", "文件是空的")):
                expect(page.get_by_role("listitem").filter(has_text=f"{name}.jpg")).to_contain_text(reason)
            page.reload()
        page.goto(f"{site.page}/jobs?c=chinese")
        page.get_by_text("3 个文件被拒绝").first.click()
        expect(page.get_by_role("listitem").filter(has_text="letter.jpg").first).to_contain_text("不是可读取的图片格式")
        likeness.delete_collection("chinese")
    context.close()


def test_refused_files_are_opened_again_from_the_list_of_them(site: Site, page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "slow"
    folder.mkdir()
    good = {name: jpeg(name, 200) for name in ("cat", "coffee")}
    times = {}
    for name, data in good.items():
        (folder / f"{name}.jpg").write_bytes(bytes(len(data)))
        times[name] = (folder / f"{name}.jpg").stat().st_mtime_ns

    def heal(name: str) -> None:
        """As a disk does that stood still: what can be told without opening the file is as before."""
        (folder / f"{name}.jpg").write_bytes(good[name])
        os.utime(folder / f"{name}.jpg", ns=(times[name], times[name]))

    with own_collection(site, page, "reopened"), seen(page, tmp_path):
        path = page.get_by_label("A path on this machine")
        button = page.get_by_role("button", name="Open them again")
        path.fill(str(folder))
        path.press("Enter")
        page.get_by_text("2 files refused").click(timeout=120_000)
        expect(button).to_be_visible()
        heal("cat")
        path.press("Enter")
        expect(button).to_be_hidden()
        page.get_by_text("2 files refused").click(timeout=120_000)

        button.click()

        expect(page.get_by_text("1 picture added.")).to_be_visible(timeout=120_000)
        heal("coffee")
        page.goto(f"{site.page}/jobs?c=reopened")
        last = page.get_by_role("article", name="Import of reopened").first
        last.get_by_text("1 file refused").click()
        last.get_by_role("button", name="Open them again").click()
        expect(page.get_by_text("1 picture added, 1 known already, 0 refused.")).to_be_visible(timeout=120_000)


def test_an_import_that_failed_is_tried_again_with_what_has_arrived_from_the_jobs_page(
    site: Site, page: Page, tmp_path: Path
) -> None:
    folder = tmp_path / "busy"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number}.jpg").write_bytes(jpeg("coffee", 400 + number))
    (tmp_path / "stack.tif").write_bytes(stack())
    with own_collection(site, page, "again") as likeness, seen(page, tmp_path):
        likeness.import_path("again", folder)  # so that the next waits
        job = likeness.send(likeness.begin_upload("again"), [tmp_path / "stack.tif"], pages="all")
        (arrived,) = (
            path for path in (site.home / "uploads" / job["params"]["upload"]).iterdir() if path.suffix != ".json"
        )
        arrived.rename(tmp_path / "elsewhere")
        page.goto(f"{site.page}/jobs?c=again")
        again = page.get_by_role("button", name="Try again")
        expect(again).to_be_visible(timeout=120_000)
        (tmp_path / "elsewhere").rename(arrived)

        again.click()

        expect(page.get_by_text("3 pictures added", exact=False).first).to_be_visible(timeout=120_000)
        images = [image for image in likeness.all_images("again") if image["part"]]
        assert [image["part"] for image in images] == [{"page": number} for number in range(3)]


def test_what_file_managers_leave_in_a_folder_is_passed_over(site: Site, page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "trip"
    (folder / "__MACOSX").mkdir(parents=True)
    for name in ("a.jpg", "._a.jpg", ".DS_Store", "Thumbs.db", "__MACOSX/a.jpg"):
        (folder / name).write_bytes(jpeg("cat") if name == "a.jpg" else b"no picture")
    with own_collection(site, page, "left"), seen(page, tmp_path):
        page.get_by_label("Choose a folder").set_input_files(folder)

        expect(page.get_by_text("1 picture added.")).to_be_visible(timeout=120_000)
        expect(page.get_by_text("refused")).to_have_count(0)
