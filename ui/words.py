"""What the page says, in the person's language: tables in `ui/languages/<language>/<page>.json`, one place for all.

A text is named by its file and key, `say("arrive.import")`. `{name}` in it is a value to fill in; a text that depends
on a number is an object with the forms of that language's plural ("one", "other"), chosen by the value `n`. The
JavaScript of the page reads the same tables (`ui/grid/words.js`). Another language is another folder of the same files;
what it does not say yet is said in English. `problem.json` says what the API's errors mean, by their names, and English
has none: the API's own sentences are English, and say more. So it is with `progress.json`, which says how far jobs are,
and what else the API says in sentences: each key is the name of a `Line` (`model/progress.py`), and the `said` beside
the sentence brings its values.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

HERE = Path(__file__).parent / "languages"
COOKIE = "likeness_language"  # set in the sidebar; without it the browser's own language decides
FIRST = "en"
NAMES = {"en": "English", "zh": "中文"}


@cache
def tables() -> dict[str, dict[str, Any]]:
    """Language → "file.key" → text."""
    return {
        folder.name: {
            f"{file.stem}.{key}": text
            for file in sorted(folder.glob("*.json"))
            for key, text in json.loads(file.read_text("utf-8")).items()
        }
        for folder in sorted(HERE.iterdir())
        if folder.is_dir()
    }


def language() -> str:
    """The language of this session: the one that was chosen, else the browser's, else English."""
    for wanted in (st.context.cookies.get(COOKIE), st.context.locale):
        spoken = (wanted or "").partition("-")[0].lower()
        if spoken in tables():
            return spoken
    return FIRST


def say(key: str, **values: object) -> str:
    """The text `key` in the session's language, with its values filled in."""
    return in_language(language(), key, **values)


def problem(error: str, detail: str, said: dict[str, Any] | None = None) -> str:
    """What the session's language says of an error of the API: of this very one, or by its name; else the English."""
    own = _line(language(), said) if said else None
    return own or tables()[language()].get(f"problem.{error}", detail)


def said_so(english: str, said: dict[str, Any]) -> str:
    """What the API says, by its name and values where the session's language has that sentence; else its English."""
    return _line(language(), said) or english


def _line(spoken: str, said: dict[str, Any]) -> str | None:
    key = f"progress.{said['name']}"
    values = {name: _line(spoken, v) if isinstance(v, dict) else v for name, v in said["values"].items()}
    return None if key not in tables()[spoken] or None in values.values() else in_language(spoken, key, **values)


def in_language(spoken: str, key: str, **values: object) -> str:
    """The same in a language by its name."""
    text = tables()[spoken].get(key, tables()[FIRST].get(key, key))
    if isinstance(text, dict):
        text = text.get("one", text["other"]) if values.get("n") == 1 else text["other"]
    shown = {name: f"{value:,}" if isinstance(value, int) else value for name, value in values.items()}
    return text.format(**shown)
