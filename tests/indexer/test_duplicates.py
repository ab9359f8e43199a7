"""Near-duplicates: the same shot in other clothes is found, what only looks alike is not, and nothing is deleted."""

import numpy as np
import pytest
from PIL import ImageEnhance, ImageOps

from indexer.catalog import create_collection
from indexer.columns import select_ids
from indexer.duplicates import dismiss, find_pairs, group
from indexer.filters import Filter
from indexer.removal import remove
from model.alike import same_shot, thumb
from model.errors import BadInput
from tests.indexer.helpers import tree
from tests.pictures import NAMES, encoded, picture

SCENES = ("astronaut", "cat", "coffee", "rocket", "temple", "flower")


def cropped(image, left, top, right, bottom):
    width, height = image.size
    return image.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))


CLOTHES = {
    "resized": lambda image: encoded(image.resize((image.width // 2, image.height // 2))),
    "re-encoded": lambda image: encoded(image, quality=20),
    "another format": lambda image: encoded(image, "WEBP", quality=60),
    "brighter": lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.2)),
    "less contrast": lambda image: encoded(ImageEnhance.Contrast(image).enhance(0.6)),
    "grey": lambda image: encoded(ImageOps.grayscale(image)),
    "other colours": lambda image: encoded(ImageEnhance.Color(image).enhance(2.0)),
    "cropped a little": lambda image: encoded(cropped(image, 0.05, 0.1, 0.95, 1.0)),
    "cropped to a quarter less": lambda image: encoded(cropped(image, 0.1, 0.05, 0.85, 0.8)),
    "cropped to wide": lambda image: encoded(cropped(image, 0.0, 0.12, 1.0, 0.88)),
}


@pytest.mark.parametrize("change", CLOTHES.values(), ids=CLOTHES)
def test_the_same_shot_is_known_in_other_clothes(change):
    known = [
        same_shot(thumb(encoded(picture(name, 320)), "x"), thumb(change(picture(name, 320)), "x")) for name in SCENES
    ]

    assert sum(known) >= len(SCENES) - 1


def test_different_pictures_are_not_one_shot():
    thumbs = [thumb(encoded(picture(name, 200)), "x") for name in NAMES]

    wrong = [(NAMES[i], NAMES[j]) for i in range(len(NAMES)) for j in range(i) if same_shot(thumbs[i], thumbs[j])]

    assert wrong == []


def test_flat_pictures_are_like_nothing():
    flat = np.full((32, 32), 200, np.uint8)

    assert not same_shot(flat, flat)


@pytest.fixture
def brought(engine, home, photos, bring, tmp_path):
    """Two shots with copies in other clothes, and one without: name → id, and the pairs among them."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, data in {
        "cat small.jpg": CLOTHES["resized"](picture("cat", 300)),
        "cat.jpg": encoded(picture("cat", 300)),
        "cat wide.jpg": CLOTHES["cropped to wide"](picture("cat", 300)),
        "rocket grey.jpg": CLOTHES["grey"](picture("rocket", 200)),
        "rocket.jpg": encoded(picture("rocket", 200)),
        "alone.jpg": encoded(picture("coffee", 200)),
    }.items():
        (folder / name).write_bytes(data)
    ids = {item["name"]: item["id"] for item in bring(folder).added}
    shots = np.eye(8, dtype=np.float32)
    vectors = {"cat": shots[0], "roc": shots[1], "alo": (shots[0] + 0.3 * shots[2])}  # the last is near the cats
    rows = np.stack([vectors[name[:3]] for name in ids])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return ids, find_pairs(engine, home, np.array(list(ids.values())), rows)


def names(groups):
    return [[image.name for image in members] for members in groups]


def test_groups_have_the_best_on_top_and_nothing_of_the_users_is_touched(engine, photos, brought, tmp_path):
    before = tree(tmp_path / "in")

    groups = group(engine, photos, brought[1])

    assert [members[0] for members in names(groups)] == ["cat.jpg", "rocket.jpg"]
    assert [set(members) for members in names(groups)] == [
        {"cat.jpg", "cat small.jpg", "cat wide.jpg"}, {"rocket.jpg", "rocket grey.jpg"},
    ]  # fmt: skip
    assert tree(tmp_path / "in") == before
    assert len(select_ids(engine, photos, Filter())) == 6


def test_what_was_called_distinct_is_remembered(engine, photos, brought):
    ids, pairs = brought
    rockets = [ids["rocket.jpg"], ids["rocket grey.jpg"]]

    first, second = dismiss(engine, photos, rockets), dismiss(engine, photos, rockets[::-1])

    assert (first, second) == (1, 0)
    assert [members[0] for members in names(group(engine, photos, pairs))] == ["cat.jpg"]


def test_a_removed_image_leaves_its_group(engine, home, photos, brought):
    ids, pairs = brought

    remove(engine, home, photos, [ids["rocket.jpg"], ids["cat.jpg"]])

    assert [set(members) for members in names(group(engine, photos, pairs))] == [{"cat small.jpg", "cat wide.jpg"}]


def test_only_images_of_the_collection_can_be_called_distinct(engine, photos, brought):
    ids, _ = brought
    other = create_collection(engine, "other")

    for collection, chosen in ((other, list(ids.values())), (photos, [1]), (photos, [1, 1]), (photos, [1, 99])):
        with pytest.raises(BadInput, match="two or more images"):
            dismiss(engine, collection, chosen)


def test_no_images_have_no_duplicates(engine, home):
    assert find_pairs(engine, home, np.zeros(0, np.int64), np.zeros((0, 8), np.float32)) == []
