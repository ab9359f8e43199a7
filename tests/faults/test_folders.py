"""Promises 1 and 11 to 14: whatever happens to the user's folders, nothing is lost, and nothing in them is touched."""

import os
import shutil

import pytest

from indexer.columns import select_ids
from indexer.embed import embed_missing
from indexer.errors import Busy
from indexer.filters import Filter
from indexer.images import get_images, read_original
from indexer.labels import current_labels, label
from indexer.missing import is_gone
from indexer.removal import remove
from model import images as pictures_of
from model.errors import BadInput
from tests.faults.kill import Child
from tests.indexer.helpers import tree
from tests.pictures import encoded, jpeg, picture


@pytest.fixture
def shown(engine, photos):
    return lambda **wanted: select_ids(engine, photos, Filter(**wanted)).tolist()


@pytest.fixture
def labelled(engine, photos, bring, folder) -> dict[int, str]:
    """The six pictures of `folder`, imported, labelled and encoded: image id → class."""
    given = {item["id"]: ("cat" if number < 2 else "thing") for number, item in enumerate(bring(folder).added)}
    for image_id, name in given.items():
        label(engine, photos, [image_id], name, "yes", "hand")
    return given


@pytest.fixture
def classes(engine, photos):
    return lambda: {item.image_id: item.class_name for item in current_labels(engine, photos)}


@pytest.fixture
def no_decoding(monkeypatch):
    """After this, a file that is decoded is refused: the processes of the pool start with no formats at all."""
    return lambda: monkeypatch.setattr("indexer.digest.digest_bundle", _no_decoder)


def _no_decoder(bundle, home, cutting, preparation):
    pictures_of.FORMATS = ()
    from indexer.digest import digest_file

    return [digest_file(work, home, cutting, preparation) for work in bundle]


@pytest.mark.promise(1)
def test_promise_1_a_users_folder_is_the_same_after_everything_that_import_can_do(
    engine, home, photos, bring, folder, encoder, tmp_path
):
    (folder / "bad.jpg").write_bytes(jpeg()[:200])
    os.utime(folder / "bad.jpg", (1, 1))
    before, times = tree(folder), {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    result = bring(folder, labels_from_folders=True)
    bring(folder)
    bring(tmp_path / "trip" / "cat")
    embed_missing(engine, home, photos, encoder)
    remove(engine, home, photos, [item["id"] for item in result.added[:3]])
    bring(folder)

    assert tree(folder) == before
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times


@pytest.mark.promise(11)
def test_promise_11_two_imports_cannot_interleave_and_labelling_goes_on(engine, home, photos, ids):
    holder = Child("hold", home.root, "import")
    [pid] = holder.wait_for_lines(1)

    with pytest.raises(Busy, match=rf"pid {pid}\) is doing import work"), home.lock(photos.id, "photos", "import"):
        pass
    label(engine, photos, ids[:1], "cat", "yes", "hand")
    holder.kill()

    with home.lock(photos.id, "photos", "import"):
        assert [item.image_id for item in current_labels(engine, photos)] == ids[:1]


@pytest.mark.promise(12)
@pytest.mark.parametrize("how", ["emptied", "gone"])
def test_promise_12_a_lost_mount_changes_nothing_until_it_is_said_to_be_meant(
    engine, home, photos, bring, folder, labelled, shown, classes, encoder, how, tmp_path
):
    embed_missing(engine, home, photos, encoder)
    folder.rename(tmp_path / "unmounted")
    if how == "emptied":
        folder.mkdir()

    with pytest.raises(BadInput, match="--allow-empty"):
        bring(folder)

    assert shown() == sorted(labelled)
    assert shown(missing=True) == []
    assert classes() == labelled


@pytest.mark.promise(12)
def test_promise_12_what_is_meant_to_be_gone_is_marked_and_when_it_is_back_nothing_is_encoded_again(
    engine, home, photos, folder, bring, bring_empty, labelled, shown, classes, encoder, tmp_path, no_decoding
):
    embed_missing(engine, home, photos, encoder)
    folder.rename(tmp_path / "unmounted")
    folder.mkdir()

    gone = bring_empty(folder)
    during = shown(missing=True), shown(), classes()
    again = bring(folder)  # known to be empty: no longer news
    folder.rmdir()
    (tmp_path / "unmounted").rename(folder)
    no_decoding()
    back = bring(folder)

    assert (gone.missing, again.missing) == (6, 6)
    assert during == (sorted(labelled), sorted(labelled), labelled)
    assert (back.known, back.added_total, back.refused, back.missing) == (6, 0, [], 0)
    assert (shown(missing=True), shown(missing=False), classes()) == ([], sorted(labelled), labelled)
    assert embed_missing(engine, home, photos, encoder).encoded == 0


@pytest.fixture
def bring_empty(bring, engine, home, photos):
    from indexer.importer import import_sources
    from indexer.sources import scan

    return lambda *paths: import_sources(engine, home, photos, scan(paths, (), True), allow_empty=True, workers=1)


@pytest.mark.promise(12)
def test_promise_12_a_folder_emptied_only_in_part_marks_what_is_gone(bring, folder, labelled, shown, classes):
    shutil.rmtree(folder / "cat")

    result = bring(folder)

    assert (result.known, result.missing) == (4, 2)
    assert shown(missing=True) == sorted(labelled)[:2]
    assert classes() == labelled


@pytest.mark.promise(12)
def test_promise_12_an_excluded_or_unreadable_file_is_not_missing(engine, home, photos, bring, folder, labelled, shown):
    from indexer.importer import import_sources
    from indexer.sources import scan

    result = import_sources(engine, home, photos, scan([folder], ["*.jpg"]), workers=1)

    assert (result.missing, shown(missing=True)) == (0, [])
    assert not is_gone(os.fsencode(folder))


@pytest.mark.promise(13)
def test_promise_13_a_folder_that_moved_keeps_labels_and_vectors_and_nothing_is_decoded(
    engine, home, photos, bring, folder, labelled, shown, classes, encoder, tmp_path, no_decoding
):
    embed_missing(engine, home, photos, encoder)
    (tmp_path / "archive").mkdir()
    moved = folder.rename(tmp_path / "archive" / "journey")
    no_decoding()

    result = bring(moved)

    assert (result.added_total, result.known, result.moved, result.refused) == (0, 6, 6, [])
    assert (shown(), classes(), shown(missing=True)) == (sorted(labelled), labelled, [])
    assert embed_missing(engine, home, photos, encoder).encoded == 0
    found = get_images(engine, shown())
    assert {image.folder for image in found} == {"journey/cat", "journey/coffee", "journey/rocket"}
    assert all(read_original(engine, home, image) for image in found)


@pytest.mark.promise(14)
def test_promise_14_a_tag_keeps_the_image_and_other_pixels_are_a_new_one(
    engine, home, photos, bring, folder, labelled, shown, classes, encoder
):
    embed_missing(engine, home, photos, encoder)
    tagged, changed = sorted((folder / "cat").iterdir())
    tagged.write_bytes(tagged.read_bytes()[:2] + b"\xff\xfe\x00\x0ffive stars!!" + tagged.read_bytes()[2:])
    changed.write_bytes(encoded(picture("moon", 96)))

    result = bring(folder)

    first, second, *others = sorted(labelled)
    assert (result.added_total, result.known) == (1, 5)
    assert shown() == [first, *others, result.added[0]["id"]]
    assert classes() == {image_id: name for image_id, name in labelled.items() if image_id != second}
    assert embed_missing(engine, home, photos, encoder).encoded == 1
