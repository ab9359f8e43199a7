"""A small JPEG is its own preview: the same pixels, and nothing of what stood beside them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from model import shipped
from model.encoder import Encoder, open_encoder
from model.images import OWN_BYTES, decode, make_preview
from model.info import Preparation
from model.jpeg import pixels_alone
from tests.pictures import encoded, jpeg, picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
WRITTEN = {
    "as usual": {},
    "colour at full size": {"subsampling": 0},
    "restarts": {"restart_marker_blocks": 7},
    "tables of its own": {"optimize": True},
    "a colour profile": {"icc_profile": SRGB},
    "RGB, said by Adobe's segment": {"keep_rgb": True},
    "no JFIF": {"exif": Image.Exif().tobytes()},
    "a comment": {"comment": b"a secret"},
}


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode(data, "x"))


@pytest.mark.parametrize("options", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_preview_of_a_small_jpeg_has_its_very_pixels(mode, options):
    original = encoded(picture("cat", 200).convert(mode), "JPEG", **options)

    preview = make_preview(original, "x")

    assert preview.suffix == "jpg"
    np.testing.assert_array_equal(pixels(preview.data), pixels(original))
    assert preview.data == pixels_alone(preview.data)  # there was nothing left to take away


def test_nothing_from_beside_the_pixels_is_kept_but_the_colour_profile():
    exif = Image.Exif()
    exif[0x010E] = "a secret"
    data = encoded(picture("cat", 200), exif=exif, comment=b"a secret", icc_profile=SRGB)
    photoshop = b"\xff\xed\x00\x0ca secret  " + b"\xff\xed\x00\x1cAdobe_Photoshop2.5:a secret"
    photoshop += b"\xff\xee\x00\x16Adobe\x00\x64\x00\x00\x00\x00\x01a secret"
    thumbnail = b"\xff\xe0\x00\x1aJFXX\x00\x13\x01\x01a secret  a secret"[:28]
    data = data[:2] + photoshop + thumbnail + data[2:] + b"a secret behind the end"

    preview = make_preview(data, "x")

    assert b"secret" not in preview.data
    assert Image.open(io.BytesIO(preview.data)).info["icc_profile"] == SRGB
    np.testing.assert_array_equal(pixels(preview.data), pixels(data))


def test_the_same_pixels_with_other_notes_are_the_same_preview():
    exif = Image.Exif()
    exif[0x4746] = 5  # stars
    plain, rated = encoded(picture("cat", 200)), encoded(picture("cat", 200), exif=exif, comment=b"the best")

    assert make_preview(plain, "x").data == make_preview(rated, "x").data


@pytest.mark.parametrize("why", ["turned", "large", "many bytes", "progressive", "CMYK"])
def test_other_jpegs_are_encoded_anew(why):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8))
    data = {
        "turned": lambda: encoded(picture("cat", 200), exif=exif),
        "large": lambda: encoded(picture("cat", 641), quality=30),
        "many bytes": lambda: encoded(noise, quality=90),
        "progressive": lambda: encoded(picture("cat", 200), progressive=True),
        "CMYK": lambda: encoded(picture("cat", 200).convert("CMYK")),
    }[why]()

    preview = make_preview(data, "x")

    assert preview.data != pixels_alone(data)
    assert why != "many bytes" or len(pixels_alone(data)) > OWN_BYTES
    assert np.abs(pixels(preview.data).mean((0, 1)) - pixels(data).mean((0, 1))).max() < 2


@pytest.mark.parametrize("fit", ["centre", "squeeze"])
@pytest.mark.parametrize("options", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("side", [60, 150, 301, 500, 900])  # own at full size, at half and a quarter; and made smaller
def test_the_square_that_import_makes_is_the_one_that_its_preview_gives(side, options, fit):
    preparation = Preparation(96, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), fit)
    image = picture("cat", side)
    turned = Image.Exif()
    turned[0x0112] = 6
    files = [encoded(image, "JPEG", **options), encoded(image.convert("L"), "JPEG", **options)]
    files += [encoded(image, "JPEG", exif=turned), encoded(image, "PNG"), encoded(image, "JPEG", progressive=True)]

    for data in files:
        made = make_preview(data, "x", squared=preparation.square_of)

        np.testing.assert_array_equal(made.square, preparation.square(made.data, "x"))


def _of_two_scans(data: bytes) -> bytes:
    """The same picture, whose scan says that it is of one of the three components: libjpeg waits for the others."""
    alone = pixels_alone(data)
    assert alone is not None
    at = alone.index(b"\xff\xda\x00\x0c\x03")
    one = b"\xff\xda\x00\x08\x01" + alone[at + 5 : at + 7] + alone[at + 11 : at + 14]
    return alone[:at] + one + alone[at + 14 :]


def test_a_scan_of_some_components_is_not_taken():
    assert pixels_alone(_of_two_scans(encoded(picture("cat", 200)))) is None


@pytest.mark.parametrize("hidden", [b"\xff\xfe\x00\x0aa secret", b"\xff\xe1\x00\x10Exif\x00\x00a secret"])
def test_what_stands_between_the_pixels_and_the_end_is_not_kept(hidden):
    plain = encoded(picture("cat", 200))
    data = plain[:-2] + hidden + plain[-2:]

    preview = make_preview(data, "x")

    assert pixels_alone(data) is None
    assert b"secret" not in preview.data
    np.testing.assert_array_equal(pixels(preview.data), pixels(plain))


@pytest.fixture(scope="module")
def shipped_encoder(tmp_path_factory) -> Encoder:
    info = shipped.bring_into(models := tmp_path_factory.mktemp("models"))
    if info is None:
        pytest.skip("no encoder in model/default: scripts/train_default makes it")
    return open_encoder(models / info.fingerprint, "cpu")


def test_a_web_size_picture_gives_the_vector_it_gave_when_previews_were_made_smaller(shipped_encoder):
    for name in ("cat", "temple", "flower", "rocket", "coffee", "motorcycle"):
        data = encoded(picture(name, 375), quality=85)
        own = make_preview(data, "x")
        smaller = make_preview(encoded(decode(data, "x"), "PNG"), "x")  # a PNG of the same pixels is made smaller

        squares = np.stack([shipped_encoder.square(each.data, "x") for each in (own, smaller)])
        one, other = shipped_encoder.encode(squares)

        assert decode(own.data, "x").height == 375
        assert decode(smaller.data, "x").height == 320
        assert one @ other >= 0.999, name


def test_whatever_happens_to_its_bytes_what_is_left_is_the_same_picture_or_not_taken():
    rng = np.random.default_rng(20261130)
    sound = [
        jpeg("cat", 60),
        encoded(picture("cat", 60), restart_marker_blocks=3),
        encoded(picture("cat", 60), exif=b"Exif\0\0x"),
    ]
    taken = same = 0

    for turn in range(600):
        data = bytearray(sound[turn % len(sound)])
        for at in rng.integers(0, len(data) if turn % 2 else 700, size=1 + turn % 4):
            data[at] = rng.integers(0, 256)
        if turn % 5 == 0:
            del data[int(rng.integers(len(data))) :]
        alone = pixels_alone(bytes(data))
        if alone is None:
            continue
        taken += 1
        before, after = (_outcome(each) for each in (bytes(data), alone))
        same += before is not None
        assert (before is None and after is None) or np.array_equal(before, after)

    assert taken > same > 100


def _outcome(data: bytes) -> np.ndarray | None:
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            return np.asarray(image.convert("RGB"))
    except Exception:
        return None
