"""An index follows its collection: newcomers at once, those that left at once, a new build when many did either."""

import numpy as np
import pytest

import indexer.refresh as refreshing
from indexer.errors import NoIndex
from indexer.images import contents_of, gone_ids
from indexer.index import open_index
from indexer.published import CURRENT, GRAPH, files_of, read_published
from indexer.refresh import refresh_index
from indexer.removal import remove
from model.errors import Cancelled
from tests.faults.corrupt import damage

TINY = 1e-9  # ms: no collection is small enough for one file


@pytest.fixture
def refresh(engine, home, photos, encoder):
    return lambda budget_ms=TINY: refresh_index(engine, home, photos, encoder, budget_ms=budget_ms)


@pytest.fixture
def place(home, photos, encoder):
    return home.index(photos.id, encoder.info.fingerprint)


def newcomers(folder, count):
    """`count` more pictures, unlike each other."""
    from PIL import Image

    (folder / "new").mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "new" / f"{number}.png")
    return folder / "new"


def test_ten_new_pictures_are_appended_and_everything_older_is_left_alone(bring, folder, refresh, place, encoder):
    bring(folder)
    before = refresh().published
    index, files = open_index(place), files_of(place, before)
    stamps = files["faiss"].stat().st_mtime_ns

    added = [item["id"] for item in bring(newcomers(folder, 10)).added]
    result = refresh()

    grown = open_index(place, index)
    assert (result.embedded.encoded, result.published.tail) == (10, 10)
    assert grown.ids.tolist() == [*index.ids.tolist(), *added]
    assert files["faiss"].stat().st_mtime_ns == stamps
    for image_id, vector in zip(added, grown.vectors[-10:], strict=True):
        assert grown.search(vector, 1)[0].tolist() == [image_id]


def test_a_tail_that_has_grown_is_folded_into_a_new_index(bring, folder, refresh, place, monkeypatch):
    bring(folder)
    refresh()
    monkeypatch.setattr(refreshing, "FOLD_AT", 9)

    bring(newcomers(folder, 10))
    published = refresh().published

    assert published.tail == 0
    assert published.count == len(open_index(place).ids) == 16


def test_an_index_from_which_many_have_gone_is_built_anew_without_them(
    bring, folder, refresh, place, engine, home, photos
):
    bring(folder)
    refresh()
    gone = [row[0] for row in contents_of(engine, photos)][:3]

    remove(engine, home, photos, gone)
    refresh()

    assert gone_ids(engine, photos).tolist() == gone
    assert not np.isin(gone, open_index(place).ids).any()


def test_a_picture_whose_preview_was_unreadable_joins_later_in_its_place(
    bring, folder, refresh, place, engine, home, photos
):
    bring(folder)
    image_id, sha256, suffix = contents_of(engine, photos)[0]
    preview = home.preview(sha256, suffix)
    data = preview.read_bytes()
    preview.unlink()
    first = refresh()
    again = refresh()

    preview.write_bytes(data)
    last = refresh()

    assert first.embedded.unreadable == again.embedded.unreadable == [sha256]
    assert again.published == first.published  # nothing was built for nothing
    assert (last.embedded.encoded, last.published.tail) == (1, 0)
    assert open_index(place).ids[0] == image_id
    assert np.all(np.diff(open_index(place).ids) > 0)


@pytest.mark.parametrize("which", ["faiss", "matrix", "ids"])
def test_a_damaged_index_is_repaired_by_asking_for_it_again(bring, folder, refresh, place, which):
    bring(folder)
    refresh()
    expected = open_index(place).vectors.copy()
    damage(files_of(place, read_published(place))[which], "flipped byte")

    refresh()

    assert np.array_equal(open_index(place).vectors, expected)


def test_a_collection_that_became_small_enough_gets_the_exact_index_again(bring, folder, refresh, place):
    bring(folder)
    assert refresh().published.kind == "graph"

    assert refresh(budget_ms=1.0).published.kind == "exact float32"

    assert sorted(path.suffix for path in place.iterdir()) == [".faiss", ".json"]


def test_asking_which_images_are_gone_does_not_look_at_those_that_stayed(engine, photos):
    with engine.connect() as connection:
        from sqlalchemy import text

        condition = "collection_id = 1 AND (removed_at IS NOT NULL OR absent_at IS NOT NULL)"
        plan = connection.execute(text(f"EXPLAIN QUERY PLAN SELECT id FROM images WHERE {condition}")).all()

    assert "images_gone" in str(plan)


def test_a_new_index_can_be_stopped_while_it_is_built_and_the_old_one_stays(
    bring, folder, refresh, place, engine, home, photos, encoder, monkeypatch
):
    bring(folder)
    before = refresh().published
    bring(newcomers(folder, 10))
    refresh()
    monkeypatch.setattr(refreshing, "FOLD_AT", 9)
    live = read_published(place)
    said: list[str] = []

    with pytest.raises(Cancelled, match="Stopped before the new index was whole"):
        refresh_index(
            engine,
            home,
            photos,
            encoder,
            budget_ms=TINY,
            progress=lambda share, message: said.append(message),
            stop=lambda: any(message.startswith("linking") for message in said),
        )

    assert read_published(place) == live != before
    assert len(open_index(place).ids) == 16
    assert refresh().published.tail == 0


def test_an_index_of_a_kind_that_is_no_more_is_made_again(bring, folder, refresh, place):
    bring(folder)
    refresh()
    current = place / CURRENT
    current.write_text(current.read_text().replace(GRAPH, "inverted lists float16"))

    with pytest.raises(NoIndex, match="made by another version of Likeness: run `likeness index`"):
        read_published(place)
    assert refresh().published.kind == GRAPH
