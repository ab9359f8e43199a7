"""What filters ask of is held in memory and brought up to date: always what reading it all anew would give."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from indexer import columns
from indexer.catalog import collection_named, create_collection
from indexer.columns import read_columns, select_ids
from indexer.filters import Filter
from indexer.labelbook import LabelBook
from indexer.removal import remove
from tests.pictures import encoded, jpeg, picture


def told(found: columns.Columns) -> list[tuple]:
    """Each image that is here as a filter sees it."""
    names = found.names.decode().split("\0")
    rows = np.flatnonzero(found.here).tolist()
    return [(int(found.ids[r]), found.folders[found.folder[r]], names[r], found.cameras[found.camera[r]],
             found.added[r], found.taken[r], int(found.width[r]), int(found.height[r]),
             str(found.latitude[r]), str(found.longitude[r])) for r in rows]  # fmt: skip


@pytest.fixture
def trip(tmp_path):
    """Five pictures in two folders; names are in no order."""
    folder = tmp_path / "trip"
    for number, name in enumerate(("coffee", "cat", "rocket", "moon", "grass")):
        path = folder / f"day {number % 2}" / f"{name.upper()}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(name).resize((100 + number, 90))))
    return folder


def moved(trip):
    (trip / "later").mkdir()
    (trip / "day 1" / "CAT.jpg").rename(trip / "later" / "tabby.jpg")
    (trip / "day 0" / "COFFEE.jpg").rename(trip / "day 0" / "a much longer name.jpg")


def came(trip):
    (trip / "day 2").mkdir()
    (trip / "day 2" / "temple.jpg").write_bytes(jpeg("temple"))


def replaced(trip):
    (trip / "day 1" / "CAT.jpg").write_bytes(jpeg("brick"))


def tagged(trip):
    """The same pixels; now the file says when and where, and by what they were taken."""
    exif = Image.Exif()
    exif[0x0132], exif[0x0110] = "2024:05:01 10:00:00", "a camera with a long name"
    exif.get_ifd(0x8825).update({1: "N", 2: (47.5, 0.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0)})
    path = trip / "day 1" / "CAT.jpg"
    path.write_bytes(path.read_bytes()[:2] + app1(exif.tobytes()) + path.read_bytes()[2:])


def app1(data: bytes) -> bytes:
    return b"\xff\xe1" + (len(data) + 2).to_bytes(2) + data


def all_of_it(trip):
    tagged(trip)
    moved(trip)
    came(trip)
    (trip / "day 0" / "ROCKET.jpg").write_bytes(jpeg("gravel"))


@pytest.mark.parametrize("change", [moved, came, replaced, tagged, all_of_it], ids=lambda change: change.__name__)
def test_columns_that_were_held_follow_what_an_import_changed(engine, home, photos, bring, trip, change):
    bring(trip)
    held = read_columns(engine, collection_named(engine, "photos"))
    before = told(held)
    change(trip)
    bring(trip)

    now = read_columns(engine, collection_named(engine, "photos"), held)

    assert told(now) == told(read_columns(engine, collection_named(engine, "photos")))
    assert told(now) != before == told(held)
    assert now.revision > held.revision


def test_columns_that_were_held_know_what_was_removed_and_what_came_back(engine, home, photos, bring, trip, tmp_path):
    shutil.copytree(trip, tmp_path / "copy")
    bring(trip)
    first = read_columns(engine, collection_named(engine, "photos"))
    replaced(trip)
    bring(trip)
    second = read_columns(engine, collection_named(engine, "photos"), first)
    remove(engine, home, photos, [int(second.ids[0])])
    shutil.copy(tmp_path / "copy" / "day 1" / "CAT.jpg", trip / "day 1" / "CAT.jpg")
    bring(trip)

    third = read_columns(engine, collection_named(engine, "photos"), second)

    names = [[row[2] for row in told(each)] for each in (first, second, third)]
    assert ["cat.jpg" in each for each in names] == [True, True, True]
    assert int(second.here.sum()) == int(first.here.sum()) == 5
    assert told(third) == told(read_columns(engine, collection_named(engine, "photos")))
    assert int(second.ids[0]) not in third.ids[third.here]


def test_a_tag_is_known_in_every_collection_that_holds_the_picture(engine, photos, bring, trip):
    other = create_collection(engine, "other")
    bring(trip, into=other)
    held = read_columns(engine, collection_named(engine, "other"))
    bring(trip)
    tagged(trip)
    bring(trip)

    now = read_columns(engine, collection_named(engine, "other"), held)

    assert held.revision < now.revision
    assert told(now) == told(read_columns(engine, collection_named(engine, "other")))
    assert [row[3] for row in told(now)].count("a camera with a long name") == 1


def test_only_what_came_is_read_when_some_came(engine, photos, bring, trip, monkeypatch):
    bring(trip)
    held = read_columns(engine, collection_named(engine, "photos"))
    came(trip)
    bring(trip)
    read: list[int] = []
    pages = columns._pages
    monkeypatch.setattr(columns, "_pages", lambda *given: (read.append(len(p)) or p for p in pages(*given)))

    now = read_columns(engine, collection_named(engine, "photos"), held)

    assert (sum(read), len(now.ids)) == (1, 6)


def test_other_collections_have_columns_of_their_own(engine, photos, bring, trip):
    other = create_collection(engine, "other")
    bring(trip)
    bring(trip / "day 1", into=other)

    assert (len(read_columns(engine, photos).ids), len(read_columns(engine, other).ids)) == (5, 2)


@pytest.mark.parametrize("word", ["édith", "ÉDITH", "Straße", "0\0c", "\ud800"])
def test_words_are_found_whatever_their_letters_are(engine, photos, bring, tmp_path, word):
    (tmp_path / "in").mkdir()
    for name, shows in (("Édith.jpg", "cat"), ("STRAßE 10.jpg", "moon"), ("com.jpg", "grass")):
        (tmp_path / "in" / name).write_bytes(jpeg(shows))
    bring(tmp_path / "in")
    expected = {"é": "édith.jpg", "É": "édith.jpg", "S": "straße 10.jpg"}.get(word[0])

    found = select_ids(engine, photos, Filter(text=word))

    by_id = {row[0]: row[2] for row in told(read_columns(engine, photos))}
    assert [by_id[int(i)] for i in found] == ([] if expected is None else [expected])


def test_a_date_longer_than_any_takes_no_more_memory_than_the_dates(engine, photos, bring, trip):
    bring(trip)
    found = read_columns(engine, photos)
    dated = dataclasses.replace(found, taken=np.array([b"", b"2023-01-01", b"2024-05-31T18:30:00", b"2024", b""]))

    kept = dated.keeps(Filter(taken_to="2024-05-31T18:30:00" + "x" * 10_000), LabelBook(), lambda: None)

    assert kept.tolist() == [False, True, True, True, False]
