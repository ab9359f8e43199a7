"""Folders of many files, dropped as a file manager drops them, or chosen; `--deep 44`: more than 5,000 at once."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.ui.conftest import Site, seen
from tests.ui.test_arrive import LISTEN
from ui.client import Likeness

EACH = 60  # pictures of a folder, times --deep
PATIENCE = 400_000  # ms
SEED = 8


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`holiday` with two folders of small pictures, one inside the other, and files that are none."""
    root = tmp_path_factory.mktemp("many") / "holiday"
    rng = np.random.default_rng(SEED)
    for place in (root / "sea", root / "sea" / "evening"):
        place.mkdir(parents=True)
        (place / "notes.txt").write_text("not a picture")
        for number in range(EACH * request.config.getoption("--deep")):
            pixels = rng.integers(0, 256, (24, 24, 3), np.uint8)
            Image.fromarray(pixels).save(place / f"{number:05}.png", compress_level=1)
    return root


@contextmanager
def own_collection(site: Site, page: Page, name: str) -> Iterator[Likeness]:
    """The page where pictures go into a new collection."""
    with Likeness(site.api) as likeness:
        likeness.create_collection(name)
        page.goto(f"{site.page}/?c={name}")
        expect(page.get_by_text(f"They go into “{name}”.")).to_be_visible()
        yield likeness
        likeness.delete_collection(name)


def dropped(page: Page, *paths: Path) -> None:
    """Drop files and folders of this machine on the page, through the browser's own drag and drop."""
    box = page.get_by_text("Drop pictures, a folder or a zip here").bounding_box()
    assert box is not None
    files = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    devtools = page.context.new_cdp_session(page)
    for step in ("dragEnter", "dragOver", "drop"):
        about = {"type": step, "x": box["x"] + 20, "y": box["y"] + 5, "data": files}
        devtools.send("Input.dispatchDragEvent", about)


def arrived(page: Page, likeness: Likeness, name: str, folder: Path) -> None:
    """All came in with their folders, what is none was refused, and they can be searched."""
    here = {path.relative_to(folder.parent) for path in folder.rglob("*.png")}
    expect(page.get_by_text(f"{len(here):,} pictures added.")).to_be_visible(timeout=PATIENCE)
    refused = page.get_by_text("2 files refused")
    refused.click()
    expect(page.get_by_role("listitem").filter(has_text="notes.txt")).to_have_count(2)
    found = {Path(image["folder"], image["name"]) for image in likeness.all_images(name)}
    assert {Path(*path.parts[-3:]) for path in found} == {Path(*path.parts[-3:]) for path in here}
    assert likeness.collection(name)["indexed"] == len(here)


def test_a_dropped_folder_comes_in_whole_with_its_folders(site: Site, page: Page, folder: Path, tmp_path: Path) -> None:
    with own_collection(site, page, "dropped") as likeness, seen(page, tmp_path):
        page.evaluate(LISTEN)
        dropped(page, folder)

        arrived(page, likeness, "dropped", folder)
        said = page.evaluate("window.lines")
        assert any(re.search(r"Sending [\d,]+ of [\d,]+ files: .* left", line) for line in said), said


def test_a_chosen_folder_comes_in_whole_with_its_folders(site: Site, page: Page, folder: Path, tmp_path: Path) -> None:
    with own_collection(site, page, "chosen") as likeness, seen(page, tmp_path):
        page.get_by_label("Choose a folder").set_input_files(folder)

        arrived(page, likeness, "chosen", folder)


def test_files_dropped_beside_a_folder_come_in_with_it(site: Site, page: Page, folder: Path, tmp_path: Path) -> None:
    few = sorted((folder / "sea").glob("*.png"))[:3]
    inner = tmp_path / "inner"
    inner.mkdir()
    os.link(sorted((folder / "sea" / "evening").glob("*.png"))[0], inner / "last.png")
    with own_collection(site, page, "beside") as likeness, seen(page, tmp_path):
        dropped(page, *few, inner)

        expect(page.get_by_text("4 pictures added.")).to_be_visible(timeout=PATIENCE)
        assert {image["name"] for image in likeness.all_images("beside")} == {*(path.name for path in few), "last.png"}
