"""The Label page under the hand, for `scripts/bench ui`: from a key to the next picture, and until the label is safe.

The demo's 600 pictures with labels of four subjects, in headless Chromium; keys are pressed as a person's would be, one
every half second, and timed in the browser from the key's own time stamp.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from scripts.benchmarks.calls import say
from scripts.benchmarks.served import FLAGS, serving
from scripts.benchmarks.table import Row, aim, row
from ui.client import Likeness

NEXT_MS = 100.0  # from a key to the next picture
LABELLED = {"coffee": 8, "rocket": 8, "astronaut": 8, "moon": 8}  # subject: labels before the first key
KEYS, QUICK_KEYS = 60, 8
PACE = 500  # ms from one key to the next

# Keeps the milliseconds from every key to the frame that shows the next picture, decoded, and to the answer that it is
# saved. `painted` is resolved by the frame after the one that put the picture there.
WATCH = """() => {
  const roots = [document, ...[...document.querySelectorAll('*')].map((one) => one.shadowRoot).filter(Boolean)];
  const frame = roots.map((root) => root.querySelector('.frame')).find(Boolean);
  const times = (window.times = { next: [], saved: [] });
  let pressed = null;
  document.addEventListener('keydown', (event) => {
    pressed = event.timeStamp;
    const before = frame.querySelector('img').alt;
    const look = () => {
      const img = frame.querySelector('img');
      if (!img || img.alt === before || !img.complete || !img.naturalWidth) return requestAnimationFrame(look);
      requestAnimationFrame(() => times.next.push(performance.now() - event.timeStamp));
    };
    requestAnimationFrame(look);
  }, true);
  window.addEventListener('likeness', ({ detail }) => {
    if (detail.what !== 'outbox' || detail.waiting || pressed === null) return;
    times.saved.push(performance.now() - pressed);
    pressed = null;
  });
}"""


def labelling(short: bool) -> list[Row]:
    """The figures of the Label page."""
    with tempfile.TemporaryDirectory() as folder:
        say("making the demo collection")
        with serving(Path(folder)) as address, sync_playwright() as playwright:
            prepare(address)
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            times = pressed(browser, f"{address}/label?c=demo", QUICK_KEYS if short else KEYS)
            browser.close()
    after, saved = np.array(times["next"]), np.array(times["saved"])
    return [
        aim(row("label: from key to next picture (median)", float(np.median(after)), "ms"), at_most=NEXT_MS),
        aim(
            row("label: from key to next picture (95th percentile)", float(np.percentile(after, 95)), "ms"),
            at_most=NEXT_MS,
        ),
        row("label: from key to saved (median)", float(np.median(saved)), "ms"),
    ]


def prepare(address: str) -> dict[str, int]:
    """The demo, searchable, with some labels and a classifier; the id of one picture of each subject with labels."""
    ids = {}
    with Likeness(address) as likeness:
        likeness.wait(likeness.open_demo(), timeout=600)
        likeness.wait(likeness.index("demo"), timeout=600)
        for subject, count in LABELLED.items():
            found = likeness.images("demo", filter={"text": subject}, sort="name", limit=count)["items"]
            likeness.label("demo", [image["id"] for image in found], subject)
            ids[subject] = found[0]["id"]
        likeness.probe("demo")
    return ids


def pressed(browser: Browser, address: str, keys: int) -> dict[str, list[float]]:
    """Milliseconds from each key to the next picture, and to the answer that its label is saved."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(address)
    page.get_by_role("group", name="Picture to label").get_by_role("img").wait_for(timeout=120_000)
    page.evaluate(WATCH)
    for number in range(keys):
        page.keyboard.press("1234"[number % 4])
        page.wait_for_timeout(PACE)
    page.wait_for_function("(n) => window.times.saved.length && window.times.next.length === n", arg=keys)
    return dict(page.evaluate("window.times"))
