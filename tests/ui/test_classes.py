"""Classes on the Label page: renamed, merged, recoloured, given another key; looked at before, undone in one step."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.ui.conftest import Site, collect, seen
from tests.ui.labelling import answers, api, name_of, picture, saved
from tests.ui.test_everywhere import DARK, WCAG, barriers
from ui.client import Likeness


@pytest.fixture(scope="module")
def walls(site: Site) -> Iterator[Site]:
    """A collection with two classes that are one, for somebody mistyped its name."""
    collect(site, "walls", ("brick", "moon"), 8)
    with Likeness(site.api) as likeness:
        ids = {image["name"]: image["id"] for image in likeness.all_images("walls")}
        for name, subject, numbers in (
            ("brik", "brick", (0, 1, 2)),
            ("brick", "brick", (3,)),
            ("moon", "moon", (0, 1)),
        ):
            likeness.label("walls", [ids[f"{subject}-{number:02}.png"] for number in numbers], name)
        yield site
        likeness.delete_collection("walls")


def classes(site: Site) -> list[tuple[str, str, str, int]]:
    return [(x["name"], x["key"], x["colour"], x["labels"]) for x in api(site, "walls/classes")["items"]]


def listed(page: Page) -> Locator:
    return page.locator(".classlist .grow")


def opened(page: Page, name: str) -> Locator:
    """The dialog, about one class; opened by its key."""
    page.keyboard.press("e")
    dialog = page.get_by_role("dialog", name="Classes")
    expect(dialog.get_by_label("Name")).to_be_focused()
    dialog.get_by_label("Class", exact=True).select_option(label=name)
    return dialog


def test_a_class_is_renamed_merged_recoloured_and_given_another_key_and_each_is_undone_in_one_step(
    walls: Site, page: Page, tmp_path: Path
) -> None:
    before, said = classes(walls), answers(walls, "walls")
    dialog = page.get_by_role("dialog", name="Classes")
    with seen(page, tmp_path):
        page.goto(f"{walls.page}/label?c=walls")
        expect(picture(page)).to_have_count(1)
        shown = name_of(page)

        # by the keyboard alone: a name that cannot be, one that can, back, and again
        name = opened(page, "brik (3)").get_by_label("Name")
        for bad, sentence in (("", "A class needs a name"), ("unsure", "'unsure' is an answer of its own")):
            name.fill(bad)
            name.press("Enter")
            expect(dialog.get_by_role("status")).to_contain_text(sentence)
        name.fill("wall")
        name.press("Enter")
        expect(dialog).to_have_count(0)
        expect(listed(page)).to_have_text(["wall", "brick", "moon"])
        expect(page.get_by_text("Class “wall” is changed.")).to_be_visible()
        assert answers(walls, "walls") == {**said, **{f"brick-0{n}.png": "wall" for n in range(3)}}
        page.keyboard.press("Control+z")
        expect(page.get_by_text("Undone: “brik” renamed to “wall”.")).to_be_visible()
        assert classes(walls) == before
        page.keyboard.press("Control+y")
        expect(page.get_by_text("Done again: “brik” renamed to “wall”.")).to_be_visible()
        assert classes(walls)[0][0] == "wall"
        page.keyboard.press("Control+z")
        expect(listed(page)).to_have_text(["brik", "brick", "moon"])

        # two that are one: it says what would move, and nothing has moved so far
        opened(page, "brik (3)").get_by_label("Name").fill("brick")
        expect(dialog).to_contain_text("3 labels of “brik” become “brick”.")
        assert answers(walls, "walls") == said
        dialog.get_by_role("button", name="Merge").click()
        expect(dialog).to_have_count(0)
        expect(listed(page)).to_have_text(["brick", "moon"])
        assert answers(walls, "walls") == {**said, **{f"brick-0{n}.png": "brick" for n in range(3)}}

        # a label that is given to it, and both are taken back, one step each
        page.keyboard.press("1")
        expect(picture(page)).not_to_have_attribute("alt", shown)
        saved(page)
        assert answers(walls, "walls")[shown] == "brick"
        page.keyboard.press("Control+z")
        expect(picture(page)).to_have_attribute("alt", shown)
        page.keyboard.press("Control+z")
        expect(listed(page)).to_have_text(["brik", "brick", "moon"])
        saved(page)
        assert (classes(walls), answers(walls, "walls")) == (before, said)

        # colour and key, with the mouse
        page.get_by_role("button", name="Classes…").click()
        dialog.get_by_label("Class", exact=True).select_option(label="moon (2)")
        dialog.get_by_label("Colour").fill("#aa3300")
        dialog.get_by_label("Key").select_option("1")
        dialog.get_by_role("button", name="Save").click()
        expect(dialog).to_have_count(0)
        expect(listed(page)).to_have_text(["moon", "brick", "brik"])
        assert classes(walls)[0] == ("moon", "1", "#aa3300", 2)
        page.keyboard.press("Control+z")
        expect(listed(page)).to_have_text(["brik", "brick", "moon"])
        saved(page)
        assert (classes(walls), answers(walls, "walls")) == (before, said)


def test_a_class_is_removed_and_one_undo_brings_it_back_with_its_labels(
    walls: Site, page: Page, tmp_path: Path
) -> None:
    before, said = classes(walls), answers(walls, "walls")
    moons = {name for name, given in said.items() if given == "moon"}
    others = {name: given for name, given in said.items() if name not in moons}
    with seen(page, tmp_path):
        page.goto(f"{walls.page}/label?c=walls")
        expect(picture(page)).to_have_count(1)
        dialog = opened(page, "moon (2)")
        dialog.get_by_role("button", name="Remove").click()
        expect(dialog).to_have_count(0)
        expect(page.get_by_text("Class “moon” is removed, with its 2 labels")).to_be_visible()
        expect(listed(page)).to_have_text(["brik", "brick"])
        expect(page.get_by_text("✓ All saved")).to_be_visible()  # the tray
        assert answers(walls, "walls") == others

        # the queue goes on as if the class had never been: its pictures are asked about, and nobody guesses it
        waiting, asked = 16 - len(others), set()
        with page.expect_response(re.compile("suggestions.*kind=audit")):
            page.get_by_label("Asks for").select_option(label="A random sample")
        for _ in range(waiting):
            expect(page.locator(".caption")).to_contain_text("random")
            asked.add(name := name_of(page))
            expect(page.locator(".classlist .guessed .grow", has_text="moon")).to_have_count(0)
            page.keyboard.press("s")
            if len(asked) < waiting:
                expect(picture(page)).not_to_have_attribute("alt", name)
        assert moons <= asked

        for _ in range(waiting):  # what was skipped comes back first
            page.keyboard.press("Control+z")
        expect(listed(page)).to_have_text(["brik", "brick"])
        page.keyboard.press("Control+z")
        expect(page.get_by_text("Undone: class “moon” removed.")).to_be_visible()
        expect(listed(page)).to_have_text(["brik", "brick", "moon"])
        expect(page.get_by_text("✓ All saved")).to_be_visible()
        assert (classes(walls), answers(walls, "walls")) == (before, said)

        # and on another page, in another sitting: removed elsewhere, undone here
        httpx.delete(f"{walls.api}/v1/collections/walls/classes/moon", trust_env=False).raise_for_status()
        page.reload()
        expect(listed(page)).to_have_text(["brik", "brick"])
        page.keyboard.press("Control+z")
        expect(page.get_by_text("Undone: class “moon” removed.")).to_be_visible()
        expect(listed(page)).to_have_text(["brik", "brick", "moon"])
        page.keyboard.press("Control+y")
        expect(page.get_by_text("Done again: class “moon” removed.")).to_be_visible()
        expect(listed(page)).to_have_text(["brik", "brick"])
        page.keyboard.press("Control+z")
        expect(listed(page)).to_have_text(["brik", "brick", "moon"])
        expect(page.get_by_text("✓ All saved")).to_be_visible()
        assert (classes(walls), answers(walls, "walls")) == (before, said)


def test_a_key_pressed_while_its_class_is_renamed_elsewhere_labels_that_class(
    walls: Site, page: Page, tmp_path: Path
) -> None:
    here, said = f"{walls.api}/v1/collections/walls/classes", answers(walls, "walls")
    with seen(page, tmp_path):
        page.goto(f"{walls.page}/label?c=walls")
        expect(picture(page)).to_have_count(1)
        shown = name_of(page)
        httpx.patch(f"{here}/brick", json={"name": "wall"}, trust_env=False).raise_for_status()
        page.keyboard.press("2")  # which is still called brick on this page
        expect(picture(page)).not_to_have_attribute("alt", shown)
        saved(page)
        expect(page.get_by_text("“brick” is “wall” now.")).to_be_visible()
        expect(listed(page)).to_have_text(["brik", "wall", "moon"])
        assert answers(walls, "walls")[shown] == "wall"

        # one that was removed takes no label: it says so, and the picture is asked about again
        shown = name_of(page)
        httpx.delete(f"{here}/moon", trust_env=False).raise_for_status()
        page.keyboard.press("3")
        expect(page.get_by_text("The class 'moon' is gone from 'walls'")).to_be_visible()
        expect(picture(page)).to_have_attribute("alt", shown)
        expect(listed(page)).to_have_text(["brik", "wall"])
        assert [one[0] for one in classes(walls)] == ["brik", "wall"]
        for _ in range(3):
            httpx.post(f"{walls.api}/v1/collections/walls/labels/undo", trust_env=False).raise_for_status()
    assert answers(walls, "walls") == said


def test_an_answer_that_changed_nothing_is_taken_back_alone(walls: Site, page: Page, tmp_path: Path) -> None:
    here, said = f"{walls.api}/v1/collections/walls", answers(walls, "walls")
    with seen(page, tmp_path):
        page.goto(f"{walls.page}/label?c=walls")
        expect(picture(page)).to_have_count(1)
        shown = name_of(page)
        (image,) = [x for x in api(walls, "walls/images", limit=100)["items"] if x["name"] == shown]
        body = {"image_ids": [image["id"]], "class": "brick"}
        httpx.post(f"{here}/labels", json=body, trust_env=False).raise_for_status()  # somebody says so elsewhere

        with page.expect_response(re.compile("/labels$")) as answer:
            page.keyboard.press("2")
        expect(picture(page)).not_to_have_attribute("alt", shown)
        saved(page)
        assert answer.value.json()["action"] == 0
        page.keyboard.press("Control+z")
        expect(picture(page)).to_have_attribute("alt", shown)
        saved(page)
        assert answers(walls, "walls") == {**said, shown: "brick"}  # what was said elsewhere is not this page's to undo

        page.keyboard.press("Control+y")  # given again, it is nothing again
        expect(picture(page)).not_to_have_attribute("alt", shown)
        saved(page)
        page.keyboard.press("Control+z")
        expect(picture(page)).to_have_attribute("alt", shown)
        saved(page)
        assert answers(walls, "walls") == {**said, shown: "brick"}
        page.keyboard.press("Control+z")  # now that of elsewhere, which the page had not given: it says what it was
        expect(page.get_by_text("Undone: “brick” for 1 picture.")).to_be_visible()
        assert answers(walls, "walls") == said


@pytest.mark.parametrize("how", ["refused", "arrived", "new"])
def test_an_undo_that_waited_while_the_page_was_loaded_again_takes_back_the_label_that_it_is_about(
    walls: Site, page: Page, tmp_path: Path, how: str
) -> None:
    here, said = f"{walls.api}/v1/collections/walls", answers(walls, "walls")
    away = re.compile(r"/labels(/undo)?$")
    arrived: list[object] = []

    def lost(route: Route) -> None:
        if how == "arrived" and not arrived:
            arrived.append(route.fetch())  # it is only the answer that is lost
        route.abort()

    with seen(page, tmp_path):
        page.goto(f"{walls.page}/label?c=walls")
        expect(picture(page)).to_have_count(1)
        shown = name_of(page)
        page.route(away, lost)
        page.keyboard.press("3")
        expect(picture(page)).not_to_have_attribute("alt", shown)
        expect(page.get_by_text("1 step is not saved yet")).to_be_visible()
        page.keyboard.press("Control+z")
        expect(page.get_by_text("2 steps are not saved yet")).to_be_visible()

        if how == "refused":  # for somebody removes the class
            httpx.delete(f"{here}/classes/moon", trust_env=False).raise_for_status()
        assert (answers(walls, "walls").get(shown) == "moon") == (how == "arrived")
        page.reload()
        page.unroute(away)

        expect(page.get_by_text("✓ All saved").or_(page.get_by_text("Not saved"))).to_be_visible()
        expect(page.get_by_text("not saved yet")).to_have_count(0)
        if how == "refused":
            assert len(answers(walls, "walls")) < len(said)
            httpx.post(f"{here}/labels/undo", trust_env=False).raise_for_status()
    assert answers(walls, "walls") == said


@pytest.mark.parametrize("how", ["refused", "nothing"])
def test_an_undo_pressed_before_the_answer_is_in_takes_nobody_elses_action_back(
    walls: Site, page: Page, tmp_path: Path, how: str
) -> None:
    here, said = f"{walls.api}/v1/collections/walls", answers(walls, "walls")
    held: list[Route] = []
    with seen(page, tmp_path):
        page.goto(f"{walls.page}/label?c=walls")
        expect(picture(page)).to_have_count(1)
        shown = name_of(page)
        (image,) = [x for x in api(walls, "walls/images", limit=100)["items"] if x["name"] == shown]
        page.route(re.compile("/labels$"), lambda route: held.append(route))
        with page.expect_request(re.compile("/labels$")):
            page.keyboard.press("3")
        expect(picture(page)).not_to_have_attribute("alt", shown)
        page.keyboard.press("Control+z")
        expect(picture(page)).to_have_attribute("alt", shown)

        if how == "refused":  # for somebody removed the class
            httpx.delete(f"{here}/classes/moon", trust_env=False).raise_for_status()
        else:  # for somebody said so
            body = {"image_ids": [image["id"]], "class": "moon"}
            httpx.post(f"{here}/labels", json=body, trust_env=False).raise_for_status()
        after = answers(walls, "walls")
        held.pop().fallback()
        page.unroute(re.compile("/labels$"))
        if how == "refused":
            expect(page.get_by_text("The class 'moon' is gone from 'walls'")).to_be_visible()
            expect(listed(page)).to_have_text(["brik", "brick"])
        saved(page)
        assert answers(walls, "walls") == after != said
        assert name_of(page) == shown

        if how == "nothing":  # it is given again by the next redo
            page.keyboard.press("Control+y")
            expect(picture(page)).not_to_have_attribute("alt", shown)
            saved(page)
            assert answers(walls, "walls") == after
        httpx.post(f"{here}/labels/undo", trust_env=False).raise_for_status()
    assert answers(walls, "walls") == said


def test_the_gallery_gives_and_takes_away_classes_that_were_renamed_elsewhere_and_drops_one_that_was_removed(
    walls: Site, page: Page, tmp_path: Path
) -> None:
    here, said = f"{walls.api}/v1/collections/walls", answers(walls, "walls")
    chips = page.get_by_role("group", name="Label as").locator(".chip")
    with seen(page, tmp_path):
        page.goto(f"{walls.page}/gallery?c=walls&sort=name")
        page.get_by_role("option", name=re.compile("brick-05.png")).click()
        expect(chips).to_have_text([re.compile("brik"), re.compile("brick"), re.compile("moon")])
        httpx.patch(f"{here}/classes/brick", json={"name": "wall"}, trust_env=False).raise_for_status()
        with page.expect_response(re.compile("/labels$")), page.expect_response(re.compile("/classes$")):
            page.keyboard.press("2")  # still called brick on this page
        assert answers(walls, "walls")["brick-05.png"] == "wall"
        expect(page.get_by_text("“brick” is “wall” now.")).to_be_visible()
        expect(page.get_by_role("option", name=re.compile("brick-05.png, labelled wall"))).to_be_visible()

        # a class that was removed leaves the list and the pictures, whether it is given or taken away
        moon = page.get_by_role("option", name=re.compile("moon-00.png"))
        gone = page.get_by_text("The class 'moon' is gone from 'walls'")
        httpx.delete(f"{here}/classes/moon", trust_env=False).raise_for_status()
        page.keyboard.press("3")
        expect(gone).to_be_visible()
        expect(chips).to_have_text([re.compile("brik"), re.compile("wall")])
        expect(moon).not_to_have_attribute("aria-label", re.compile("labelled"))
        httpx.post(f"{here}/labels/undo", trust_env=False).raise_for_status()
        page.reload()
        expect(moon).to_have_attribute("aria-label", re.compile("labelled moon"))
        moon.click()
        expect(chips).to_have_text([re.compile("brik"), re.compile("wall"), re.compile("moon")])
        httpx.delete(f"{here}/classes/moon", trust_env=False).raise_for_status()
        page.keyboard.press("0")
        expect(gone).to_be_visible()
        expect(moon).not_to_have_attribute("aria-label", re.compile("labelled"))
        expect(chips).to_have_text([re.compile("brik"), re.compile("wall")])
        page.keyboard.press("0")  # there is nothing to take away any more
        page.get_by_role("option", name=re.compile("brick-05.png")).click()
        with page.expect_response(re.compile("/labels$")):
            page.keyboard.press("0")
        assert "brick-05.png" not in answers(walls, "walls")
        assert [one[0] for one in classes(walls)] == ["brik", "wall"]
        for _ in range(4):
            httpx.post(f"{here}/labels/undo", trust_env=False).raise_for_status()
    assert answers(walls, "walls") == said


def test_the_dialog_of_the_classes_has_no_barrier_in_light_or_dark_and_fits_a_phone(
    walls: Site, page: Page, tmp_path: Path
) -> None:
    with seen(page, tmp_path):
        page.goto(f"{walls.page}/label?c=walls")
        expect(picture(page)).to_have_count(1)
        dialog = opened(page, "brik (3)")
        dialog.get_by_label("Name").fill("brick")
        expect(dialog.get_by_role("button", name="Merge")).to_be_enabled()
        wrong = barriers(page, WCAG)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(DARK)
        wrong += barriers(page, ["color-contrast"])
        page.set_viewport_size({"width": 360, "height": 740})
        box = dialog.bounding_box()
        assert wrong == []
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360

        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(page.get_by_role("group", name="Picture to label")).to_be_focused()


def test_a_change_whose_answer_was_lost_is_neither_done_nor_undone_twice(
    walls: Site, page: Page, tmp_path: Path
) -> None:
    lost: list[str] = []

    def lose(route: Route) -> None:
        """The first answer to each."""
        if route.request.url in lost:
            return route.fallback()
        lost.append(route.request.url)
        route.fetch()
        return route.abort()

    with seen(page, tmp_path):
        page.goto(f"{walls.page}/label?c=walls")
        expect(picture(page)).to_have_count(1)
        shown = name_of(page)
        page.keyboard.press("2")
        expect(picture(page)).not_to_have_attribute("alt", shown)
        saved(page)
        before, said = classes(walls), answers(walls, "walls")
        page.route(re.compile("/classes/brik$|/labels/undo$"), lose)

        name = opened(page, "brik (3)").get_by_label("Name")
        name.fill("wall")
        page.get_by_label("Colour").fill("#aa3300")
        name.press("Enter")
        expect(listed(page)).to_have_text(["wall", "brick", "moon"])
        expect(page.get_by_role("dialog", name="Classes")).to_have_count(0)
        page.keyboard.press("Control+z")
        expect(page.get_by_text("Undone: the change of class “brik”.")).to_be_visible()
        assert len(lost) == 2
        assert (classes(walls), answers(walls, "walls")) == (before, said)

        page.keyboard.press("Control+z")
        expect(picture(page)).to_have_attribute("alt", shown)
        saved(page)
        assert shown not in answers(walls, "walls")


def test_an_undo_whose_answer_was_lost_as_the_api_restarts_is_not_asked_again_by_itself(
    walls: Site, page: Page, tmp_path: Path
) -> None:
    said = answers(walls, "walls")
    detail = "The API does not answer; it is being restarted. Try again in a moment."

    def lose(route: Route) -> None:
        """The answer, as the page's server does when the API goes away while it is asked."""
        route.fetch()
        body = {"error": "ApiDown", "detail": detail, "request_id": "x"}
        route.fulfill(status=503, headers={"Retry-After": "1"}, json=body)

    with seen(page, tmp_path):
        page.goto(f"{walls.page}/gallery?c=walls&sort=name")
        for number in (5, 6):
            page.get_by_role("option", name=re.compile(f"brick-0{number}.png")).click()
            with page.expect_response(re.compile("/labels$")):
                page.keyboard.press("3")
        assert answers(walls, "walls") == {**said, "brick-05.png": "moon", "brick-06.png": "moon"}

        page.route(re.compile("/labels/undo$"), lose, times=1)
        page.keyboard.press("Control+z")
        expect(page.locator(".toast").get_by_text(detail)).to_be_visible()
        assert answers(walls, "walls") == {**said, "brick-05.png": "moon"}
        expect(page.get_by_role("option", name=re.compile("brick-06.png, labelled"))).to_have_count(0)  # read anew

        page.keyboard.press("Control+z")
        expect(page.get_by_text("Undone: “moon” for 1 picture.")).to_be_visible()
    assert answers(walls, "walls") == said
