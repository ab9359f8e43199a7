"""Labelling by hand: keys alone, whole groups, predictions above a line, and what the figures open."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.ui.conftest import NAMES, Site, collect, seen
from tests.ui.labelling import answers, api, name_of, picture, saved

KEYS = 70  # keystrokes that sixty labels may take
LABELS = 60


class Hand:
    """A person who has a keyboard and no mouse, and whose keystrokes are counted."""

    def __init__(self, page: Page) -> None:
        self.page, self.keys = page, 0

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.keys += 1

    def type(self, text: str) -> None:
        for letter in text:
            self.press(letter)

    def label(self, name: str) -> None:
        """Say that the picture on show is of class `name`, in the fewest keystrokes; the next one is there at once."""
        before = name_of(self.page)
        classes = self.page.locator(".classlist button").evaluate_all(
            "all => all.map((one) => [...one.querySelectorAll('.grow, kbd')].map((part) => part.innerText)"
            ".concat(one.classList.contains('guessed')))"
        )
        known = {name: (key, guessed) for key, name, guessed in classes}
        if name in known:
            key, guessed = known[name]
            self.press("Space" if guessed else key)
        else:
            if not self.page.get_by_label("Name of the class").evaluate("e => e.getRootNode().activeElement === e"):
                self.press("Enter")
            self.type(name)
            self.press("Enter")
        expect(picture(self.page)).not_to_have_attribute("alt", before)


@pytest.fixture(scope="module")
def photos(site: Site) -> Site:
    """A collection of two subjects without a label or a class."""
    collect(site, "fresh", ("coffee", "galaxies"), 35)
    return site


def test_sixty_pictures_are_labelled_from_nothing_with_seventy_keystrokes_and_no_mouse(
    photos: Site, page: Page, tmp_path: Path
) -> None:
    hand, said = Hand(page), {}
    with seen(page, tmp_path):
        page.goto(f"{photos.page}/label?c=fresh")
        expect(picture(page)).to_have_count(1)
        expect(page.get_by_text("Name what you see")).to_be_visible()
        expect(page.get_by_text("Not enough labels yet")).to_be_visible()  # a sentence, and not an empty box

        while len(said) < LABELS:
            name = name_of(page)
            said[name] = NAMES[name.split("-")[0]]
            hand.label(said[name])
        saved(page)

        # what it has learnt is said, with its interval, and follows without the page running again
        expect(page.get_by_text(re.compile(r"^\d+ % right$"))).to_be_visible()
        expect(page.get_by_text("measured on 60 labels it had not seen")).to_be_visible()
        expect(page.get_by_title(re.compile(r"^\d+ pictures look like it$"))).to_have_count(2)
        expect(page.get_by_text(re.compile("^10 more labels are worth about"))).to_be_visible()

    assert hand.keys <= KEYS
    assert answers(photos, "fresh") == said


def test_the_history_says_whether_a_guess_was_accepted_or_a_class_given(
    mixed: Site, page: Page, tmp_path: Path
) -> None:
    with seen(page, tmp_path):
        page.goto(f"{mixed.page}/label?c=mixed")
        expect(page.locator(".classlist .guessed")).to_have_count(1)
        accepted = name_of(page)
        page.keyboard.press("Space")
        expect(picture(page)).not_to_have_attribute("alt", accepted)
        given = name_of(page)
        page.keyboard.press("2")
        expect(picture(page)).not_to_have_attribute("alt", given)
        saved(page)
        said = {item["name"]: item["source"] for item in api(mixed, "mixed/labels", limit=500)["items"]}
        page.keyboard.press("Control+z")
        page.keyboard.press("Control+z")
        saved(page)

    assert (said[accepted], said[given]) == ("suggestion", "hand")


def test_every_key_is_undone_and_done_again_in_order(mixed: Site, page: Page, tmp_path: Path) -> None:
    before = answers(mixed, "mixed")
    with seen(page, tmp_path):
        page.goto(f"{mixed.page}/label?c=mixed")
        expect(picture(page)).to_have_count(1)
        names = []
        for key in ("2", "n", "u", "s", "0"):
            names.append(name_of(page))
            page.keyboard.press(key)
            expect(picture(page)).not_to_have_attribute("alt", names[-1])
        saved(page)
        said = dict(zip(names, ("sky", "none_of_these", "unsure", None, "none_of_these"), strict=True))
        given = {**before, **{name: answer for name, answer in said.items() if answer}}
        assert answers(mixed, "mixed") == given

        for name in reversed(names):
            page.keyboard.press("Control+z")
            expect(picture(page)).to_have_attribute("alt", name)
        saved(page)
        assert answers(mixed, "mixed") == before
        page.wait_for_timeout(1_500)  # the order of what comes is thought over, and these stay the next

        for key in ("Control+Shift+Z", "Control+y", "Control+y", "Control+y", "Control+Shift+Z"):
            name = name_of(page)
            page.keyboard.press(key)
            expect(picture(page)).not_to_have_attribute("alt", name)
        saved(page)
        assert answers(mixed, "mixed") == given

        for _ in names:
            page.keyboard.press("Control+z")
        saved(page)
        assert answers(mixed, "mixed") == before

        page.keyboard.press("?")
        shortcuts = page.get_by_role("dialog", name="Shortcuts")
        expect(shortcuts).to_contain_text("None of these classes")
        at_its_heels = "new KeyboardEvent('keydown', { key: '9', bubbles: true, composed: true })"
        shortcuts.evaluate(f"dialog => (dialog.close(), dialog.querySelector('button').dispatchEvent({at_its_heels}))")
        expect(page.get_by_label("Name of the class")).to_be_focused()  # no class has it: it is named instead
        page.keyboard.press("Escape")

        page.keyboard.press("?")
        expect(shortcuts).to_be_visible()
        page.keyboard.press("Escape")
        expect(shortcuts).to_have_count(0)
        page.keyboard.press("9")  # and Esc goes back
        expect(page.get_by_label("Name of the class")).to_be_focused()
        page.keyboard.type("SK")
        expect(page.get_by_role("listbox", name="Classes").get_by_role("option").first).to_have_text("sky")
        page.keyboard.press("Escape")
        page.keyboard.press("Enter")  # named again at once: what went before does not close the list
        page.keyboard.type("S")
        page.wait_for_timeout(300)
        expect(page.get_by_role("listbox", name="Classes").get_by_role("option").first).to_have_text("sky")
        page.keyboard.press("Escape")
        page.keyboard.press("w")
        painted = page.get_by_role("group", name="Picture to label").locator("canvas")
        expect(page.get_by_text("of what speaks for")).to_be_visible()  # first, for it goes after some seconds
        expect(painted).to_be_visible()
        pixels = "c => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
        assert len(set(painted.evaluate(pixels))) > 8
    assert answers(mixed, "mixed") == before


def test_a_whole_group_is_labelled_as_it_is_framed_and_one_undo_takes_it_back(
    mixed: Site, page: Page, tmp_path: Path
) -> None:
    before = answers(mixed, "mixed")
    with seen(page, tmp_path):
        page.goto(f"{mixed.page}/label?c=mixed&view=groups")
        group = page.get_by_role("group", name="Group of alike pictures")
        framed = group.get_by_role("button", pressed=True)
        expect(framed.nth(1)).to_be_visible()
        page.get_by_role("slider", name="How many").fill("7")
        expect(framed).to_have_count(7)
        framed.nth(3).click()
        expect(framed).to_have_count(6)
        names = [(label or "").split(",")[0] for label in framed.evaluate_all("all => all.map((one) => one.ariaLabel)")]

        page.keyboard.press("3")
        saved(page)
        assert answers(mixed, "mixed") == {**before, **dict.fromkeys(names, "wall")}

        page.keyboard.press("Control+z")
        expect(framed).to_have_count(6)  # the group is back as it was
        saved(page)
        assert answers(mixed, "mixed") == before

        # clusters of the map, which is drawn when there is none; the API may be away for a moment meanwhile
        page.route(re.compile(r"/v1/jobs/\d+$"), lambda route: route.abort(), times=1)
        page.get_by_label("Groups", exact=True).select_option("clusters")
        page.get_by_role("button", name="Draw the map").click()
        expect(framed.nth(1)).to_be_visible(timeout=240_000)  # drawing compiles UMAP first
        page.keyboard.press("ArrowRight")
        page.keyboard.press("x")
        expect(group.get_by_role("button", pressed=False)).to_have_count(1)
        count = framed.count()
        page.keyboard.press("n")
        saved(page)
        said = answers(mixed, "mixed")
        assert sum(answer == "none_of_these" for answer in said.values()) == count
        page.keyboard.press("Control+z")
        saved(page)
    assert answers(mixed, "mixed") == before


def test_predictions_above_a_line_are_looked_at_and_accepted_as_one_action(
    mixed: Site, page: Page, tmp_path: Path
) -> None:
    before = answers(mixed, "mixed")
    with seen(page, tmp_path):
        page.goto(f"{mixed.page}/label?c=mixed&view=predictions")
        page.get_by_role("button", name="Accept…").click()
        dialog = page.get_by_role("dialog", name="Accept predictions")
        dialog.get_by_role("slider").fill("0")
        open_ = 3 * 16 - len(before)
        expect(dialog.get_by_role("button", name=f"Label {open_} pictures")).to_be_enabled()
        expect(dialog.get_by_role("img")).to_have_count(min(open_, 24))
        assert answers(mixed, "mixed") == before  # so far it was only looked at

        (late,) = api(mixed, "mixed/images", labelled=False, limit=1)["items"]
        answer = {"image_ids": [late["id"]], "answer": "unsure"}
        httpx.post(f"{mixed.api}/v1/collections/mixed/labels", json=answer, trust_env=False).raise_for_status()
        dialog.get_by_role("button", name=f"Label {open_} pictures").click()
        expect(dialog.get_by_role("alert")).to_contain_text("changed since you looked")  # and it is shown again
        expect(dialog.get_by_role("slider")).to_have_value("0")
        open_ -= 1
        before = answers(mixed, "mixed")
        expect(dialog.get_by_role("button", name=f"Label {open_} pictures")).to_be_enabled()
        dialog.get_by_role("button", name=f"Label {open_} pictures").click()
        page.get_by_role("button", name="Undo").hover()  # what it says stays there under the pointer
        expect(page.get_by_text(f"{open_} pictures labelled as predicted.")).to_be_visible()
        assert len(answers(mixed, "mixed")) == 3 * 16

        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_text(f"Undone: the labels of {open_} pictures.")).to_be_visible()
    assert answers(mixed, "mixed") == before
    answer = {"image_ids": [late["id"]], "answer": "none"}
    httpx.post(f"{mixed.api}/v1/collections/mixed/labels", json=answer, trust_env=False).raise_for_status()


def test_a_cell_of_the_confusion_opens_its_pictures_and_a_wrong_label_is_mended_there(
    mixed: Site, page: Page, tmp_path: Path
) -> None:
    with seen(page, tmp_path):
        page.goto(f"{mixed.page}/label?c=mixed&view=accuracy")
        for title in ("Class by class", "How far to trust its probabilities", "When to stop"):
            expect(page.get_by_role("heading", name=title)).to_be_visible()
        expect(page.get_by_role("img", name=re.compile("^What labels brought"))).to_be_visible()
        page.get_by_role("button", name=re.compile("Labelled cup, predicted wall")).click()
        behind = page.get_by_role("listbox", name="Pictures").get_by_role("option")
        expect(behind).to_have_count(1)
        expect(behind).to_have_attribute("aria-label", re.compile("^brick-00"))

        behind.click()
        page.keyboard.press("3")
        expect(page.get_by_text("1 picture labelled “wall”.")).to_be_visible()
        expect(page.get_by_role("button", name=re.compile("Labelled cup, predicted wall"))).to_have_count(0)
        assert answers(mixed, "mixed")["brick-00.png"] == "wall"

        # "when to stop" leads to the random sample
        page.get_by_role("button", name="Label the random sample").click()
        expect(page.get_by_text("drawn at random, to see how good the predictions are")).to_be_visible()
        expect(page).to_have_url(re.compile("kind=audit"))
