"""The page in a browser: how soon the gallery is painted, how long a screenful of scroll takes, how quick labelling is.

    scripts/bench ui [--size N]... [--label] [--json] [--quick]

A collection of N made-up pictures (1,000, 10,000 and 100,000) is served by `likeness serve` and opened in headless
Chromium without a GPU, 1280 by 800. Painted: from asking for the address until every tile in the window shows its
picture. Cold is the first page after the server has started, with an empty browser cache; warm is the same again in the
same browser, median of five. A screenful: the grid is moved on by its own height, or to a random place far away, and
waited for until every tile in the window shows its picture; median and 95th percentile of twenty.

The map: painted when every point is on its canvas; a frame is from a key that moves or zooms it to the frame that shows
it, median of forty, with all points in view.

The previews are cuts of real photographs at 160 px; 512 different ones stand for all, each under an address of its own,
so the browser fetches and decodes every one of them. What is measured of the Label page is in `hand.py`.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from app.demo import write_demo
from indexer.catalog import create_collection, open_catalog
from indexer.home import Home
from indexer.schema import contents, images, now
from model.images import decode
from scripts.benchmarks.calls import say
from scripts.benchmarks.hand import labelling
from scripts.benchmarks.served import FLAGS, serving
from scripts.benchmarks.table import Row, aim, quick, report, row
from scripts.benchmarks.ui_map import draw, map_rows

SIZES, WARM, SCREENS = (1_000, 10_000, 100_000), 5, 20
QUICK_SIZES, QUICK_WARM, QUICK_SCREENS = (1_000,), 1, 4
COLD_S, WARM_S, SCREEN_MS = 3.0, 1.8, 200.0
FACES, SIDE = 512, 160  # different previews, px

# True when the grid is there, and every tile that the window shows has its picture, decoded.
PAINTED = """() => {
  const roots = [document, ...[...document.querySelectorAll('*')].map((one) => one.shadowRoot).filter(Boolean)];
  const scroller = roots.map((root) => root.querySelector('.scroller')).find(Boolean);
  if (!scroller) return false;
  const window_ = scroller.getBoundingClientRect();
  const tiles = [...scroller.querySelectorAll('.tile')].filter((tile) => {
    const { top, bottom } = tile.getBoundingClientRect();
    return bottom > window_.top && top < Math.min(window_.bottom, innerHeight);
  });
  const whole = (tile) => {
    const img = tile.querySelector("img");
    return img && img.complete && img.naturalWidth > 0;
  };
  return tiles.length > 0 && tiles.every(whole);
}"""
# Move the grid to a place and resolve with the milliseconds until it is painted there, frame by frame.
SCROLL = (
    """async (where) => {
  const painted = """
    + PAINTED
    + """;
  const roots = [document, ...[...document.querySelectorAll('*')].map((one) => one.shadowRoot).filter(Boolean)];
  const scroller = roots.map((root) => root.querySelector('.scroller')).find(Boolean);
  const began = performance.now();
  scroller.scrollTop = where === null ? scroller.scrollTop + scroller.clientHeight : where * scroller.scrollHeight;
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  await frame();
  while (!painted()) await frame();
  return performance.now() - began;
}"""
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    sizes = options.size or (QUICK_SIZES if options.quick else SIZES)
    warm, screens = (QUICK_WARM, QUICK_SCREENS) if options.quick else (WARM, SCREENS)
    rows = [] if options.label else [each for size in sizes for each in run(size, warm, screens)]
    if not options.size:
        rows += labelling(options.quick)
    report("ui", "none: these are the page's own figures", quick(rows) if options.quick else rows, options.json)
    return 0


def run(size: int, warm: int, screens: int) -> list[Row]:
    """The figures at one size."""
    name = f"{size:,} pictures"
    with tempfile.TemporaryDirectory() as folder:
        say(f"making a collection of {size:,} pictures")
        fill(Home(Path(folder)), size)
        with serving(Path(folder)) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            found = measured(browser, f"{address}/gallery?c=photos", warm, screens)
            on_the_map = map_rows(browser, address, name, warm)
            browser.close()
    cold, again, steps, jumps = found
    return [
        aim(row(f"{name}: painted, cold", cold, "s"), at_most=COLD_S),
        aim(row(f"{name}: painted, warm (median)", float(np.median(again)), "s"), at_most=WARM_S),
        aim(row(f"{name}: a screenful on (median)", float(np.median(steps)), "ms"), at_most=SCREEN_MS),
        row(f"{name}: a screenful on (95th percentile)", float(np.percentile(steps, 95)), "ms"),
        row(f"{name}: a jump far away (median)", float(np.median(jumps)), "ms"),
        *on_the_map,
    ]


def measured(
    browser: Browser, address: str, warm: int, screens: int
) -> tuple[float, list[float], list[float], list[float]]:
    """Seconds cold, seconds warm, milliseconds of each screenful, milliseconds of each jump."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    cold = painted(page, address)
    again = [painted(page, address) for _ in range(warm)]
    steps = [page.evaluate(SCROLL, None) for _ in range(screens)]
    places = np.random.default_rng(0).uniform(0.05, 0.95, screens)
    jumps = [page.evaluate(SCROLL, float(place)) for place in places]
    return cold, again, steps, jumps


def painted(page: Page, address: str) -> float:
    """Seconds until the gallery at `address` shows its pictures."""
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_function(PAINTED, timeout=120_000, polling="raf")
    return time.perf_counter() - began


def fill(home: Home, size: int) -> None:
    """A collection `photos` of `size` pictures with previews: rows of its own tables, files where it looks."""
    engine = open_catalog(home)
    collection = create_collection(engine, "photos")
    faces = _faces(home.root / "faces", min(size, FACES))
    hashes = [f"{number % 256:02x}{number:062x}" for number in range(size)]  # spread over the folders, as real ones are
    for number, sha256 in enumerate(hashes):
        preview = home.preview(sha256, "jpg")
        if number < 256:
            preview.parent.mkdir(parents=True, exist_ok=True)
        os.link(faces[number % len(faces)], preview)
    like = {"preview_suffix": "jpg", "width": SIDE, "height": SIDE, "bytes": 1, "format": "JPEG", "stored": 0}
    with engine.begin() as connection:
        for at in range(0, size, 10_000):
            part = list(enumerate(hashes[at : at + 10_000], at))
            connection.execute(contents.insert(), [{"sha256": h, "preview_sha256": h, **like} for _, h in part])
            about = {"collection_id": collection.id, "folder": "made", "added_at": now()}
            connection.execute(images.insert(), [{"sha256": h, "name": f"{n:06}.jpg", **about} for n, h in part])
    draw(engine, home, collection.name)
    engine.dispose()


def _faces(folder: Path, count: int) -> list[Path]:
    """Previews to stand for all: the demo's views, at 160 px."""
    made = []
    views = write_demo(folder / "views")
    for number, view in enumerate(views[:: max(1, len(views) // count)][:count]):
        picture = decode(view.read_bytes(), view.name).resize((SIDE, SIDE))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=90)
        made.append(folder / f"{number}.jpg")
        made[-1].write_bytes(buffer.getvalue())
    return made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench ui", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", type=int, action="append", help="pictures; may be given several times")
    parser.add_argument("--label", action="store_true", help="only the Label page, which is left out with --size")
    parser.add_argument("--quick", action="store_true", help="1,000 pictures, a minute")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    return parser


if __name__ == "__main__":
    sys.exit(main())
