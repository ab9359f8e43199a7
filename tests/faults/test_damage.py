"""A catalog that went bad is reported and left exactly as it is, so that it can still be rescued."""

import pytest

from indexer.catalog import create_collection, open_catalog
from indexer.errors import DamagedCatalog
from indexer.home import Home
from tests.faults.corrupt import damage


@pytest.fixture
def written(home, bring, engine, folder) -> Home:
    """A home with something in its catalog, and nobody who has it open."""
    bring(folder)
    for number in range(200):
        create_collection(engine, f"collection {number} {'x' * 60}")
    engine.dispose()
    return home


@pytest.mark.promise(9)
@pytest.mark.parametrize("how", ["cut in half", "empty", "garbage"])
def test_a_damaged_catalog_is_reported_with_its_path_and_left_as_it_is(written, how):
    damaged = damage(written.catalog, how)

    with pytest.raises(DamagedCatalog, match=r"catalog\.db .*left as it is.*restore a backup"):
        open_catalog(written)

    assert written.catalog.read_bytes() == damaged


@pytest.mark.promise(9)
@pytest.mark.parametrize("at", ["the header", "a table", "an index"])
def test_a_page_overwritten_in_the_catalog_is_reported_and_left_as_it_is(written, at):
    data = bytearray(written.catalog.read_bytes())
    row = b"collection 150"
    page = {"the header": 0, "a table": data.index(row), "an index": data.rindex(row)}[at] // 4096 * 4096
    data[page : page + 64] = b"\xee" * 64
    written.catalog.write_bytes(data)

    with pytest.raises(DamagedCatalog):
        open_catalog(written)

    assert written.catalog.read_bytes() == bytes(data)


@pytest.mark.promise(9)
def test_the_same_home_opens_again_once_the_backup_is_back(written):
    sound = written.catalog.read_bytes()
    damage(written.catalog, "garbage")
    with pytest.raises(DamagedCatalog):
        open_catalog(written)

    written.catalog.write_bytes(sound)

    open_catalog(written).dispose()
