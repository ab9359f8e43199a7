import errno
import os
import stat
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from indexer import digest
from indexer.catalog import count_images, create_collection
from indexer.columns import select_ids
from indexer.digest import digested
from indexer.filters import Filter
from indexer.images import find_by_path, get_images, path_of, read_original, read_preview
from indexer.importer import ImportResult, import_sources
from indexer.labels import current_labels, label
from indexer.plan import make_plan
from indexer.schema import files
from indexer.sources import Scan, scan, scan_upload
from model.errors import Cancelled
from model.images import FORMATS, make_preview
from tests.indexer import crashing
from tests.indexer.helpers import tree
from tests.indexer.test_formats import png_header
from tests.indexer.test_sources import write_zip
from tests.pictures import encoded, jpeg, picture, views


def refused(result: ImportResult) -> dict[str, str]:
    """File name → the reason; each file must be listed once."""
    names = [item["path"].rpartition("/")[2] for item in result.refused]
    assert len(names) == len(set(names))
    return dict(zip(names, (item["reason"] for item in result.refused), strict=True))


def without_reading(folder: Path) -> None:
    """Replace what is in every file, but leave sizes and times: whoever reads one again will notice."""
    for path in folder.rglob("*.*"):
        before = path.stat()
        path.write_bytes(b"\0" * before.st_size)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_every_picture_of_a_folder_comes_in_with_its_preview(engine, home, photos, bring, folder):
    result = bring(folder)

    assert (result.added_total, result.known, result.refused) == (6, 0, [])
    images = get_images(engine, [item["id"] for item in result.added])
    assert [(i.folder, i.name) for i in images] == [
        (f"trip/{subject}", f"{number:02}.jpg") for subject in ("cat", "coffee", "rocket") for number in range(2)
    ]
    for image, path in zip(images, sorted(folder.rglob("*.jpg")), strict=True):
        assert read_preview(home, image) == make_preview(path.read_bytes(), "x").data
        assert (image.width, image.height, image.format, image.bytes) == (96, 96, "JPEG", path.stat().st_size)
        assert path_of(engine, image) == os.fsencode(path)
        assert read_original(engine, home, image) == path.read_bytes()


def test_folders_single_files_and_zips_come_in_together(engine, photos, bring, tmp_path, folder):
    single = tmp_path / "single.jpg"
    single.write_bytes(jpeg("moon"))
    zipped = write_zip(tmp_path / "more.zip", {"a/b.jpg": jpeg("grass"), "c.png": encoded(picture("coins", 50), "PNG")})

    result = bring(folder, single, zipped)

    assert (result.added_total, result.refused) == (9, [])
    found = get_images(engine, select_ids(engine, photos, Filter()).tolist())
    assert {(i.folder, i.name) for i in found} >= {
        ("more/a", "b.jpg"),
        ("more", "c.png"),
        (tmp_path.name, "single.jpg"),
    }


def test_every_accepted_format_comes_in(engine, photos, bring, tmp_path):
    for number, format in enumerate(FORMATS):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / str(number)).write_bytes(encoded(picture("flower", 80), format))

    result = bring(tmp_path / "in")

    assert result.refused == []
    found = get_images(engine, select_ids(engine, photos, Filter()).tolist())
    assert [image.format for image in found] == list(FORMATS)


def test_importing_again_adds_nothing_and_opens_no_file(engine, photos, bring, folder):
    (folder / "broken.jpg").write_bytes(b"no picture")
    first = bring(folder)
    without_reading(folder)

    second = bring(folder)

    assert (first.added_total, first.known) == (6, 0)
    assert (second.added_total, second.known, count_images(engine, photos)) == (0, 6, 6)
    assert second.refused == first.refused != []


def test_the_same_picture_under_several_names_is_one_image(engine, photos, bring, tmp_path):
    for name in ("a.jpg", "b/c.jpg", "b/d.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(jpeg())

    result = bring(tmp_path / "in")

    assert (result.added_total, result.known) == (1, 2)
    ids = find_by_path(engine, photos, [str(path) for path in (tmp_path / "in").rglob("*.jpg")])
    assert len(ids) == 3
    assert len(set(ids.values())) == 1


def test_two_collections_share_contents_and_nothing_else(engine, home, photos, bring, folder):
    other = create_collection(engine, "other")

    ours, theirs = bring(folder), bring(folder, into=other)

    assert ours.added_total == theirs.added_total == 6
    assert {item["id"] for item in ours.added}.isdisjoint(item["id"] for item in theirs.added)
    assert len([path for path in (home.root / "previews").rglob("*") if path.is_file()]) == 6


def test_every_bad_file_is_listed_once_with_its_reason_and_every_good_one_comes_in(engine, photos, bring, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    good = encoded(picture("cat", 60), "JPEG")
    bad = {
        "empty.jpg": (b"", "empty file"),
        "text.jpg": (b"Dear diary", "not a picture in a format we read"),
        "drawing.jpg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture in a format we read"),
        "cut.jpg": (good[: len(good) // 2], "damaged picture"),
        "bomb.png": (png_header(60_000, 60_000), "60000x60000 is more than 120,000,000 pixels"),
        "archive.jpg": (b"PK\3\4" + b"\0" * 40, "not a picture in a format we read"),
    }
    for name, (data, _) in bad.items():
        (folder / name).write_bytes(data)
    for number, name in enumerate(
        (b"caf\xe9.jpg", b"two\nlines.jpg", "🐈.jpg".encode(), b"x" * 251 + b".jpg", b"-rf.jpg")
    ):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(encoded(picture("cat", 60 + number), "PNG"))
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop").symlink_to("loop")
    (folder / "circle").symlink_to(folder)
    (folder / "out.jpg").symlink_to(Path(__file__))

    first, second = bring(folder), bring(folder)

    reasons = refused(first)
    assert first.added_total == 5
    assert all(reasons[name].startswith(reason) for name, (_, reason) in bad.items())
    assert set(reasons) == {*bad, "pipe.jpg", "loop", "circle", "out.jpg"}
    assert (second.added_total, second.known, refused(second)) == (0, 5, reasons)


def test_the_folder_of_the_user_is_the_same_afterwards_even_when_it_can_only_be_read(
    engine, home, photos, bring, folder
):
    (folder / "broken.jpg").write_bytes(b"no picture")
    before = tree(folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | (stat.S_IXUSR if path.is_dir() else 0))

    result = bring(folder, labels_from_folders=True)
    bring(folder)

    assert (result.added_total, result.labelled) == (6, 6)
    assert tree(folder) == before


def test_a_file_that_vanished_since_the_scan_is_a_reason_and_comes_in_when_it_is_back(
    engine, home, photos, bring, folder
):
    data = (folder / "cat" / "00.jpg").read_bytes()
    info = (folder / "cat" / "00.jpg").stat()
    found = scan([folder])
    (folder / "cat" / "00.jpg").unlink()

    result = import_sources(engine, home, photos, found, workers=1)
    (folder / "cat" / "00.jpg").write_bytes(data)
    os.utime(folder / "cat" / "00.jpg", ns=(info.st_atime_ns, info.st_mtime_ns))
    again = bring(folder)

    assert (result.added_total, refused(result)) == (5, {"00.jpg": "cannot be read (No such file or directory)"})
    assert (again.added_total, again.known, again.refused) == (1, 5, [])


def test_a_file_that_could_not_be_read_once_keeps_its_image(engine, home, photos, bring, folder):
    bring(folder)
    path = folder / "cat" / "00.jpg"
    os.utime(path, (0, 0))
    found = scan([folder])
    path.unlink()

    result = import_sources(engine, home, photos, found, workers=1)

    assert len(result.refused) == 1
    assert count_images(engine, photos) == 6


@pytest.mark.parametrize("workers", [1, 12])  # with 12 the first dies while files are still being handed out
def test_a_decoder_that_dies_takes_only_its_own_file(engine, home, photos, tmp_path, monkeypatch, workers):
    folder, deadly = tmp_path / "in", (0, 5, 39)
    folder.mkdir()
    for number, view in enumerate(views("cat", 40, 32)):
        (folder / f"{number:02}{' kills' * (number in deadly)}.jpg").write_bytes(encoded(view))
    monkeypatch.setattr(digest, "digest_bundle", crashing.digest_bundle)

    first = import_sources(engine, home, photos, scan([folder]), workers=workers)
    second = import_sources(engine, home, photos, scan([folder]), workers=workers)

    assert first.added_total == 37
    assert refused(first) == dict.fromkeys((f"{n:02} kills.jpg" for n in deadly), "made the decoder crash")
    assert (second.added_total, second.known, refused(second)) == (0, 37, refused(first))


@pytest.mark.promise(17)
@pytest.mark.parametrize("workers", [1, 4])
def test_promise_17_a_file_that_never_ends_is_refused_and_the_others_come_in(
    engine, home, photos, tmp_path, monkeypatch, workers
):
    folder = tmp_path / "in"
    folder.mkdir()
    for number, view in enumerate(views("cat", 40, 32)):
        called = {5: " hangs", 20: " kills", 39: " hangs"}.get(number, "")
        (folder / f"{number:02}{called}.jpg").write_bytes(encoded(view))
    monkeypatch.setattr(digest, "digest_bundle", crashing.digest_bundle)
    monkeypatch.setattr(digest, "LONGEST", 1.5)

    first = import_sources(engine, home, photos, scan([folder]), workers=workers)
    second = import_sources(engine, home, photos, scan([folder]), workers=workers)

    slow = "takes more than 1.5 seconds to decode: --retry opens it again"
    assert first.added_total == 37
    assert refused(first) == {"05 hangs.jpg": slow, "20 kills.jpg": "made the decoder crash", "39 hangs.jpg": slow}
    assert (second.added_total, second.known, refused(second)) == (0, 37, refused(first))
    found = scan([folder])
    bad = [source for source in found.sources if source.name in refused(first)]
    assert make_plan(engine, home, photos, found).fresh == []
    assert make_plan(engine, home, photos, found, retry=True).fresh == bad
    os.utime(bad[0].path, (1, 1))
    assert [source.name for source in make_plan(engine, home, photos, scan([folder])).fresh] == [bad[0].name]
    monkeypatch.undo()
    again = import_sources(engine, home, photos, found, workers=workers, retry=True)
    assert (again.added_total, again.refused) == (3, [])


def test_an_import_is_stopped_though_a_file_that_is_begun_never_ends(engine, home, photos, tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    for number, view in enumerate(views("cat", 40, 32)):
        (folder / f"{number:02}{' hangs' * (number == 39)}.jpg").write_bytes(encoded(view))
    monkeypatch.setattr(digest, "digest_bundle", crashing.digest_bundle)
    monkeypatch.setattr("indexer.decoders.PATIENCE", 1)
    monkeypatch.setattr("indexer.importer.BATCH", 2)

    with pytest.raises(Cancelled):
        import_sources(engine, home, photos, scan([folder]), workers=4, stop=lambda: True)


def test_a_pool_that_takes_itself_apart_while_it_is_given_work_loses_no_file(bring, folder, monkeypatch):
    submit, given = ProcessPoolExecutor.submit, []

    def closing(pool, *work):
        given.append(work)
        if len(given) == 1:
            raise OSError("handle is closed")  # what CPython's pool of processes says then
        return submit(pool, *work)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", closing)

    result = bring(folder)

    assert result.added_total == 6
    assert len(given) > 1


def test_a_system_that_starts_no_more_processes_is_not_the_fault_of_a_file(bring, folder, monkeypatch):
    def full(pool, *work):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(ProcessPoolExecutor, "submit", full)

    with pytest.raises(OSError, match="temporarily unavailable"):
        bring(folder)


def test_a_stopped_import_keeps_what_was_done_and_the_next_one_finishes(engine, photos, bring, folder):
    asked: list[None] = []

    def stop() -> bool:
        asked.append(None)
        return len(asked) == 3

    with pytest.raises(Cancelled, match="Stopped after 3 of 6 files"):
        bring(folder, stop=stop)
    kept = count_images(engine, photos)
    result = bring(folder)

    assert kept == 3
    assert (result.known, result.added_total, count_images(engine, photos)) == (3, 3, 6)


def test_progress_runs_to_the_share_that_is_committed_and_says_how_long_it_will_take(monkeypatch, bring, folder):
    monkeypatch.setattr("indexer.importer.BATCH", 2)
    said: list[tuple[float, str]] = []

    bring(folder, progress=lambda share, message: said.append((share, message)))

    assert [share for share, _ in said] == sorted(share for share, _ in said)
    assert said[-1][0] == 1
    assert "of 6 pictures" in said[0][1]
    assert said[0][1].endswith("left")


def test_folders_become_classes_when_asked(engine, photos, bring, folder):
    (folder / "at the top.jpg").write_bytes(jpeg("moon"))

    result = bring(folder, labels_from_folders=True)

    by_id = {label.image_id: label.class_name for label in current_labels(engine, photos)}
    found = get_images(engine, list(by_id))
    assert result.labelled == 6
    assert {(image.folder, by_id[image.id]) for image in found} == {
        ("trip/cat", "cat"), ("trip/coffee", "coffee"), ("trip/rocket", "rocket"),
    }  # fmt: skip


def test_an_answer_given_by_hand_is_not_replaced_by_the_folder(engine, photos, bring, folder):
    first = bring(folder).added[0]["id"]
    label(engine, photos, [first], "lion", "yes", "hand")

    result = bring(folder, labels_from_folders=True)

    assert result.labelled == 5
    assert [x.class_name for x in current_labels(engine, photos, [first])] == ["lion"]


@pytest.mark.parametrize("name", [b"x" * 255, b"two\nlines", b"caf\xe9", b" ", b" cat "], ids=repr)
def test_no_folder_name_can_stop_an_import_that_takes_classes_from_folders(engine, photos, bring, tmp_path, name):
    inside = os.path.join(os.fsencode(tmp_path / "in"), name)
    os.makedirs(inside)
    with open(os.path.join(inside, b"1.jpg"), "wb") as file:
        file.write(jpeg())

    result = bring(tmp_path / "in", labels_from_folders=True)

    assert (result.added_total, result.refused) == (1, [])
    assert all(len(x.class_name) <= 100 and x.class_name.isprintable() for x in current_labels(engine, photos))


def test_a_zip_gives_labels_and_leaves_nothing_outside_the_home(engine, home, photos, bring, tmp_path):
    path = write_zip(
        tmp_path / "in.zip",
        {"cats/1.jpg": jpeg("cat"), "../../../evil.jpg": jpeg("moon"), "bomb.jpg": b"\0" * (2 << 20), "x.zip": b"PK"},
        zipfile.ZIP_DEFLATED,
    )
    before = {entry.name for entry in tmp_path.iterdir()}

    first, second = bring(path, labels_from_folders=True), bring(path)

    assert (first.added_total, first.labelled, second.added_total, second.known) == (2, 1, 0, 2)
    assert set(refused(first)) == set(refused(second)) == {"in.zip!bomb.jpg", "in.zip!x.zip"}
    assert {entry.name for entry in tmp_path.iterdir()} == before
    assert not list(home.root.rglob("*evil*"))


def test_a_damaged_member_costs_only_itself(engine, photos, bring, tmp_path):
    path = write_zip(tmp_path / "in.zip", {f"{n}.jpg": encoded(view) for n, view in enumerate(views("cat", 3))})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\3\4", 10) + 200] ^= 0xFF  # in the second member, whose checksum is then wrong
    path.write_bytes(data)

    result = bring(path)

    assert result.added_total == 2
    assert refused(result)["in.zip!1.jpg"].startswith("cannot be unpacked")


def test_what_came_in_a_zip_or_an_upload_is_kept_and_what_lies_in_a_folder_is_not(
    engine, home, photos, bring, tmp_path, folder
):
    batch = tmp_path / "batch"
    batch.mkdir()
    (batch / "0").write_bytes(jpeg("grass"))
    (batch / "names.json").write_text('{"0": "lawn/green.jpg"}')
    zipped = write_zip(tmp_path / "z.zip", {"a.jpg": jpeg("moon")})

    uploaded = import_sources(engine, home, photos, scan_upload(batch), workers=1)
    from_zip = bring(zipped)
    bring(folder)
    (batch / "0").unlink()
    zipped.unlink()

    for result, data in ((uploaded, jpeg("grass")), (from_zip, jpeg("moon"))):
        [image] = get_images(engine, [result.added[0]["id"]])
        assert read_original(engine, home, image) == data
    assert len([path for path in (home.root / "originals").rglob("*") if path.is_file()]) == 2


def test_an_uploads_path_is_forgotten(engine, home, photos, tmp_path):
    (tmp_path / "0").write_bytes(jpeg())
    (tmp_path / "names.json").write_text('{"0": "cat.jpg"}')

    import_sources(engine, home, photos, scan_upload(tmp_path), workers=1)

    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(files)).scalar() == 0


def test_a_preview_that_was_cleared_away_is_made_again(engine, home, photos, bring, folder):
    bring(folder)
    [lost, *_] = get_images(engine, select_ids(engine, photos, Filter()).tolist())
    home.preview(lost.sha256, lost.preview_suffix).unlink()

    result = bring(folder)

    assert (result.added_total, result.known) == (0, 6)
    assert read_preview(home, lost)


def test_an_empty_scan_changes_nothing(engine, home, photos, bring, folder):
    bring(folder)

    result = import_sources(engine, home, photos, Scan(), labels_from_folders=True)

    assert (result.added_total, result.known, count_images(engine, photos)) == (0, 0, 6)


def test_pictures_in_a_zip_are_read_as_they_are_needed_so_that_memory_is_bounded(home, tmp_path, monkeypatch):
    read, size = digest.read, 1_500_000
    monkeypatch.setattr(digest, "MOST_HELD", 2 * size + 1000)
    seen: list[str] = []
    monkeypatch.setattr(digest, "read", lambda source, archive=None: seen.append(source.name) or read(source, archive))
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for number in range(12):
            archive.writestr(f"{number}.jpg", jpeg("cat", 40 + number).ljust(size, b"\0"))
    ahead = []

    for done, (_, digests) in enumerate(digested(scan([tmp_path / "in.zip"]).sources, home, workers=2)):
        assert digests[0].refused is None
        ahead.append(len(seen) - done)

    assert len(ahead) == 12
    assert max(ahead) <= 4  # two held, one being put together, the one just done; without the bound nine
