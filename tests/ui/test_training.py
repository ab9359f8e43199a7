"""Training and comparing as a person does it: a real browser, the real server, a real training of real photographs."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.pictures import write_folders
from tests.ui.conftest import Site, seen, serving, with_shipped
from tests.ui.test_everywhere import DARK, WCAG, barriers
from ui.client import Likeness

SUBJECTS = ("cat", "coffee", "rocket", "brick")
EACH = 12
SLOW = 240_000  # ms
EPOCHS = "400"  # more than anybody waits for: it is stopped


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, shipped_folder: Path) -> Iterator[Site]:
    """An installation with a small collection, half of it labelled, that is searched with the encoder that ships."""
    folder = tmp_path_factory.mktemp("pictures")
    write_folders(folder, SUBJECTS, EACH, size=64)
    home = with_shipped(tmp_path_factory.mktemp("training"), shipped_folder)
    with serving(home) as site, Likeness(site.api) as likeness:
        likeness.create_collection("small")
        likeness.wait(likeness.upload("small", sorted(folder.rglob("*.jpg"))), timeout=240)
        likeness.wait(likeness.index("small"), timeout=240)
        ids = [image["id"] for image in likeness.all_images("small")]
        for number, subject in enumerate(SUBJECTS):
            likeness.label("small", ids[number * EACH : number * EACH + EACH // 2], subject)
        yield site


def pins(page: Page) -> Locator:
    return page.get_by_role("group", name=re.compile(r"^Picture \d+ and two views")).get_by_role("button", name="Pin")


def assert_no_barriers(page: Page) -> None:
    """Light and dark, and on a phone."""
    wrong = barriers(page, WCAG)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(DARK)
    wrong += barriers(page, ["color-contrast"])
    page.set_viewport_size({"width": 360, "height": 740})
    page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollWidth <= 360")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light")
    assert wrong == []


def active(site: Site) -> str:
    with Likeness(site.api) as likeness:
        return likeness.collection("small")["active_model"] or ""


def test_a_training_from_its_cost_to_its_adoption_and_back(site: Site, page: Page, tmp_path: Path) -> None:
    first = active(site)
    with seen(page, tmp_path):
        page.goto(f"{site.page}/train?c=small")

        # two pictures are pinned, one of them is let go again, and another takes its place
        expect(pins(page)).to_have_count(6)
        for number in (0, 1):
            pins(page).nth(number).click()
            expect(pins(page).nth(number)).to_have_attribute("aria-pressed", "true")
        pinned = page.get_by_role("group", name="Pinned pictures").get_by_role("button", name="Unpin")
        pinned.first.click()
        expect(pinned).to_have_count(1)
        pins(page).nth(2).click()
        expect(pinned).to_have_count(2)

        # what it will cost is measured
        page.get_by_text("More", exact=True).click()
        page.get_by_label("Epochs").fill(EPOCHS)
        page.get_by_label("Pictures a step").fill("16")
        page.get_by_label("Pixels a side").fill("32")
        page.get_by_role("button", name="What will it cost?").click()
        measured = page.get_by_text(re.compile(r"^Measured on this machine’s CPU: [\d,]+ views a second\. 400 epochs"))
        expect(measured).to_be_visible(timeout=SLOW)
        expect(page.locator(".cost dl .figure")).to_have_count(3)

        # it runs: curves, k-NN by the labels, and the pinned pictures
        page.get_by_role("button", name="Start training").click()
        training = page.get_by_role("article").filter(has=page.get_by_role("button", name="Stop and keep the best"))
        quality = training.get_by_role("img", name=re.compile(r"^quality without labels .*right by labels"))
        expect(quality).to_be_visible(timeout=SLOW)
        expect(training.get_by_role("img", name=re.compile(r"^loss"))).to_be_visible()
        asked = training.get_by_role("group", name=re.compile(r"^Most like picture \d+"))
        expect(asked).to_have_count(2)
        expect(asked.first.get_by_role("img", name=re.compile(r"likeness"))).to_have_count(10)
        expect(training.get_by_text(re.compile(r"^Best so far: epoch \d+"))).to_be_visible()

        # the past of a pinned picture can be looked at
        slider = training.get_by_role("slider", name="Evaluation")
        slider.press("Home")
        expect(slider).to_have_attribute("aria-valuetext", "before learning")
        expect(asked.first.get_by_text("0 of 10 are others")).to_be_visible()

        # pause, and go on
        training.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Go on").click(timeout=SLOW)
        expect(page.get_by_role("button", name="Pause")).to_be_visible(timeout=SLOW)

        # stop and keep the best; the report; adopt; go back
        page.get_by_role("button", name="Stop and keep the best").click()
        expect(
            page.get_by_text(re.compile(r"^Stopped in epoch [\d.]+ of 400\. Kept is the model of epoch"))
        ).to_be_visible(timeout=SLOW)
        with page.expect_popup() as opened:
            page.get_by_role("link", name="Report with pictures").click()
        expect(opened.value.get_by_role("img").first).to_be_attached()
        opened.value.close()
        assert active(site) == first
        page.get_by_role("button", name="Use the new model").click()
        adopted = page.get_by_text(re.compile(r"^Model \w{8} is the active one$"))
        expect(adopted).to_be_visible(timeout=SLOW)
        assert active(site) != first
        page.get_by_role("button", name=f"Go back to {first[:8]}").click()
        expect(page.get_by_text(f"Active: model {first[:8]}.")).to_be_visible()
        assert active(site) == first
        assert_no_barriers(page)


def test_two_models_are_compared_blind_with_ten_answers_that_are_kept(site: Site, page: Page, tmp_path: Path) -> None:
    with Likeness(site.api) as likeness:
        if len(likeness.models()) < 2:
            likeness.wait(likeness.train("small", epochs=1, batch_size=16, image_size=32), timeout=240)
        models = [model["fingerprint"][:8] for model in likeness.models()]
    answers = page.locator(".votes_so_far")
    with seen(page, tmp_path):
        page.goto(f"{site.page}/compare?c=small")
        make = page.get_by_role("button", name="Make it")
        left = page.get_by_role("button", name="Left is better")
        expect(make.or_(left).first).to_be_visible()
        if make.is_visible():  # nothing was adopted before: the index of the new model is missing
            make.click()
        expect(left).to_be_visible(timeout=SLOW)
        expect(answers).to_have_text("0 answers")

        for number, key in enumerate(["ArrowLeft", "ArrowRight", "ArrowDown", "ArrowRight", "ArrowLeft"] * 2, 1):
            expect(page.get_by_role("region", name="Right", exact=True).get_by_role("button")).to_have_count(12)
            for model in models:  # nothing beside the pictures says which is which
                assert model not in page.locator(".stage").inner_text()
            page.keyboard.press(key)
            expect(answers).to_have_text(f"{number} answer{'s' if number > 1 else ''}")
        told = page.get_by_text(re.compile(r"^Left was \w{8}, right was \w{8}\."))
        expect(told).to_be_visible()

        # its undo takes back its own last answer, and leaves the class that was removed after it to the Label page
        classes = f"{site.api}/v1/collections/small/classes"
        httpx.post(classes, json={"name": "passing"}, trust_env=False).raise_for_status()
        httpx.delete(f"{classes}/passing", trust_env=False).raise_for_status()
        page.keyboard.press("Control+z")
        expect(answers).to_have_text("9 answers")
        expect(page.get_by_text("✓ All saved")).to_be_visible()
        assert "passing" not in httpx.get(classes, trust_env=False).text
        page.keyboard.press("ArrowDown")
        expect(answers).to_have_text("10 answers")

        page.get_by_text("Result so far", exact=True).click()
        expect(
            page.get_by_text(re.compile(r"^10 answers: \d+ for \w{8}, \d+ for \w{8}, 3 the same\.$"))
        ).to_be_visible()
        expect(page.get_by_text(re.compile(r"95 % interval \d+ % to \d+ %"))).to_be_visible()
        assert_no_barriers(page)

        page.reload()
        expect(answers).to_have_text("10 answers")

        # a picture that is shown can be asked about next
        tile = page.get_by_role("region", name="Left", exact=True).get_by_role("button").first
        name = (tile.get_attribute("aria-label") or "").removeprefix("Ask about ")
        tile.click()
        expect(page.locator(".asked img")).to_have_attribute("alt", name)
