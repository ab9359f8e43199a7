"""Pictures of every page, light and dark, of the demo collection: what `scripts/screenshots` runs.

Only the demo's photographs are shown, which may be redistributed. Each picture is WebP, below 150 KB.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from scripts.benchmarks.hand import prepare
from scripts.benchmarks.served import FLAGS, serving
from ui.client import Likeness

WIDTH, HEIGHT, LARGEST = 1280, 800, 150_000  # px, px, bytes
TRAINED = 4  # epochs of the training that is shown
PATIENCE = 120_000  # ms


def gallery(page: Page) -> None:
    """Some pictures selected, with what can be done with them."""
    tiles = page.get_by_role("listbox", name="Pictures").get_by_role("option")
    tiles.nth(1).click()
    tiles.nth(4).click(modifiers=["Shift"])


def viewer(page: Page) -> None:
    """One picture large."""
    page.get_by_role("listbox", name="Pictures").get_by_role("option").nth(2).click()
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="Alike").get_by_role("button").first).to_be_visible()


def filters(page: Page) -> None:
    """The menu of filters."""
    page.get_by_role("button", name="Filter", exact=True).click()


def whole_map(page: Page) -> None:
    """The map, wherever the pictures before have left it."""
    expect(page.locator("canvas.plot")).to_have_attribute("aria-busy", "false", timeout=PATIENCE)


def map_group(page: Page) -> None:
    """A group of the map, chosen from the list."""
    whole_map(page)
    page.get_by_role("list", name="Groups").get_by_role("button").nth(3).click()
    expect(page.get_by_role("listbox", name="Pictures").get_by_role("option").first).to_be_visible()


def training(page: Page) -> None:
    """What a training has brought, with the pictures that were pinned."""
    expect(page.get_by_role("group", name=re.compile("^Most like picture")).first).to_be_visible()


def compared(page: Page) -> None:
    """Some answers given, and what they say."""
    page.get_by_role("button", name="Left is better").click()
    expect(page.get_by_text("Left was")).to_be_visible()
    page.get_by_text("Result so far", exact=True).click()


def why(page: Page) -> None:
    """A picture to label, painted where it looks like its class."""
    page.keyboard.press("w")
    expect(page.get_by_role("group", name="Picture to label").locator("canvas")).to_be_visible(timeout=PATIENCE)


def groups(page: Page) -> None:
    """A group of alike pictures, framed."""
    page.get_by_role("slider", name="How many").fill("22")


def accept(page: Page) -> None:
    """What accepting the predictions above a line would do."""
    page.get_by_role("button", name="Accept…").click()
    expect(page.get_by_role("dialog", name="Accept predictions").get_by_role("img").first).to_be_visible()


def accuracy(page: Page) -> None:
    """How good the classifier is, once that is measured."""
    expect(page.get_by_role("table", name="Confusion table")).to_be_visible(timeout=PATIENCE)


def nothing(page: Page) -> None:
    """As the page opens."""


SHOTS: dict[str, tuple[str, Callable[[Page], None]]] = {  # file: address, what to do first
    "collections": ("?", nothing),
    "gallery": ("gallery?sort=random&", gallery),
    "filters": ("gallery?orientation=square&", filters),
    "viewer": ("gallery?sort=name&text=astronaut&", viewer),
    "search": ("search?like={coffee}&not={moon}&", nothing),
    "map": ("map?by=prediction&", whole_map),
    "map-group": ("map?", map_group),
    "label": ("label?", nothing),
    "why": ("label?", why),
    "groups": ("label?view=groups&", groups),
    "predictions": ("label?view=predictions&", nothing),
    "accept": ("label?view=predictions&", accept),
    "accuracy": ("label?view=accuracy&", accuracy),
    "train": ("train?", training),
    "compare": ("compare?", compared),
    "jobs": ("jobs?", nothing),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description="Pictures of every page, light and dark.")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    out: Path = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as address, sync_playwright() as playwright:
        ids = prepare(address)
        with Likeness(address) as likeness:
            likeness.wait(likeness.draw_map("demo"), timeout=600)
        train(address, [ids["coffee"], ids["moon"]])
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)  # type: ignore[arg-type]
            page = context.new_page()
            for name, (where, first) in SHOTS.items():
                page.goto(f"{address}/{where.format(**ids)}c=demo")
                settle(page)
                first(page)
                page.wait_for_timeout(700)
                saved = save(page.screenshot(), out / f"{name}-{scheme}.webp")
                print(f"{saved.name}: {saved.stat().st_size / 1000:.0f} KB", file=sys.stderr)
        browser.close()
    return 0


def train(address: str, pins: list[int]) -> None:
    """A training with pinned pictures, and an index of its model beside the active one's."""
    with Likeness(address) as likeness:
        made = likeness.wait(likeness.train("demo", epochs=TRAINED, pins=pins), timeout=1800)
        assert made["result"] is not None
        likeness.wait(likeness.index("demo", made["result"]["model"], activate=False), timeout=600)


def settle(page: Page) -> None:
    """Wait until the page has said all it has to say."""
    expect(page.get_by_text("All saved")).to_be_visible(timeout=PATIENCE)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(800)


def save(png: bytes, path: Path) -> Path:
    """Write a picture as WebP, as good as fits."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    for quality in (80, 70, 60, 50, 40):
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=quality, method=6)
        if buffer.tell() < LARGEST:
            break
    path.write_bytes(buffer.getvalue())
    return path


if __name__ == "__main__":
    sys.exit(main())
