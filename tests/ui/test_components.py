"""What the parts written in JavaScript share, in an empty window: called by Streamlit, answered, drawn anew."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from ui import words
from ui.components import BASE, HERE

SHARED = "\n".join((HERE / f"{script}.js").read_text("utf-8") for script in BASE)


@pytest.fixture
def blank(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    tables = json.dumps(words.tables(), ensure_ascii=False)
    page.add_script_tag(content=f"const WORDS = {tables};\n{SHARED}")
    yield page
    page.close()


def test_two_changes_of_data_at_once_leave_a_part_as_it_is_and_it_ends_with_its_page(blank: Page) -> None:
    happened = blank.evaluate("""async () => {
        const happened = [];
        class Part {
          constructor() { happened.push("made"); }
          update({ at }) { happened.push(at); }
          destroy() { happened.push("ended"); }
        }
        const parentElement = document.body.appendChild(document.createElement("div"));
        const call = (at) => mount({ parentElement, data: { at, language: "en" }, setTriggerValue() {} }, Part);
        call("first")();
        call("second"); // Streamlit had cleaned up after the first before
        await sleep(2 * TAKEN_OVER);
        const end = call("third");
        parentElement.remove();
        end();
        return happened;
    }""")

    assert happened == ["made", "first", "second", "third", "ended"]


def test_a_part_that_nobody_calls_again_ends(blank: Page) -> None:
    assert blank.evaluate("""async () => {
        let ended = 0;
        class Part { update() {} destroy() { ended += 1; } }
        const parentElement = document.body.appendChild(document.createElement("div"));
        mount({ parentElement, data: { language: "en" }, setTriggerValue() {} }, Part)();
        await sleep(2 * TAKEN_OVER);
        return [ended, parentElement.children.length];
    }""") == [1, 0]


def test_an_answer_that_is_torn_off_is_an_error_and_one_without_words_is_none(blank: Page) -> None:
    assert blank.evaluate("""async () => {
        speak("en");
        const said = (response) => answerOf(response).catch((error) => [error.constructor.name, error.message]);
        const leaving = new AbortController();
        const left = await fetch(URL.createObjectURL(new Blob([" ".repeat(1 << 26)])), { signal: leaving.signal });
        leaving.abort();
        return [
          await said(new Response('{"items": [1]}')),
          await said(new Response('{"items": [1')),
          await said(new Response(null, { status: 204 })),
          await said(new Response("<h1>Bad gateway</h1>", { status: 502 })),
          (await said(left))[0],
        ];
    }""") == [
        {"items": [1]},
        ["Sentence", "Likeness does not answer. Is it still running?"],
        None,
        None,
        "DOMException",
    ]


def test_a_list_that_is_drawn_anew_keeps_the_focus_at_its_place(blank: Page) -> None:
    assert blank.evaluate("""() => {
        const line = (text) => el("li", {}, el("button", {}, text));
        const list = document.body.appendChild(el("ul", {}, line("one"), line("two")));
        drawAnew(list, [line("three"), line("four")]);
        const before = document.activeElement === document.body;
        list.children[1].firstChild.focus();
        drawAnew(list, [line("five"), line("six")]);
        return [before, document.activeElement.textContent];
    }""") == [True, "six"]
