"""Pages and tiles, which know their file and their place in it; HEIC; where pictures were taken."""

import io

import numpy as np
import pytest
from PIL import Image

from indexer.columns import select_ids
from indexer.embed import embed_missing
from indexer.filters import Filter
from indexer.images import get_images, read_original, read_preview
from indexer.importer import import_sources
from indexer.parts import Cutting
from indexer.removal import remove
from indexer.sources import scan
from model.errors import BadInput, CannotDecode
from model.images import decode, make_preview, make_rendition
from model.parts import previews_of_parts, tiles
from tests.indexer.test_sources import write_zip
from tests.pictures import encoded, picture, stack


@pytest.fixture
def cut(engine, home, photos):
    def run(path, **cutting):
        return import_sources(engine, home, photos, scan([path]), cutting=Cutting(**cutting), workers=1)

    return run


@pytest.fixture
def shown(engine, photos):
    return lambda: get_images(engine, select_ids(engine, photos, Filter()).tolist())


def write_stack(path, names=("cat", "coffee", "rocket"), side=80):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(stack(names, side))
    return path


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((10, 10), 16, [(0, 0, 10, 10)]),
        ((32, 16), 16, [(0, 0, 16, 16), (16, 0, 32, 16)]),
        ((40, 16), 16, [(0, 0, 16, 16), (16, 0, 32, 16), (24, 0, 40, 16)]),
    ],
)
def test_tiles_cover_a_picture_and_are_of_one_size(size, side, expected):
    assert tiles(*size, side) == expected


def test_every_page_of_a_tiff_is_an_image_when_asked_and_only_the_first_otherwise(cut, shown, tmp_path):
    path = write_stack(tmp_path / "in" / "stack.tif")

    whole = cut(tmp_path / "in")
    paged = cut(tmp_path / "in", pages=True)
    again = cut(tmp_path / "in", pages=True)

    assert whole.added_total == 1
    assert [item["name"] for item in paged.added] == [f"stack.tif page={number}" for number in range(3)]
    assert (again.added_total, again.known) == (0, 1)
    first, *pages = shown()
    assert first.part is None
    assert [image.part for image in pages] == [{"page": 0}, {"page": 1}, {"page": 2}]
    assert {image.parent_sha256 for image in pages} == {first.sha256}
    assert path.exists()


def test_a_page_has_its_own_preview_and_original(cut, engine, home, shown, tmp_path):
    write_stack(tmp_path / "in" / "stack.tif")
    cut(tmp_path / "in", pages=True)

    for image, name in zip(shown(), ("cat", "coffee", "rocket"), strict=True):
        truth = np.asarray(picture(name, 80))
        for data in (read_preview(home, image), read_original(engine, home, image)):
            assert np.array_equal(np.asarray(decode(data, "x")), truth)


def test_tiles_know_their_parent_and_place_and_are_encoded_and_searched_like_any_image(
    cut, engine, home, photos, shown, encoder, tmp_path
):
    slide = picture("galaxies")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "slide.png").write_bytes(encoded(slide, "PNG"))

    result = cut(tmp_path / "in", tile=256)
    again = cut(tmp_path / "in", tile=256)

    boxes = tiles(*slide.size, 256)
    assert (result.added_total, result.known, again.added_total, again.known) == (len(boxes), 0, 0, 1)
    for image, box in zip(shown(), boxes, strict=True):
        assert (image.part, image.width, image.height) == ({"box": list(box)}, 256, 256)
        original = np.asarray(Image.open(io.BytesIO(read_original(engine, home, image))))
        assert np.array_equal(original, np.asarray(slide.crop(box)))
        assert image.name == f"slide.png box={','.join(map(str, box))}"
    assert embed_missing(engine, home, photos, encoder).encoded == len(boxes)


def test_a_changed_slide_lets_go_of_the_tiles_it_had(cut, shown, tmp_path):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "slide.png"
    path.write_bytes(encoded(picture("retina", 200).crop((0, 0, 200, 200)), "PNG"))
    cut(tmp_path / "in", tile=64)
    path.write_bytes(encoded(picture("coffee", 128).crop((0, 0, 128, 128)), "PNG"))

    result = cut(tmp_path / "in", tile=64)

    assert result.added_total == 4
    assert [image.id for image in shown()] == [item["id"] for item in result.added]


def test_a_removed_tile_stays_removed_and_its_neighbours_keep_their_file(engine, home, photos, cut, shown, tmp_path):
    data = encoded(picture("coins", 128).crop((0, 0, 128, 128)), "PNG")
    archive = write_zip(tmp_path / "slides.zip", {"a.png": data})
    cut(archive, tile=64)
    first, *others = shown()

    remove(engine, home, photos, [first.id])
    result = cut(archive, tile=32)
    cut(archive, tile=64)

    assert result.added_total == 16
    assert first.id not in [image.id for image in shown()]
    assert all(read_original(engine, home, image) for image in others)


def test_tiles_of_a_deep_picture_are_stretched_alike(tmp_path):
    ramp = np.linspace(1000, 3000, 128 * 64).reshape(64, 128).astype(np.uint16)

    left, right = (
        preview for _, preview in previews_of_parts(encoded(Image.fromarray(ramp), "TIFF"), "x", 320, 64, False)
    )

    means = [np.asarray(decode(preview.data, "x")).mean() for preview in (left, right)]
    assert means[0] < means[1]


def test_a_damaged_page_costs_the_file_and_says_so(cut, tmp_path):
    path = write_stack(tmp_path / "in" / "stack.tif")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])

    result = cut(tmp_path / "in", pages=True)

    assert result.added_total == 0
    assert len(result.refused) == 1


def phone_picture(turned: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0110] = turned, "Apple", "iPhone 15"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:31 18:30:00"
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 22.0, 30.0), 3: "W", 4: (8.0, 32.0, 24.0)})
    return encoded(picture("cat", 100), "HEIF", quality=90, exif=exif.tobytes())


def test_a_phones_heic_comes_in_with_date_camera_and_place_and_none_of_them_is_in_what_is_shown():
    data = phone_picture()

    small, large = make_preview(data, "x"), make_preview(data, "x", side=50)

    assert (small.format, small.taken_at, small.camera) == ("HEIF", "2024-05-31T18:30:00", "Apple iPhone 15")
    assert small.position == (47.375, -8.54)
    difference = np.asarray(decode(small.data, "x"), int) - np.asarray(picture("cat", 100), int)
    assert np.abs(difference).mean() < 6
    for shown in (small.data, large.data, make_rendition(data, "x")):
        assert b"Apple" not in shown
        assert b"Exif" not in shown
        assert not Image.open(io.BytesIO(shown)).getexif()


@pytest.mark.parametrize("turned", [1, 3, 6, 8])
def test_a_heic_held_in_any_way_has_the_size_of_its_upright_preview(turned):
    preview = make_preview(phone_picture(turned), "x")

    assert decode(preview.data, "x").size == (preview.width, preview.height)


def test_a_heic_cut_short_is_refused():
    with pytest.raises(CannotDecode):
        make_preview(phone_picture()[:-200], "x")


@pytest.mark.parametrize(
    ("gps", "place"),
    [
        ({1: "S", 2: (33.0, 52.0, 8.0), 3: "E", 4: (151.0, 12.0, 33.0)}, (-33.8688889, 151.2091667)),
        ({1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}, None),  # what a camera without a fix writes
        ({1: "N", 2: (95.0, 0.0, 0.0), 3: "E", 4: (8.0, 0.0, 0.0)}, None),
        ({1: "N", 3: "E"}, None),
    ],
)
def test_a_place_is_degrees_or_nothing(gps, place):
    exif = Image.Exif()
    exif.get_ifd(0x8825).update(gps)

    assert make_preview(encoded(picture("cat", 50), exif=exif), "x").position == place


def test_pictures_are_found_by_where_they_were_taken_and_how_they_were_held(engine, photos, bring, tmp_path):
    places = {"zurich": (47.4, 8.5), "sydney": (-33.9, 151.2), "fiji": (-17.8, 178.0), "samoa": (-13.8, -171.8)}
    (tmp_path / "in").mkdir()
    for name, (latitude, longitude) in places.items():
        exif = Image.Exif()
        exif.get_ifd(0x8825).update({
            1: "N" if latitude > 0 else "S", 2: (abs(latitude), 0.0, 0.0),
            3: "E" if longitude > 0 else "W", 4: (abs(longitude), 0.0, 0.0),
        })  # fmt: skip
        held = picture("cat", 60) if name != "fiji" else picture("cat", 60).rotate(90, expand=True)
        (tmp_path / "in" / f"{name}.jpg").write_bytes(encoded(held, exif=exif, quality=80 + len(name)))
    (tmp_path / "in" / "nowhere.jpg").write_bytes(encoded(picture("moon", 60)))
    bring(tmp_path / "in")

    def found(**wanted) -> set[str]:
        return {image.name[:-4] for image in get_images(engine, select_ids(engine, photos, Filter(**wanted)).tolist())}

    assert found(within="45,5,48,11") == {"zurich"}
    assert found(within="-90,-180,90,180") == set(places)
    assert found(within="-40,170,0,-160") == {"fiji", "samoa"}
    assert found(orientation="portrait") == {"fiji"}
    assert found(orientation="square") == {"nowhere"}
    for wrong in ("47", "a,b,c,d", "50,0,40,1", "0,0,95,0", "nan,0,1,1"):
        with pytest.raises(BadInput, match="is not an area"):
            found(within=wrong)
    with pytest.raises(BadInput, match="is not an orientation"):
        found(orientation="sideways")
