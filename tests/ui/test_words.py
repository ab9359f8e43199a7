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


# What is wrong stands only in the API's own sentence, or nobody at the page meets it, or its subclasses say it.
NEEDS_ITS_DETAIL = {"BadInput", "Cancelled", "NewerCatalog", "NoSuch", "TrainingFailed"}


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

    own = {key: text for key, text in table.items() if not key.startswith(("problem.", "progress."))}
    assert set(own) == set(first)
    assert {key: places(text) for key, text in own.items()} == {key: places(text) for key, text in first.items()}


@pytest.mark.parametrize("language", set(words.NAMES) - {words.FIRST})
def test_every_error_that_a_person_may_meet_is_said_in_each_language(language):
    named = {key.removeprefix("problem.") for key in words.tables()[language] if key.startswith("problem.")}
    program = "\n".join(
        file.read_text("utf-8")
        for package in ("app", "indexer", "model")
        for file in (UI.parent / package).rglob("*.py")
    )

    assert NEEDS_ITS_DETAIL.isdisjoint(named)
    assert {name for name in named if not re.search(rf'class {name}\(|"{name}"', program)} == set(), "no such error"
    errors = set(re.findall(r"^class (\w+)\((?:LikenessError|NoSuch|BadInput)\)", program, re.MULTILINE))
    assert errors - NEEDS_ITS_DETAIL - named == set(), "an error without a sentence"


def lines() -> dict[str, str]:
    """Every name of a `Line` that work reports, or what it begins with, and the module that says it."""
    found = {}
    for package in ("app", "indexer", "model"):
        for file in (UI.parent / package).rglob("*.py"):
            source = file.read_text("utf-8")
            found |= dict.fromkeys(re.findall(r"""Line\(\s*f?"(\w+)(?:\{[^"]*)?",""", source), source)
    return found


@pytest.mark.parametrize("language", set(words.NAMES) - {words.FIRST})
def test_how_far_work_is_can_be_said_in_each_language_with_the_values_that_come_with_it(language):
    said = words.tables()[language].items()
    table = {key.removeprefix("progress."): text for key, text in said if key.startswith("progress.")}
    asked = lines()

    assert {name for name in asked if not any(key.startswith(name) for key in table)} == set(), "not said"
    for key, text in table.items():
        source = next((asked[name] for name in sorted(asked, reverse=True) if key.startswith(name)), None)
        assert source is not None, f"nobody reports {key}"
        assert {name for name in places(text) if not re.search(rf"""\b{name}=|"{name}\"""", source)} == set(), key


def test_a_number_chooses_the_plural_and_is_grouped():
    assert words.in_language("en", "common.pictures", n=1) == "1 picture"
    assert words.in_language("en", "common.pictures", n=12345) == "12,345 pictures"
    assert words.in_language("zh", "common.pictures", n=1) == "1 张图片"


def test_the_tables_are_files_that_a_translator_can_edit():
    for file in (UI / "languages").glob("*/*.json"):
        assert json.loads(file.read_text("utf-8")), file
