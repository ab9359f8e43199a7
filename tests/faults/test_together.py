"""Several processes at one home at once."""

import time

import pytest

from indexer.labels import current_labels
from tests.faults.kill import Child


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
