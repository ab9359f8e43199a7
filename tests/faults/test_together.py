"""Several processes at one home at once."""

import contextlib
import threading
import time

import pytest
from PIL import Image
from sqlalchemy import event, select

from indexer.batch import commit
from indexer.catalog import create_collection, open_catalog
from indexer.digest import digested
from indexer.images import get_images, read_original, read_preview
from indexer.importer import import_sources
from indexer.labels import current_labels
from indexer.plan import make_plan
from indexer.removal import remove
from indexer.schema import contents
from indexer.sources import scan, scan_upload
from tests.faults.kill import Child
from tests.pictures import encoded, jpeg, picture


@pytest.mark.promise(11)
def test_processes_that_open_a_fresh_home_together_all_get_a_whole_catalog(home):
    for _ in range(2):
        children = [Child("open_home", home.root) for _ in range(3)]
        for child in children:
            child.wait_for_lines(1)
        for child in children:
            child.go()

        said = [child.end() for child in children]

        assert said == [["ready", "0"]] * 3
        for path in home.root.glob("catalog.db*"):
            path.unlink()


@pytest.mark.promise(11)
def test_processes_that_label_together_lose_nothing(engine, home, photos, bring, folder):
    ids = [item["id"] for item in bring(folder).added]
    children = [Child("label", home.root, name, *part) for name, part in (("cat", ids[:3]), ("dog", ids[3:]))]
    for child in children:
        child.wait_for_lines(1)

    for child in children:
        child.go()
    said = [child.end()[1:] for child in children]

    assert said == [[str(i) for i in ids[:3]], [str(i) for i in ids[3:]]]
    found = {item.image_id: item.class_name for item in current_labels(engine, photos)}
    assert found == dict.fromkeys(ids[:3], "cat") | dict.fromkeys(ids[3:], "dog")


@pytest.mark.promise(11)
def test_labels_are_given_while_an_import_runs(engine, home, photos, bring, folder, tmp_path):
    ids = [item["id"] for item in bring(folder).added]
    for number in range(40):
        (folder / f"{number}.jpg").write_bytes((folder / "cat" / "00.jpg").read_bytes() + bytes([number]))
    importing = Child("import_folder", home.root, folder)
    labelling = Child("label", home.root, "cat", *ids)
    labelling.wait_for_lines(1)
    importing.wait_for_lines(1)

    started = time.monotonic()
    labelling.go()
    said = labelling.end()[1:]
    seconds = time.monotonic() - started
    importing.end()

    assert said == [str(i) for i in ids]
    assert seconds < 30  # none of them waited until the catalog's patience ended
    assert len(current_labels(engine, photos)) == 6
    assert importing.process.returncode == 0


@pytest.fixture
def upload(tmp_path):
    batch = tmp_path / "batch"
    batch.mkdir()
    (batch / "0").write_bytes(jpeg())
    (batch / "names.json").write_text('{"0": "cat.jpg"}')
    return batch


@pytest.mark.parametrize("again", [False, True], ids=["decoded", "known by its bytes"])
def test_an_upload_stays_whole_when_its_content_is_removed_elsewhere_before_it_is_written_down(
    engine, home, photos, upload, again
):
    other = create_collection(engine, "other")
    [theirs] = import_sources(engine, home, other, scan_upload(upload), workers=1).added
    if not again:
        for path in (home.root / "previews").rglob("*.jpg"):
            path.unlink()

    def stop() -> bool:  # asked when the upload is decoded, and not yet in the catalog
        remove(engine, home, other, [theirs["id"]])
        return False

    result = import_sources(engine, home, photos, scan_upload(upload), workers=1, stop=stop)
    (upload / "0").unlink()

    assert (result.added_total, result.refused) == (1, [])
    [image] = get_images(engine, [result.added[0]["id"]])
    assert read_original(engine, home, image) == jpeg()
    assert read_preview(home, image)


def test_two_imports_that_meet_the_same_changed_tags_both_end(home, tmp_path, postgresql):
    engine, ready = open_catalog(home, postgresql.new_database()), threading.Barrier(2)
    begun: list[tuple] = []
    for name in ("first", "second"):
        path = tmp_path / name / "cat.jpg"
        path.parent.mkdir()
        path.write_bytes(jpeg())
        collection = create_collection(engine, name)
        import_sources(engine, home, collection, scan([path.parent]), workers=1)
        exif = Image.Exif()
        exif[0x0110] = "A camera"
        path.write_bytes(encoded(picture("cat", 160), "JPEG", quality=90, exif=exif))
        plan = make_plan(engine, home, collection, scan([path.parent]))
        begun.append((engine, home, collection, list(digested(plan.fresh, home, 1)), plan))
    held: set[int] = set()

    def meet(connection, cursor, statement, *_):
        if statement.startswith("UPDATE collections") and threading.get_ident() not in held:
            held.add(threading.get_ident())
            with contextlib.suppress(threading.BrokenBarrierError):  # they come one after the other
                ready.wait(3)  # each holds its own collection now

    event.listen(engine, "after_cursor_execute", meet)
    failed: list[Exception] = []

    def run(*work) -> None:
        try:
            commit(*work)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=work) for work in begun]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    with engine.connect() as connection:
        assert set(connection.execute(select(contents.c.camera)).scalars()) == {"A camera"}
    engine.dispose()
