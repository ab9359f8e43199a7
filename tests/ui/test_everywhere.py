"""What holds on every page: no barrier that axe-core finds, any width, another language, one sentence a failure."""

import json
import re
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from tests.ui.conftest import Site, seen

PAGES = (
    *("", "gallery", "search", "search?like=1", "map", "train", "compare", "jobs"),
    *("label", "label?view=groups", "label?view=predictions", "label?view=accuracy"),
)
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
# Dark, and so is every component of ours, and no colour is on its way from one to the other.
DARK = """() => {
  const roots = [...document.querySelectorAll("*")].map((one) => one.shadowRoot).filter(Boolean);
  const parts = roots.flatMap((root) => [...root.querySelectorAll(".likeness")]);
  const still = [document, ...roots].every((root) => !root.getAnimations().length);
  const paper = getComputedStyle(document.querySelector(".stApp")).backgroundColor;
  const ink = (part) => getComputedStyle(part).color === "rgb(232, 233, 235)";
  return still && paper === "rgb(23, 24, 26)" && parts.every(ink);
}"""
FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"  # one was painted
COUNT = re.compile(r"^(600|599) pictures$")  # another test may have removed one


def address(site: Site, page: str) -> str:
    return f"{site.page}/{page}{'&' if '?' in page else '?'}c=demo"


def settle(page: Page) -> None:
    """Wait until the components are there and still."""
    expect(page.get_by_text("All saved")).to_be_visible()
    page.wait_for_load_state("networkidle")


def barriers(page: Page, rules: list[str]) -> list[str]:
    found = Axe().run(page, options={"runOnly": rules}).response["violations"]
    return [f"{page.url}: {one['id']}: {node['html'][:160]}" for one in found for node in one["nodes"]]


def test_no_page_is_empty_or_has_a_barrier_that_axe_finds_in_light_or_dark_and_all_fit_a_phone(
    demo: Site, browser: Browser
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page, wrong = context.new_page(), []
    for name in PAGES:
        page.goto(address(demo, name))
        settle(page)
        expect(page.get_by_test_id("stMain").locator(".likeness").first).to_be_visible()  # it is not empty
        wrong += barriers(page, WCAG)
        page.emulate_media(color_scheme="dark")
        page.wait_for_function(DARK)
        wrong += barriers(page, ["color-contrast"])
        page.set_viewport_size({"width": 360, "height": 740})
        page.wait_for_function("document.querySelector('[data-testid=stMain]').clientWidth <= 360")
        page.evaluate(FRAME)
        if page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") > 360:
            wrong.append(f"{page.url} scrolls sideways on a phone")
        page.set_viewport_size({"width": 1280, "height": 800})
        page.emulate_media(color_scheme="light")
    context.close()

    assert wrong == []


def test_it_speaks_the_browsers_language_or_the_one_that_was_chosen(demo: Site, browser: Browser) -> None:
    context = browser.new_context(locale="zh-CN")
    page = context.new_page()

    # what the API says in sentences, too
    page.goto(f"{demo.page}/")
    expect(page.get_by_text("浏览预测结果，在出错的地方标注。").first).to_be_visible()
    expect(page.get_by_text("搜索会与每张图片比较：结果是精确的。").first).to_be_visible()
    page.goto(address(demo, "label"))
    expect(page.locator(".caption")).to_contain_text(re.compile("典型|不确定|随机抽取|只有|不像"))

    page.goto(address(demo, "gallery"))
    expect(page.get_by_role("link", name="图库")).to_be_visible()
    expect(page.get_by_text(re.compile(r"^(600|599) 张图片$"))).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "zh"

    page.get_by_label("语言").select_option("en")
    expect(page.get_by_text(COUNT)).to_be_visible()
    expect(page.get_by_role("link", name="Gallery")).to_be_visible()
    context.close()


FAILURES = {
    413: (None, "That is more than Likeness takes at once."),
    422: ({"error": "BadInput", "detail": "This is not a date.", "request_id": "x"}, "This is not a date."),
    429: (None, "Likeness is busy. Try again in a moment."),
    503: ({"error": "Damaged", "detail": "The index is damaged.", "request_id": "x"}, "The index is damaged."),
}


def test_every_failure_is_one_sentence_and_trying_again_works(demo: Site, page: Page, tmp_path: Path) -> None:
    answers: list[int] = []

    def answer(route: Route) -> None:
        if not answers:
            return route.abort() if down else route.fallback()
        body, _ = FAILURES[answers[-1]]
        return route.fulfill(status=answers[-1], body=json.dumps(body) if body else "<html>nginx</html>")

    down = False
    page.route(re.compile("/v1/collections/demo/images"), answer)
    with seen(page, tmp_path):
        page.goto(address(demo, "gallery"))
        for number, (status, (_, sentence)) in enumerate(FAILURES.items()):
            answers[:] = [status]
            page.get_by_label("Order").select_option(("name", "oldest")[number % 2])
            expect(page.get_by_text(sentence, exact=True)).to_be_visible()
            answers.clear()
            page.get_by_role("button", name="Try again").click()
            expect(page.get_by_text(COUNT)).to_be_visible()

        down = True
        page.get_by_label("Order").select_option("random")
        expect(page.get_by_text("Likeness does not answer.")).to_be_visible()
        down = False
        expect(page.get_by_text(COUNT)).to_be_visible()  # by itself, when it is back
        expect(page.get_by_text("Traceback")).to_have_count(0)


def test_a_label_that_could_not_be_saved_is_said_to_be_lost(demo: Site, page: Page, tmp_path: Path) -> None:
    with seen(page, tmp_path):
        page.goto(address(demo, "gallery"))
        pictures = page.get_by_role("listbox", name="Pictures").get_by_role("option")
        pictures.first.click()
        page.route(re.compile("/labels$"), lambda route: route.abort())
        page.keyboard.press("1")
        expect(page.get_by_text("Not saved: Likeness does not answer.")).to_be_visible()

        page.unroute(re.compile("/labels$"))
        page.keyboard.press("1")
        expect(page.get_by_text("✓ All saved")).to_be_visible()
