"""Near-duplicates: the same shot in other clothes is found, what only looks alike is not, and nothing is deleted."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from indexer import look as look_module
from indexer.catalog import create_collection
from indexer.columns import select_ids
from indexer.duplicates import dismiss, group
from indexer.filters import Filter
from indexer.images import all_ids, get_images
from indexer.look import look
from indexer.removal import remove
from indexer.traits import TraitStore
from model.alike import fit, same_part, same_shot, thumb
from model.errors import BadInput, Cancelled
from model.images import decode
from model.landmarks import landmarks, scaled
from tests.indexer.helpers import tree
from tests.pictures import NAMES, encoded, picture

SCENES = ("astronaut", "cat", "coffee", "rocket", "temple", "flower")


def cropped(image, left, top, right, bottom):
    width, height = image.size
    return image.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))


def halved(image):
    return image.resize((image.width // 2, image.height // 2))


def brighter(image):
    return ImageEnhance.Color(ImageEnhance.Brightness(image).enhance(1.15)).enhance(0.85)


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
    "cropped to three quarters at a corner": lambda image: encoded(cropped(image, 0.25, 0.25, 1.0, 1.0)),
    "cropped at a corner and halved": lambda image: encoded(halved(cropped(image, 0.0, 0.25, 0.75, 1.0))),
    "cropped at a corner, at quality 60": lambda image: encoded(cropped(image, 0.25, 0.0, 1.0, 0.75), quality=60),
    "cropped at a corner and brighter": lambda image: encoded(brighter(cropped(image, 0.0, 0.0, 0.75, 0.75))),
    "cropped at a corner, brighter, halved, at quality 60": lambda image: encoded(
        halved(brighter(cropped(image, 0.25, 0.25, 1.0, 1.0))), quality=60
    ),
    "cropped to wide": lambda image: encoded(cropped(image, 0.0, 0.12, 1.0, 0.88)),
}


def known(first, second):
    """Whether two files show one shot, by the same steps as a look."""
    greys = [scaled(decode(data, "x")) for data in (first, second)]
    if same_shot(*(thumb(grey)[np.newaxis] for grey in greys))[0]:
        return True
    where = fit(*(landmarks(grey) for grey in greys))
    return where is not None and same_part(*greys, where)


@pytest.mark.parametrize("change", CLOTHES.values(), ids=CLOTHES)
def test_the_same_shot_is_known_in_other_clothes_from_either_side(change):
    pairs = [(encoded(picture(name, 320)), change(picture(name, 320))) for name in SCENES]

    assert [known(first, second) for first, second in pairs] == [True] * len(SCENES)
    assert [known(second, first) for first, second in pairs] == [True] * len(SCENES)


def test_different_pictures_are_not_one_shot():
    files = [encoded(picture(name, 200)) for name in NAMES]

    wrong = [(NAMES[i], NAMES[j]) for i in range(len(NAMES)) for j in range(i) if known(files[i], files[j])]

    assert wrong == []


def test_a_shot_in_which_something_else_lies_is_another():
    one = picture("coffee", 200)
    other = one.copy()
    other.paste(picture("cat", 200).resize((90, 90)), (100, 60))

    assert not known(encoded(one), encoded(other))


def test_parts_that_share_less_than_half_are_not_one_shot():
    whole = picture("temple", 320)
    left, right = cropped(whole, 0, 0, 0.6, 1), cropped(whole, 0.4, 0, 1, 1)

    assert not known(encoded(left), encoded(right))


def test_flat_pictures_are_like_nothing():
    flat = Image.new("RGB", (64, 64), (200, 200, 200))

    assert not known(encoded(flat), encoded(flat))


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
    pairs, _ = look(engine, home, np.array(list(ids.values())), rows)
    return ids, [(int(first), int(second)) for first, second in pairs]


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


def test_what_a_removed_image_alone_connected_is_no_group(engine, home, photos, ids):
    left, whole, right = ids[:3]
    pairs = [(left, whole), (whole, right)]
    before = group(engine, photos, pairs)

    remove(engine, home, photos, [whole])

    assert [{image.id for image in members} for members in before] == [{left, whole, right}]
    assert group(engine, photos, pairs) == []


def test_only_images_of_the_collection_can_be_called_distinct(engine, photos, brought):
    ids, _ = brought
    other = create_collection(engine, "other")

    for collection, chosen in ((other, list(ids.values())), (photos, [1]), (photos, [1, 1]), (photos, [1, 99])):
        with pytest.raises(BadInput, match="two or more images"):
            dismiss(engine, collection, chosen)


def test_no_images_have_no_duplicates(engine, home):
    pairs, looked = look(engine, home, np.zeros(0, np.int64), np.zeros((0, 8), np.float32))

    assert (len(pairs), len(looked.ids)) == (0, 0)


@pytest.fixture
def shots(engine, home, photos, bring, tmp_path):
    """Brings pictures by name → bytes, and looks: among which images, and with which vectors, does not matter here."""

    def run(files, before=None, **options):
        folder = tmp_path / f"in {len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        bring(folder)
        images = {image.name: image.id for image in get_images(engine, all_ids(engine, photos).tolist())}
        vectors = np.eye(max(len(images), 2), dtype=np.float32)[: len(images)]  # no vector is near another
        pairs, looked = look(engine, home, np.array(list(images.values())), vectors, before, **options)
        names = {image_id: name for name, image_id in images.items()}
        return {frozenset(names[int(image_id)] for image_id in pair) for pair in pairs}, looked

    return run


def originals(*names):
    return {f"{name}.jpg": encoded(picture(name, 320)) for name in names}


def test_a_crop_is_found_whatever_the_vectors_say(shots):
    corner = CLOTHES["cropped to three quarters at a corner"](picture("cat", 320))

    pairs, _ = shots({**originals("cat", "rocket", "coffee", "temple"), "corner.jpg": corner})

    assert pairs == {frozenset({"cat.jpg", "corner.jpg"})}


def test_a_second_look_finds_what_is_new_among_all_and_does_not_look_at_the_others_again(shots, monkeypatch):
    first, looked = shots({**originals("cat", "rocket", "coffee"), "cat small.jpg": CLOTHES["resized"](picture("cat"))})
    made, asked = [], []
    traits, near = look_module.traits_of, look_module.fit
    monkeypatch.setattr(look_module, "traits_of", lambda data, name: made.append(name) or traits(data, name))
    monkeypatch.setattr(look_module, "fit", lambda one, other: asked.append(one) or near(one, other))

    second, again = shots({"rocket wide.jpg": CLOTHES["cropped to wide"](picture("rocket", 320))}, looked)
    compared = len(asked)
    third, _ = shots({}, again)

    assert first == {frozenset({"cat.jpg", "cat small.jpg"})}
    assert (second, third) == ({frozenset({"rocket.jpg", "rocket wide.jpg"})}, set())
    assert made == ["rocket wide.jpg"]
    assert 1 <= compared == len(asked) <= 4


def test_a_look_that_is_stopped_says_so_and_keeps_the_traits_it_made(shots, home, monkeypatch):
    lines = []

    def stop():
        return bool(lines) and lines[-1].name == "duplicates_sorting"

    with pytest.raises(Cancelled, match="Stopped while looking"):
        shots(originals("cat", "rocket"), stop=stop, progress=lambda share, line: lines.append(line))
    monkeypatch.setattr(look_module, "traits_of", None)  # nothing is to be made again
    pairs, looked = shots({})

    assert (pairs, len(looked.ids)) == (set(), 2)


def test_a_look_can_be_stopped_while_the_landmarks_of_many_are_read(shots, monkeypatch):
    lines = []
    monkeypatch.setattr(look_module.LandmarkIndex, "like", None)  # it is not to come so far

    with pytest.raises(Cancelled):
        shots(
            originals("cat", "rocket"),
            stop=lambda: bool(lines) and lines[-1].name == "duplicates_sorting",
            progress=lambda share, line: lines.append(line),
        )


@pytest.mark.parametrize("said", [2, 3], ids=["as thumbs are read", "as they are compared"])
def test_a_look_can_be_stopped_while_whole_pictures_are_compared(shots, engine, home, photos, monkeypatch, said):
    shots(originals("cat", "rocket"))
    ids, near, lines = all_ids(engine, photos), np.ones((2, 1), np.float32), []
    monkeypatch.setattr(look_module, "same_shot", None)  # it is not to come so far

    with pytest.raises(Cancelled):
        look(
            engine, home, ids, near,
            stop=lambda: [line.name for line in lines].count("duplicates_near") == said,
            progress=lambda share, line: lines.append(line),
        )  # fmt: skip


def test_progress_never_goes_back_and_ends_before_all_is_said(shots):
    shares = []

    shots(originals("cat", "rocket", "coffee"), progress=lambda share, line: shares.append(share))

    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] < 1


def test_what_a_restored_home_lacks_is_made_again_when_it_is_needed(shots, home):
    _, looked = shots(originals("cat", "rocket"))
    for file in home.root.glob("traits.db*"):
        file.unlink()

    pairs, _ = shots({"corner.jpg": CLOTHES["cropped to three quarters at a corner"](picture("cat", 320))}, looked)

    assert pairs == {frozenset({"cat.jpg", "corner.jpg"})}


def test_an_unreadable_preview_costs_only_itself_and_is_looked_at_once_it_is_back(shots, engine, home, photos, bring):
    corner = CLOTHES["cropped to three quarters at a corner"](picture("cat", 320))
    files = {**originals("cat", "rocket"), "corner.jpg": corner}
    bring_only = shots({})[1]
    previews = []

    def lose(share, line):
        if not previews:
            [image] = [x for x in get_images(engine, all_ids(engine, photos).tolist()) if x.name == "corner.jpg"]
            path = home.preview(image.sha256, image.preview_suffix)
            previews.append((path, path.read_bytes()))
            path.unlink()

    pairs, looked = shots(files, bring_only, progress=lose)
    previews[0][0].write_bytes(previews[0][1])
    later, again = shots({}, looked)

    assert (pairs, len(looked.ids)) == (set(), 2)
    assert (later, len(again.ids)) == ({frozenset({"cat.jpg", "corner.jpg"})}, 3)


def test_a_removed_picture_leaves_no_traits(shots, engine, home, photos):
    shots(originals("cat", "rocket"))
    [cat] = [image for image in get_images(engine, all_ids(engine, photos).tolist()) if image.name == "cat.jpg"]
    before = TraitStore(home.traits).known([cat.sha256])

    remove(engine, home, photos, [cat.id])

    assert (before, TraitStore(home.traits).known([cat.sha256])) == ({cat.sha256}, set())


HARM = {
    "something else": lambda path: path.write_bytes(b"no database " * 4096),
    "torn": lambda path: path.write_bytes(path.read_bytes()[: 2 << 14]),
    "overwritten": lambda path: path.write_bytes(path.read_bytes()[: 1 << 14].ljust(path.stat().st_size, b"\x99")),
    "half made": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_a_look_makes_a_damaged_cache_of_traits_anew(shots, home, harm):
    _, looked = shots(originals("cat", "rocket"))
    harm(home.traits)

    pairs, again = shots({"corner.jpg": CLOTHES["cropped to three quarters at a corner"](picture("cat", 320))}, looked)

    assert (pairs, len(again.ids)) == ({frozenset({"cat.jpg", "corner.jpg"})}, 3)


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_a_damaged_cache_of_traits_hinders_no_removal(shots, engine, home, photos, harm):
    shots(originals("cat", "rocket"))
    [cat] = [image for image in get_images(engine, all_ids(engine, photos).tolist()) if image.name == "cat.jpg"]
    harm(home.traits)

    assert remove(engine, home, photos, [cat.id]) == 1
    assert not TraitStore(home.traits).known([cat.sha256])
