import sqlite3
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from indexer.catalog import (
    all_collections,
    collection_named,
    create_collection,
    ensure_collection,
    open_catalog,
    update_collection,
)
from indexer.errors import CollectionExists, NewerCatalog, NoSuchCollection, UnusableDatabase
from indexer.removal import remove_collection
from indexer.schema import metadata
from model.errors import BadInput

BAD_NAMES = ["", " ", " cats", "cats ", "a/b", "a\\b", "a\nb", "a\0b", ".", "..", "x" * 81]


def test_a_home_opened_again_holds_what_was_written(home):
    first = open_catalog(home)
    created = create_collection(first, "photos", preset="satellite")
    first.dispose()

    second = open_catalog(home)

    assert all_collections(second) == [created]
    second.dispose()


def test_the_migrations_make_exactly_the_tables_of_the_schema(engine):
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)

    assert differences == []


def test_a_catalog_of_a_newer_likeness_is_refused_and_left_as_it_is(home):
    open_catalog(home).dispose()
    with closing(sqlite3.connect(home.catalog)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = home.catalog.read_bytes()

    with pytest.raises(NewerCatalog, match="9999"):
        open_catalog(home)

    assert home.catalog.read_bytes() == before


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused_for_a_new_collection_and_for_a_renamed_one(engine, photos, name):
    with pytest.raises(BadInput, match="cannot name a collection"):
        create_collection(engine, name)
    with pytest.raises(BadInput, match="cannot name a collection"):
        update_collection(engine, photos, {"name": name})

    assert all_collections(engine) == [photos]


@pytest.mark.parametrize("name", ["x" * 80, "Zoë's 🐈", "-rf", "%_", "'; DROP TABLE images"])
def test_an_odd_name_is_a_name(engine, name):
    created = create_collection(engine, name)

    assert collection_named(engine, name) == created


def test_a_taken_name_is_refused_for_a_new_collection_and_for_a_renamed_one(engine, photos):
    other = create_collection(engine, "other")

    with pytest.raises(CollectionExists, match="'photos'"):
        create_collection(engine, "photos")
    with pytest.raises(CollectionExists, match="'photos'"):
        update_collection(engine, other, {"name": "photos"})

    assert all_collections(engine) == [other, photos]


def test_a_collection_is_made_once_and_found_afterwards(engine):
    made = ensure_collection(engine, "photos")

    assert ensure_collection(engine, "photos") == made


def test_an_unknown_collection_is_named_in_the_error(engine):
    with pytest.raises(NoSuchCollection, match="'nowhere'"):
        collection_named(engine, "nowhere")


def test_a_change_of_the_active_model_is_kept(engine, photos):
    changed = update_collection(engine, photos, {"active_model": "0123456789abcdef"})

    assert collection_named(engine, "photos") == changed
    assert changed.active_model == "0123456789abcdef"


def test_a_deleted_collection_is_gone_with_what_only_it_held(engine, home, photos, bring, folder):
    other = create_collection(engine, "other")
    bring(folder)
    bring(folder / "cat", into=other)

    remove_collection(engine, home, photos)

    assert [collection.name for collection in all_collections(engine)] == ["other"]
    assert len(list((home.root / "previews").rglob("*.*"))) == 2


def test_the_id_of_a_deleted_collection_is_never_used_again(engine, home, photos):
    remove_collection(engine, home, photos)

    assert create_collection(engine, "photos").id > photos.id


@pytest.mark.parametrize("url", ["nonsense", "mysql://me@here/x", "oracle+cx_oracle://x", ""])
def test_a_url_that_names_no_database_of_ours_is_said_so(home, url):
    with pytest.raises(BadInput, match="LIKENESS_DATABASE_URL"):
        open_catalog(home, url)


def test_a_database_server_that_does_not_answer_is_named_without_its_password(home):
    with pytest.raises(UnusableDatabase, match="see that it runs") as raised:
        open_catalog(home, "postgresql://me:secret@127.0.0.1:1/likeness")

    assert "127.0.0.1:1" in str(raised.value)
    assert "secret" not in str(raised.value)
