"""What the page says is in one place, and every language says all of it."""

import json
import re
from pathlib import Path

import pytest

from ui import words

UI = Path(words.__file__).parent
SOURCES = sorted([*UI.glob("*.py"), *(UI / "grid").glob("*.js")])
# say("page.key"), also where the key is chosen by a condition; `page.${…}` and f"page.{…}" name a family of keys.
KEY = re.compile(r"""["'`]([a-z]+\.[a-z_]+[\w-]*)["'`]""")
FAMILY = re.compile(r"""["'`]([a-z]+\.[a-z_]*)(?:\$?\{)""")


def said() -> set[str]:
    """Every "file.key" that the page may ask for."""
    pages = {key.partition(".")[0] for key in words.tables()[words.FIRST]}
    asked = set()
    for source in SOURCES:
        text = re.sub(r'el\(\s*"[^"]*"', "", source.read_text("utf-8"))  # "label.row" is an element there
        asked |= {key for key in KEY.findall(text) if key.partition(".")[0] in pages and not key.endswith(".py")}
        for family in FAMILY.findall(text):
            asked |= {key for key in words.tables()[words.FIRST] if key.startswith(family)}
    return asked


def places(text: str | dict[str, str]) -> set[str]:
    """The values that a text has places for."""
    forms = [text] if isinstance(text, str) else list(text.values())
    return {name for form in forms for name in re.findall(r"\{(\w+)\}", form)}


def test_the_page_says_nothing_that_is_not_in_the_tables_and_the_tables_nothing_that_is_not_said():
    table, asked = set(words.tables()[words.FIRST]), said()

    assert asked - table == set(), "asked for, not in ui/languages/en"
    assert table - asked == set(), "in ui/languages/en, never asked for"


@pytest.mark.parametrize("language", words.NAMES)
def test_every_language_says_all_of_it_with_the_same_places(language):
    first, table = words.tables()[words.FIRST], words.tables()[language]

    assert set(table) == set(first)
    assert {key: places(text) for key, text in table.items()} == {key: places(text) for key, text in first.items()}


def test_a_number_chooses_the_plural_and_is_grouped():
    assert words.in_language("en", "common.pictures", n=1) == "1 picture"
    assert words.in_language("en", "common.pictures", n=12345) == "12,345 pictures"
    assert words.in_language("zh", "common.pictures", n=1) == "1 张图片"


def test_the_tables_are_files_that_a_translator_can_edit():
    for file in (UI / "languages").glob("*/*.json"):
        assert json.loads(file.read_text("utf-8")), file
