import os
from pathlib import Path

import pytest
from PIL import Image as PILImage
from sqlalchemy import update

from indexer.columns import select_ids
from indexer.errors import NoSuchImage
from indexer.filters import Filter
from indexer.images import (
    SORTS,
    contents_of,
    find_by_path,
    get_image,
    get_images,
    labels_of,
    median_side,
    read_original,
    read_preview,
    read_rendition,
)
from indexer.labels import label
from indexer.removal import remove
from indexer.schema import images
from model.errors import BadInput
from tests.indexer.test_formats import opened
from tests.pictures import encoded, jpeg, picture

PICTURES = {  # path → (photograph, size, taken, make and model)
    "a/Cat 100%.jpg": ("cat", (200, 100), "2024:05:31 18:30:00", ("Canon", "Canon EOS R5")),
    "a/cat 1000.jpg": ("cat", (120, 110), "2024:06:01 00:00:00", ("NIKON", "D850")),
    "a/deep/dog_1.jpg": ("moon", (300, 250), "2023:01:01 12:00:00", ("Canon", "Canon EOS R5")),
    "a%/dogX1.jpg": ("grass", (90, 80), None, None),
    "ab/bird.jpg": ("coins", (400, 400), None, None),
}


@pytest.fixture
def named(bring, engine, tmp_path) -> dict[str, int]:
    """The pictures above in a collection: path below "in" → image id."""
    for path, (photograph, size, taken, camera) in PICTURES.items():
        exif = PILImage.Exif()
        if taken:
            exif.get_ifd(0x8769)[0x9003] = taken
        if camera:
            exif[0x010F], exif[0x0110] = camera
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_bytes(encoded(picture(photograph).resize(size), "JPEG", exif=exif))
    added = bring(tmp_path / "in").added
    found = get_images(engine, [item["id"] for item in added])
    return {f"{image.folder.removeprefix('in/')}/{image.name}": image.id for image in found}


@pytest.fixture
def kept(engine, photos, named):
    """The paths that a filter keeps."""

    def run(**fields) -> set[str]:
        ids = set(select_ids(engine, photos, Filter(**fields)).tolist())
        return {path for path, image_id in named.items() if image_id in ids}

    return run


ALL = set(PICTURES)
CAT, CAT2, DOG, DOG2, BIRD = PICTURES


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ALL),
        ({"folder": "in"}, ALL),
        ({"folder": "in/a"}, {CAT, CAT2, DOG}),
        ({"folder": "in/a/deep"}, {DOG}),
        ({"folder": "in/a%"}, {DOG2}),
        ({"folder": "a"}, set()),
        ({"taken_from": "2024-05-31"}, {CAT, CAT2}),
        ({"taken_to": "2024-05-31"}, {CAT, DOG}),
        ({"taken_to": "2024-05-31T18:29:59"}, {DOG}),
        ({"taken_from": "2024-05", "taken_to": "2024-05"}, {CAT}),
        ({"taken_to": "2023"}, {DOG}),
        ({"camera": "Canon EOS R5"}, {CAT, DOG}),
        ({"camera": "NIKON D850"}, {CAT2}),
        ({"camera": "canon"}, set()),
        ({"min_side": 110}, {CAT2, DOG, BIRD}),
        ({"min_side": 251}, {BIRD}),
        ({"text": "cat"}, {CAT, CAT2}),
        ({"text": "CAT"}, {CAT, CAT2}),
        ({"text": "100%"}, {CAT}),
        ({"text": "g_1"}, {DOG}),
        ({"text": "%"}, {CAT, DOG2}),
        ({"text": "_"}, {DOG}),
        ({"text": "\\"}, set()),
        ({"text": "deep"}, {DOG}),
        ({"text": "cat jpg 1000"}, {CAT2}),
        ({"text": "cat dog"}, set()),
        ({"text": "  "}, ALL),
        ({"text": "in/a dog"}, {DOG, DOG2}),
        ({"folder": "in/a", "camera": "Canon EOS R5", "min_side": 150}, {DOG}),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),  # the same in every process
)
def test_a_filter_keeps_what_fits_all_of_its_fields(kept, fields, expected):
    assert kept(**fields) == expected


def test_filters_know_classes_and_labels(engine, photos, named, kept):
    label(engine, photos, [named[CAT], named[BIRD]], "50%_Fluffy", "yes", "hand")
    label(engine, photos, [named[DOG]], "50%_Fluffy", "no", "hand")
    label(engine, photos, [named[DOG2]], "dull", "yes", "hand")

    assert kept(class_="50%_Fluffy") == {CAT, BIRD}
    assert kept(class_="unknown") == set()
    assert kept(labelled=True) == {CAT, BIRD, DOG2}
    assert kept(labelled=False) == {CAT2, DOG}
    assert kept(text="fluffy") == {CAT, BIRD}
    assert kept(text="%_f") == {CAT, BIRD}
    assert kept(text="fluffy cat") == {CAT}
    assert kept(class_="50%_Fluffy", folder="in/ab") == {BIRD}


def test_a_filter_knows_when_images_were_imported(engine, named, kept):
    with engine.begin() as connection:
        connection.execute(update(images).where(images.c.id == named[CAT]).values(added_at="2020-01-01T00:00:00+00:00"))

    assert kept(imported_since="2020-01-01") == ALL
    assert kept(imported_since="2020-01-02") == ALL - {CAT}


def test_an_empty_filter_says_so():
    assert Filter().empty
    assert not Filter(text="x").empty
    assert Filter(predicted="cat").needs_predictions
    assert Filter(min_probability=0.5).needs_predictions
    assert not Filter(class_="cat").needs_predictions


def test_lists_come_in_every_order(engine, photos, named):
    def paths(sort: str) -> list[str]:
        by_id = {image_id: path for path, image_id in named.items()}
        return [by_id[image_id] for image_id in select_ids(engine, photos, Filter(), sort).tolist()]

    assert paths("oldest") == paths("newest")[::-1] == sorted(PICTURES, key=lambda path: named[path])
    assert paths("name") == sorted(PICTURES, key=lambda path: path.rpartition("/")[::2])
    assert paths("random") == paths("random")
    assert {tuple(sorted(paths(sort))) for sort in SORTS} == {tuple(sorted(PICTURES))}


def test_an_unknown_order_is_refused_with_those_there_are(engine, photos):
    with pytest.raises(BadInput, match="'best' is not an order: use newest, oldest, name, random"):
        select_ids(engine, photos, Filter(), "best")


def test_images_come_in_the_order_of_their_ids_asked_for_without_those_that_are_gone(engine, named):
    wanted = [named[BIRD], 10**9, named[CAT], named[BIRD]]

    assert [image.id for image in get_images(engine, wanted)] == [named[BIRD], named[CAT], named[BIRD]]


def test_more_images_than_sql_takes_in_one_query_are_looked_up_and_removed(engine, home, photos, named):
    many = [*range(1_000_000, 1_251_000), *named.values()]

    found = get_images(engine, many)
    removed = remove(engine, home, photos, many)

    assert (len(found), removed) == (5, 5)


def test_an_image_has_the_size_date_and_camera_of_its_file(engine, named):
    image = get_image(engine, named[CAT])

    assert (image.width, image.height, image.format) == (200, 100, "JPEG")
    assert (image.taken_at, image.camera) == ("2024-05-31T18:30:00", "Canon EOS R5")


def test_a_removed_image_is_in_no_list_and_its_id_is_unknown(engine, home, photos, named, tmp_path):
    path = str(tmp_path / "in" / CAT)

    removed = remove(engine, home, photos, [named[CAT], 10**9])

    assert removed == 1
    assert named[CAT] not in select_ids(engine, photos, Filter())
    assert named[CAT] not in [image_id for image_id, _, _ in contents_of(engine, photos)]
    assert find_by_path(engine, photos, [path]) == {}
    assert remove(engine, home, photos, [named[CAT]]) == 0
    with pytest.raises(NoSuchImage, match=str(named[CAT])):
        get_image(engine, named[CAT])
    assert Path(path).exists()


def test_an_image_is_found_by_its_path_however_it_is_written(engine, photos, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "in")
    absolute, relative, dotted = str(tmp_path / "in" / CAT), CAT, "./ab/../" + CAT
    elsewhere, name_only, windows = "/other/machine/nothing.jpg", "bird.jpg", "in\\ab\\bird.jpg"

    found = find_by_path(engine, photos, [absolute, relative, dotted, elsewhere, name_only, windows])

    assert found == {
        absolute: named[CAT],
        relative: named[CAT],
        dotted: named[CAT],
        name_only: named[BIRD],
        windows: named[BIRD],
    }


def test_a_name_that_several_images_have_finds_none_of_them(engine, photos, bring, tmp_path):
    for number, folder in enumerate(("x", "y")):
        (tmp_path / "in" / folder).mkdir(parents=True)
        (tmp_path / "in" / folder / "same.jpg").write_bytes(jpeg(side=60 + number))
    first, second = (item["id"] for item in bring(tmp_path / "in").added)

    found = find_by_path(engine, photos, ["same.jpg", "x/same.jpg", "in/y/same.jpg"])

    assert found == {"x/same.jpg": first, "in/y/same.jpg": second}


def test_a_file_whose_name_is_not_utf8_is_found_by_its_path(engine, photos, bring, tmp_path):
    path = os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg")
    with open(path, "wb") as file:
        file.write(jpeg())
    image_id = bring(tmp_path).added[0]["id"]

    assert find_by_path(engine, photos, [os.fsdecode(path)]) == {os.fsdecode(path): image_id}


def test_the_original_of_a_moved_file_is_said_to_be_missing_until_it_is_imported_again(
    engine, home, photos, bring, named, tmp_path
):
    image = get_image(engine, named[CAT])
    moved = tmp_path / "in" / "moved.jpg"
    (tmp_path / "in" / CAT).rename(moved)

    with pytest.raises(NoSuchImage, match="not where it was"):
        read_original(engine, home, image)
    bring(moved)

    assert read_original(engine, home, image) == moved.read_bytes()
    assert opened(read_rendition(engine, home, image)).size == (200, 100)


def test_a_missing_preview_is_said_with_what_to_do(engine, home, named):
    image = get_image(engine, named[CAT])
    home.preview(image.sha256, image.preview_suffix).unlink()

    with pytest.raises(NoSuchImage, match="import its folder again"):
        read_preview(home, image)


def test_the_label_to_show_is_the_class_before_any_other_answer(engine, photos, named):
    label(engine, photos, [named[CAT]], "cat", "yes", "hand")
    label(engine, photos, [named[CAT]], "dog", "no", "hand")
    label(engine, photos, [named[DOG]], "cat", "no", "hand")

    shown = labels_of(engine, photos, [named[CAT], named[DOG], named[BIRD]])

    assert {i: (x.class_name, x.answer) for i, x in shown.items()} == {
        named[CAT]: ("cat", "yes"),
        named[DOG]: ("cat", "no"),
    }


def test_the_median_side_is_that_of_the_shorter_sides(engine, photos, named):
    assert median_side(engine, photos) == 110


def test_the_median_side_of_nothing_is_0(engine, photos):
    assert median_side(engine, photos) == 0
