"""Pictures on this machine come in by their path; the page says how fast, how long still, and what was refused."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pictures import views
from tests.ui.conftest import Site, seen
from ui.client import Likeness

GOOD = 400
# Every text that stands in a component, from now on: each line of progress stands there for a second or so.
LISTEN = """() => {
  const roots = [...document.querySelectorAll("*")].map((one) => one.shadowRoot).filter(Boolean);
  window.lines = [];
  for (const root of roots) {
    const watch = new MutationObserver(() => window.lines.push(root.textContent));
    watch.observe(root, { childList: true, characterData: true, subtree: true });
  }
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs large enough that decoding them takes a moment, and one file that is none."""
    folder = tmp_path_factory.mktemp("by-path")
    for number, view in enumerate(views("coffee", GOOD, size=512)):
        view.save(folder / f"{number:03}.jpg")
    (folder / "letter.jpg").write_bytes(b"Dear friend, this is not a picture.")
    return folder


def test_an_import_by_path_says_how_fast_it_goes_and_what_was_refused_and_why(
    site: Site, page: Page, browser: Browser, folder: Path, tmp_path: Path
) -> None:
    chinese = browser.new_context(locale="zh-CN").new_page()
    with Likeness(site.api) as likeness, seen(page, tmp_path):
        likeness.create_collection("by-path")
        chinese.goto(f"{site.page}/jobs?c=by-path")
        expect(chinese.get_by_text("还没有任务").or_(chinese.get_by_role("article")).first).to_be_visible()
        chinese.evaluate(LISTEN)
        page.goto(f"{site.page}/?c=by-path")
        expect(page.get_by_text("They go into “by-path”.")).to_be_visible()
        page.evaluate(LISTEN)
        path = page.get_by_label("A path on this machine")
        path.fill(str(folder / "nowhere"))
        path.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("nowhere")

        path.fill(str(folder))
        path.press("Enter")
        refused = page.get_by_text("1 file refused")
        expect(refused).to_be_visible(timeout=120_000)
        expect(page.get_by_text(f"{GOOD} pictures added.")).to_be_visible()
        refused.click()
        expect(page.get_by_role("listitem").filter(has_text="letter.jpg")).to_contain_text(
            re.compile(r"letter\.jpg \w+")
        )
        said = page.evaluate("window.lines")
        assert any(re.search(rf"of {GOOD + 1} pictures, \d+ a second, \d+ \w+ left", line) for line in said), said
        expect(chinese.get_by_text(re.compile(f"^添加 {GOOD} 张"))).to_be_visible()
        also = chinese.evaluate("window.lines")
        assert any(re.search(rf"\d+ / {GOOD + 1} 张图片，每秒 \d+ 张，还需 \d+ ", line) for line in also), also
        likeness.delete_collection("by-path")
    chinese.context.close()
