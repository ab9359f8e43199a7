"""What happens to images, labels and vectors when files are renamed, changed, tagged, copied or removed."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select

from indexer.catalog import count_images, create_collection
from indexer.columns import select_ids
from indexer.embed import embed_missing
from indexer.filters import Filter
from indexer.images import find_by_path, get_images, read_original, read_preview
from indexer.importer import import_sources
from indexer.labels import current_labels, label
from indexer.removal import remove
from indexer.schema import contents
from indexer.sources import scan_upload
from indexer.vectors import VectorStore
from model.errors import LikenessError
from model.images import PREVIEW_SIDE, decode, png_of, preview_of
from tests.indexer.helpers import tree
from tests.pictures import encoded, jpeg, picture


@pytest.fixture
def one(bring, tmp_path, engine, photos) -> tuple[Path, int]:
    """A folder with one labelled picture: its path and its image's id."""
    path = tmp_path / "in" / "cat.jpg"
    path.parent.mkdir()
    path.write_bytes(jpeg("cat"))
    image_id = bring(path.parent).added[0]["id"]
    label(engine, photos, [image_id], "cat", "yes", "hand")
    return path, image_id


@pytest.fixture
def shown(engine, photos) -> Callable[[], list[int]]:
    return lambda: select_ids(engine, photos, Filter()).tolist()


@pytest.fixture
def classes(engine, photos) -> Callable[[], dict[int, str]]:
    return lambda: {item.image_id: item.class_name for item in current_labels(engine, photos)}


@pytest.mark.promise(13)
@pytest.mark.parametrize("to", ["tabby.jpg", "deep/er/cat.jpg"], ids=["renamed", "moved"])
def test_a_file_with_a_new_path_keeps_image_label_and_vector(
    engine, home, photos, bring, one, shown, classes, encoder, to
):
    path, image_id = one
    embed_missing(engine, home, photos, encoder)
    (path.parent / to).parent.mkdir(parents=True, exist_ok=True)
    path.rename(path.parent / to)

    result = bring(path.parent)

    assert (result.added_total, result.known) == (0, 1)
    assert shown() == [image_id]
    assert classes() == {image_id: "cat"}
    assert embed_missing(engine, home, photos, encoder).encoded == 0
    assert find_by_path(engine, photos, [str(path.parent / to)]) == {str(path.parent / to): image_id}


def test_a_moved_file_is_listed_where_it_is_now(engine, photos, bring, one):
    path, image_id = one
    (path.parent / "pets").mkdir()
    path.rename(path.parent / "pets" / "tabby.jpg")

    bring(path.parent)

    [image] = get_images(engine, [image_id])
    assert (image.folder, image.name) == ("in/pets", "tabby.jpg")


def test_a_copied_file_is_listed_where_it_was(engine, bring, one):
    path, image_id = one
    (path.parent / "zz copy.jpg").write_bytes(path.read_bytes())

    bring(path.parent)

    [image] = get_images(engine, [image_id])
    assert image.name == "cat.jpg"


@pytest.mark.promise(14)
def test_changed_content_is_a_new_image_and_the_old_one_leaves_the_lists(bring, one, shown, classes):
    path, old = one
    path.write_bytes(jpeg("coffee"))

    result = bring(path.parent)

    assert result.added_total == 1
    assert shown() == [result.added[0]["id"]] != [old]
    assert classes() == {}


def test_content_that_returns_brings_its_image_and_its_label_back(bring, one, shown, classes):
    path, old = one
    path.write_bytes(jpeg("coffee"))
    bring(path.parent)
    path.write_bytes(jpeg("cat"))

    bring(path.parent)

    assert shown() == [old]
    assert classes() == {old: "cat"}


def test_an_image_returns_with_a_copy_of_its_file_that_was_gone(bring, one, shown, classes):
    path, image_id = one
    copy, away = path.parent / "copy.jpg", path.parent.parent / "away.jpg"
    copy.write_bytes(path.read_bytes())
    bring(path.parent)
    copy.rename(away)
    path.write_bytes(jpeg("coffee"))
    bring(path.parent)
    without = shown()
    away.rename(copy)

    result = bring(path.parent)

    assert image_id not in without
    assert (result.added_total, result.back) == (0, 1)
    assert shown() == [image_id, *without]
    assert classes() == {image_id: "cat"}


def test_changed_content_leaves_the_image_to_a_copy_that_is_still_there(bring, one, shown):
    path, old = one
    (path.parent / "copy.jpg").write_bytes(path.read_bytes())
    bring(path.parent)
    path.write_bytes(jpeg("coffee"))

    result = bring(path.parent)

    assert shown() == [old, result.added[0]["id"]]


def test_a_renamed_and_then_changed_file_does_not_leave_a_ghost(bring, one, shown):
    path, _ = one
    path.rename(path.parent / "new.jpg")
    bring(path.parent)
    (path.parent / "new.jpg").write_bytes(jpeg("coffee"))

    result = bring(path.parent)

    assert shown() == [result.added[0]["id"]]


def test_two_files_that_swap_names_keep_both_images(bring, one, shown, classes):
    path, cat = one
    other = path.parent / "coffee.jpg"
    other.write_bytes(jpeg("coffee"))
    coffee = bring(path.parent).added[0]["id"]
    path.rename(path.parent / "t")
    other.rename(path)
    (path.parent / "t").rename(other)

    result = bring(path.parent)

    assert (result.added_total, shown(), classes()) == (0, [cat, coffee], {cat: "cat"})


def test_a_file_overwritten_with_garbage_is_refused_and_its_image_returns_with_its_bytes(bring, one, shown, classes):
    path, image_id = one
    path.write_bytes(b"half a pict")
    broken = bring(path.parent)
    while_broken = shown()
    path.write_bytes(jpeg("cat"))

    bring(path.parent)

    assert len(broken.refused) == 1
    assert while_broken == []
    assert (shown(), classes()) == ([image_id], {image_id: "cat"})


def test_a_file_that_is_gone_from_the_folder_stays_in_the_collection(bring, one, shown, classes):
    path, image_id = one
    (path.parent / "coffee.jpg").write_bytes(jpeg("coffee"))
    path.unlink()

    result = bring(path.parent)

    assert (result.added_total, result.missing) == (1, 1)
    assert (shown(), classes()) == ([image_id, result.added[0]["id"]], {image_id: "cat"})


@pytest.mark.promise(14)
@pytest.mark.parametrize("side", [160, 500], ids=["small", "large"])
def test_a_tag_written_into_the_file_keeps_image_label_and_vector(engine, home, photos, bring, tmp_path, encoder, side):
    original, exif = picture("cat", side), Image.Exif()
    exif[0x4746] = 5  # Rating
    path = tmp_path / "in" / "cat.jpg"
    path.parent.mkdir()
    path.write_bytes(encoded(original, "JPEG", quality=90))
    image_id = bring(path.parent).added[0]["id"]
    label(engine, photos, [image_id], "cat", "yes", "hand")
    embed_missing(engine, home, photos, encoder)
    previews = tree(home.root / "previews")

    for tagged in ({"exif": exif}, {"exif": exif, "comment": b"my favourite"}):
        path.write_bytes(encoded(original, "JPEG", quality=90, **tagged))
        result = bring(path.parent)
        assert (result.added_total, result.known) == (0, 1)

    assert [item.image_id for item in current_labels(engine, photos)] == [image_id]
    assert embed_missing(engine, home, photos, encoder).encoded == 0
    assert tree(home.root / "previews") == previews
    [image] = get_images(engine, [image_id])
    assert read_original(engine, home, image) == path.read_bytes()


@pytest.mark.promise(13, 14)
@pytest.mark.parametrize("side", [160, 500], ids=["small", "large"])
@pytest.mark.parametrize("between", ["nothing", "an import"])
@pytest.mark.parametrize("to", ["in/tabby.jpg", "pets/cat.jpg"], ids=["renamed", "moved out of the folder"])
def test_a_file_that_got_a_tag_and_another_path_keeps_image_label_and_vector(
    engine, home, photos, bring, tmp_path, encoder, shown, classes, side, between, to
):
    original, exif = picture("cat", side), Image.Exif()
    exif[0x0110] = "A camera"
    path, now = tmp_path / "in" / "cat.jpg", tmp_path / to
    for each in (path, now):
        each.parent.mkdir(exist_ok=True)
    path.write_bytes(encoded(original, "JPEG", quality=90))
    image_id = bring(path.parent).added[0]["id"]
    label(engine, photos, [image_id], "cat", "yes", "hand")
    embed_missing(engine, home, photos, encoder)
    previews = tree(home.root / "previews")
    path.write_bytes(encoded(original, "JPEG", quality=90, exif=exif))
    if between == "an import":
        bring(path.parent)
    path.rename(now)

    result = bring(now.parent)

    assert (result.added_total, result.known, result.moved) == (0, 1, 1)
    assert (shown(), classes()) == ([image_id], {image_id: "cat"})
    assert embed_missing(engine, home, photos, encoder).encoded == 0
    assert tree(home.root / "previews") == previews
    [image] = get_images(engine, [image_id])
    assert (image.folder, image.name, image.camera, image.missing) == (now.parent.name, now.name, "A camera", False)
    assert read_original(engine, home, image) == now.read_bytes()
    assert bring(now.parent).known == 1


def test_a_copy_with_a_tag_beside_its_file_is_an_image_of_its_own(bring, one, shown, classes):
    path, image_id = one
    tagged = encoded(picture("cat", 160), "JPEG", quality=90, comment=b"five stars")
    (path.parent / "copy.jpg").write_bytes(tagged)

    result = bring(path.parent / "copy.jpg")

    assert result.added_total == 1
    assert (shown(), classes()) == ([image_id, result.added[0]["id"]], {image_id: "cat"})


def test_an_empty_page_of_another_size_is_not_the_one_that_is_gone(bring, tmp_path, shown):
    path = tmp_path / "in" / "page.png"
    path.parent.mkdir()
    path.write_bytes(encoded(Image.new("RGB", (800, 800), "white"), "PNG"))
    bring(path.parent)
    path.unlink()
    (path.parent / "other.png").write_bytes(encoded(Image.new("RGB", (1600, 1600), "white"), "PNG"))

    result = bring(path.parent)

    assert (result.added_total, len(shown())) == (1, 2)


def test_a_removed_image_whose_file_got_a_tag_and_another_path_stays_removed(engine, home, photos, bring, one, shown):
    path, image_id = one
    remove(engine, home, photos, [image_id])
    path.write_bytes(encoded(picture("cat", 160), "JPEG", quality=90, comment=b"five stars"))
    path.rename(path.parent / "tabby.jpg")

    result = bring(path.parent)

    assert (result.added_total, result.known, result.removed, shown()) == (0, 0, 1, [])
    assert not [path for path in (home.root / "previews").rglob("*") if path.is_file()]


def test_an_upload_of_the_same_pixels_is_kept_though_the_file_of_the_image_is_gone(
    engine, home, photos, bring, one, tmp_path
):
    path, _ = one
    tagged = encoded(picture("cat", 160), "JPEG", quality=90, comment=b"five stars")
    (tmp_path / "0").write_bytes(tagged)
    (tmp_path / "names.json").write_text('{"0": "cat.jpg"}')
    path.unlink()

    result = import_sources(engine, home, photos, scan_upload(tmp_path), workers=1)

    [image] = get_images(engine, [result.added[0]["id"]])
    assert read_original(engine, home, image) == tagged


@pytest.mark.parametrize("side", [160, 500], ids=["small", "large"])
def test_date_camera_and_place_are_those_of_the_file_that_is_there_now(engine, home, photos, bring, tmp_path, side):
    path = tmp_path / "in" / "cat.jpg"
    path.parent.mkdir()

    def written(year: int | None, where: float = 47.5) -> bytes:
        exif = Image.Exif()
        if year:
            exif[0x0132], exif[0x0110] = f"{year}:05:01 10:00:00", f"Camera {year}"
            exif.get_ifd(0x8825).update({1: "N", 2: (where, 0.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0)})
        path.write_bytes(encoded(picture("cat", side), "JPEG", quality=90, exif=exif))
        return path.read_bytes()

    written(None)
    image_id = bring(path.parent).added[0]["id"]
    label(engine, photos, [image_id], "cat", "yes", "hand")
    for year in (2019, 2021, None, 2021):  # without a tag again these are the bytes that came in first
        data = written(year)
        result = bring(path.parent)
        [image] = get_images(engine, [image_id])
        if year is None:
            assert (image.taken_at, image.camera, image.latitude, image.longitude) == (None, None, None, None)
        else:
            assert (image.taken_at, image.camera) == (f"{year}-05-01T10:00:00", f"Camera {year}")
            assert (image.latitude, image.longitude) == (47.5, 8.0)
            found = select_ids(engine, photos, Filter(taken_from=f"{year}-01-01", taken_to=f"{year}-12-31"))
            assert found.tolist() == [image_id]
        assert (result.added_total, result.known) == (0, 1)
        assert read_original(engine, home, image) == data
    assert [item.image_id for item in current_labels(engine, photos)] == [image_id]


def test_a_removed_image_stays_removed_however_its_file_comes_again(engine, home, photos, bring, one, shown, tmp_path):
    path, image_id = one
    before = path.read_bytes()
    batch = tmp_path / "batch"
    batch.mkdir()
    (batch / "0").write_bytes(before)
    (batch / "names.json").write_text('{"0": "cat.jpg"}')
    remove(engine, home, photos, [image_id])

    scanned = bring(path.parent)
    path.rename(path.parent / "renamed.jpg")
    renamed = bring(path.parent)
    uploaded = import_sources(engine, home, photos, scan_upload(batch), workers=1)

    for result in (scanned, renamed, uploaded):
        assert (result.added_total, result.known, result.removed) == (0, 0, 1)
    assert shown() == []
    assert (path.parent / "renamed.jpg").read_bytes() == before
    for kept in ("previews", "originals"):
        assert not [path for path in (home.root / kept).rglob("*") if path.is_file()]


def test_a_tag_written_into_the_file_of_a_removed_image_does_not_bring_it_back(engine, home, photos, bring, one, shown):
    path, image_id = one
    remove(engine, home, photos, [image_id])
    path.write_bytes(encoded(picture("cat", 160), "JPEG", quality=90, comment=b"tag"))

    result = bring(path.parent)

    assert (result.added_total, result.known, result.removed) == (0, 0, 1)
    assert shown() == []


def test_removing_drops_preview_and_vector_only_when_no_other_collection_holds_the_content(
    engine, home, photos, bring, one, encoder
):
    path, image_id = one
    other = create_collection(engine, "other")
    other_id = bring(path.parent, into=other).added[0]["id"]
    embed_missing(engine, home, photos, encoder)
    store = VectorStore(home.vectors(encoder.info.fingerprint), encoder.info.dim)
    [image] = get_images(engine, [image_id])
    preview = home.preview(image.sha256, image.preview_suffix)

    remove(engine, home, photos, [image_id])
    after_one = (preview.exists(), store.missing([image.sha256]))
    remove(engine, home, other, [other_id])

    assert after_one == (True, [])
    assert (preview.exists(), store.missing([image.sha256])) == (False, [image.sha256])
    assert path.exists()


def test_removing_drops_a_stored_upload_and_its_rendition(engine, home, photos, tmp_path):
    (tmp_path / "0").write_bytes(jpeg())
    (tmp_path / "names.json").write_text('{"0": "cat.jpg"}')
    image_id = import_sources(engine, home, photos, scan_upload(tmp_path), workers=1).added[0]["id"]
    [image] = get_images(engine, [image_id])
    home.rendition(image.sha256).parent.mkdir(parents=True)
    home.rendition(image.sha256).write_bytes(b"jpeg")
    assert home.original(image.sha256).exists()

    remove(engine, home, photos, [image_id])

    assert not home.original(image.sha256).exists()
    assert not home.rendition(image.sha256).exists()
    with pytest.raises(LikenessError):
        read_original(engine, home, image)


def test_an_image_taken_out_of_one_collection_can_be_imported_into_another(engine, home, photos, bring, one):
    path, image_id = one
    remove(engine, home, photos, [image_id])
    other = create_collection(engine, "other")

    result = bring(path.parent, into=other)

    [image] = get_images(engine, [result.added[0]["id"]])
    assert home.preview(image.sha256, image.preview_suffix).exists()
    assert count_images(engine, photos) == 0


def test_a_new_time_of_change_alone_changes_nothing(bring, one, shown):
    path, image_id = one
    os.utime(path, (1_000_000_000, 1_000_000_000))

    result = bring(path.parent)

    assert (result.added_total, result.known, shown()) == (0, 1, [image_id])


def test_a_tag_in_a_jpeg_whose_preview_an_earlier_version_kept_as_png_changes_nothing(
    engine, home, bring, one, shown, classes
):
    path, image_id = one
    with engine.begin() as connection:
        sha256 = connection.execute(select(contents.c.sha256)).scalar_one()
        kept = png_of(decode(home.preview(sha256, "jpg").read_bytes(), "cat"))
        home.preview(sha256, "jpg").unlink()
        home.preview(sha256, "png").write_bytes(kept)
        earlier = {"preview_suffix": "png", "preview_sha256": hashlib.sha256(kept).hexdigest()}
        connection.execute(contents.update().values(**earlier))
    path.write_bytes(encoded(picture("cat", 160), quality=90, comment=b"five stars"))

    result = bring(path.parent)

    assert (result.added_total, result.known) == (0, 1)
    assert (shown(), classes()) == ([image_id], {image_id: "cat"})


def test_a_tag_in_a_jpeg_whose_preview_an_earlier_version_made_smaller_changes_nothing(
    engine, home, bring, tmp_path, photos, shown, classes
):
    path = tmp_path / "in" / "cat.jpg"
    path.parent.mkdir()
    path.write_bytes(encoded(picture("cat", 400), quality=85))
    image_id = bring(path.parent).added[0]["id"]
    label(engine, photos, [image_id], "cat", "yes", "hand")
    pixels = decode(path.read_bytes(), "cat")
    kept = preview_of(pixels, "cat", PREVIEW_SIDE, pixels.size, ("JPEG", None, None, None)).data
    with engine.begin() as connection:
        sha256 = connection.execute(select(contents.c.sha256)).scalar_one()
        home.preview(sha256, "jpg").write_bytes(kept)
        connection.execute(contents.update().values(preview_sha256=hashlib.sha256(kept).hexdigest()))
    path.write_bytes(encoded(picture("cat", 400), quality=85, comment=b"five stars"))

    result = bring(path.parent)

    assert (result.added_total, result.known) == (0, 1)
    assert (shown(), classes()) == ([image_id], {image_id: "cat"})


def test_a_preview_that_an_earlier_version_kept_as_png_and_that_is_gone_is_made_again(
    engine, home, photos, bring, one, shown
):
    path, image_id = one
    with engine.begin() as connection:
        sha256 = connection.execute(select(contents.c.sha256)).scalar_one()
        connection.execute(contents.update().values(preview_suffix="png", preview_sha256="0" * 64))
    home.preview(sha256, "jpg").rename(home.root / "gone")

    for _ in range(2):
        bring(path.parent)

    [image] = get_images(engine, shown())
    assert image.id == image_id
    assert decode(read_preview(home, image), "cat").size == decode(path.read_bytes(), "cat").size
