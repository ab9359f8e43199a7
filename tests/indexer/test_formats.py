"""Bytes → preview: what an import makes of every kind of file."""

import io
import re
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from model.errors import CannotDecode
from model.images import FORMATS, MAX_PIXELS, decode, make_preview, make_rendition
from tests.pictures import encoded, jpeg, picture

TURNED = {  # EXIF orientation → how the stored picture differs from the upright one
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def difference(image: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures in grey levels, 0 to 255; any two different photographs are 40 or more apart."""
    return float(np.abs(np.asarray(image, np.float32) - np.asarray(other.convert("RGB"), np.float32)).mean())


@pytest.fixture(scope="module")
def upright() -> Image.Image:
    """A photograph that no turn or mirror leaves as it is, 150 x 100."""
    return picture("cat", 100).crop((0, 0, 150, 100))


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_picture_held_in_any_way_becomes_an_upright_preview(upright, format, orientation):
    turn, exif = TURNED[orientation], Image.Exif()
    exif[0x0112] = orientation
    held = upright if turn is None else upright.transpose(turn)

    preview = make_preview(encoded(held, format, exif=exif), "x", side=40)

    assert (preview.width, preview.height, preview.format) == (150, 100, format)
    shown = opened(preview.data)
    assert shown.size == (60, 40)
    assert difference(shown, upright.resize((60, 40), Image.Resampling.LANCZOS)) < 6
    assert not shown.getexif()


@pytest.mark.parametrize("format", FORMATS)
def test_every_accepted_format_gives_the_picture(upright, format):
    preview = make_preview(encoded(upright, format), "x")

    assert (preview.format, preview.width, preview.height) == (format, 150, 100)
    assert preview.suffix == ("jpg" if format == "JPEG" else "png")
    assert difference(opened(preview.data), upright) < (15 if format == "GIF" else 5)  # a GIF has 256 colours


def test_what_is_not_accepted_is_refused_by_content_whatever_its_name(upright):
    for format in ("PPM", "ICO", "TGA", "PCX"):
        with pytest.raises(CannotDecode, match="not a picture in a format we read"):
            make_preview(encoded(upright, format), "x.jpg")


def test_a_png_named_jpg_is_a_png(upright):
    assert make_preview(encoded(upright, "PNG"), "x.jpg").format == "PNG"


@pytest.mark.parametrize(
    ("size", "expected", "suffix"),
    [
        ((640, 480), (427, 320), "jpg"),
        ((480, 640), (320, 427), "jpg"),
        ((321, 321), (320, 320), "jpg"),
        ((1000, 100), (1000, 100), "png"),
        ((320, 500), (320, 500), "png"),
        ((1, 1), (1, 1), "png"),
        ((1, 10_000), (1, 10_000), "png"),
        ((5000, 330), (4848, 320), "jpg"),
    ],
)
def test_the_shorter_side_of_a_preview_is_320_and_nothing_is_ever_enlarged(size, expected, suffix):
    original = picture("coffee").resize(size)

    preview = make_preview(encoded(original, "WEBP"), "x")

    assert (preview.width, preview.height) == size
    assert (opened(preview.data).size, preview.suffix) == (expected, suffix)


def test_a_small_picture_is_kept_without_loss(upright):
    preview = make_preview(encoded(upright, "PNG"), "x")

    assert opened(preview.data).tobytes() == upright.tobytes()


def test_a_large_picture_looks_the_same_in_its_preview():
    original = picture("astronaut")

    preview = make_preview(encoded(original, "PNG"), "x")

    assert difference(opened(preview.data), original.resize((320, 320), Image.Resampling.LANCZOS)) < 2


def test_a_jpeg_decoded_at_a_smaller_scale_gives_nearly_the_preview_of_the_whole():
    original = picture("astronaut").resize((2600, 2600), Image.Resampling.BICUBIC)

    scaled = make_preview(encoded(original, "JPEG", quality=95), "x")
    whole = make_preview(encoded(original, "PNG", compress_level=1), "x")

    assert difference(opened(scaled.data), opened(whole.data)) < 2


def test_transparency_becomes_white(upright):
    with_alpha = upright.convert("RGBA")
    with_alpha.putalpha(Image.new("L", upright.size, 0))
    palette = upright.quantize(16)
    palette.info["transparency"] = palette.getpixel((0, 0))

    for data in (encoded(with_alpha, "PNG"), encoded(with_alpha, "WEBP", lossless=True, exact=True)):
        assert opened(make_preview(data, "x").data).getextrema() == ((255, 255),) * 3
    shown = opened(make_preview(encoded(palette, "PNG"), "x").data)
    assert shown.getpixel((0, 0)) == (255, 255, 255)
    assert shown.getextrema() != ((255, 255),) * 3


def test_sixteen_bit_and_float_pictures_are_stretched_to_be_seen(upright):
    grey = np.asarray(upright.convert("L"), np.float32)
    deep = Image.fromarray((grey * 4 + 1000).astype(np.uint16))  # a faint picture, as from a microscope
    floating = Image.fromarray(grey / 1e6)

    for data in (encoded(deep, "PNG"), encoded(deep, "TIFF"), encoded(floating, "TIFF")):
        shown = np.asarray(opened(make_preview(data, "x").data))
        assert shown.min() == 0
        assert shown.max() == 255
        assert np.corrcoef(shown[..., 0].ravel(), grey.ravel())[0, 1] > 0.99


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_floats_near_the_largest_and_what_is_no_number_are_stretched_without_overflow(upright):
    grey = np.asarray(upright.convert("L"), np.float32)
    values = (grey / 127.5 - 1) * np.float32(3.3e38)  # from -3.3e38 to 3.3e38: the difference is no float32
    values[:2, :3] = np.inf, -np.inf, np.nan

    shown = np.asarray(opened(make_preview(encoded(Image.fromarray(values), "TIFF"), "x").data))

    assert (shown.min(), shown.max()) == (0, 255)
    assert np.corrcoef(shown[2:, :, 0].ravel(), grey[2:].ravel())[0, 1] > 0.99


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "P", "LA", "YCbCr"])
def test_every_colour_mode_becomes_the_picture_in_rgb(upright, mode):
    converted = upright.convert(mode)

    preview = make_preview(encoded(converted, "PNG" if mode in ("1", "P", "LA") else "JPEG", quality=95), "x")

    shown = opened(preview.data)
    assert shown.mode == ("L" if mode == "L" else "RGB")  # a grey JPEG is its own preview
    assert difference(shown.convert("RGB"), converted.convert("RGB")) < 5


def test_of_a_moving_picture_the_first_frame_is_kept(upright):
    frames = [upright, upright.rotate(180), upright.rotate(90)]

    for format in ("GIF", "WEBP", "PNG", "TIFF"):
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
        assert difference(opened(make_preview(data, "x").data), upright) < 15, format


def test_the_camera_and_the_time_are_read_and_nothing_of_them_stays_in_the_preview(upright):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "Canon EOS R5"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:31 18:30:00"
    exif.get_ifd(0x8825)[1] = "N"  # GPS
    exif[0x0112] = 1
    data = encoded(upright, "JPEG", exif=exif, comment=b"my secret note")

    small, large = make_preview(data, "x"), make_preview(data, "x", side=40)

    assert (small.taken_at, small.camera) == ("2024-05-31T18:30:00", "Canon EOS R5")
    for stored in (small.data, large.data, make_rendition(data, "x")):
        assert b"secret" not in stored
        assert b"Canon" not in stored
        assert b"Exif" not in stored


def test_a_comment_written_into_the_file_does_not_change_the_preview(upright):
    plain, commented = encoded(upright, "JPEG"), encoded(upright, "JPEG", comment=b"five stars")

    assert plain != commented
    for side in (40, 320):
        assert make_preview(plain, "x", side=side).data == make_preview(commented, "x", side=side).data


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0junk", b"Exif\0\0II*\0\x08\0\0\0\xff\xffjunk", b"<html><script>alert(1)</script>", b"Exif\0\0MM\0*"],
    ids=["junk", "too many entries", "HTML", "cut off"],
)
def test_a_picture_with_deformed_exif_is_a_picture_all_the_same(upright, exif):
    preview = make_preview(encoded(upright, "JPEG", exif=exif), "x")

    assert difference(opened(preview.data), upright) < 5
    assert (preview.taken_at, preview.camera) == (None, None)


@pytest.mark.parametrize("when", ["", "yesterday", "2024:13:40 25:61:61", "0000:00:00 00:00:00", "\0\0\0"])
def test_a_deformed_date_is_no_date(upright, when):
    exif = Image.Exif()
    exif[0x0132] = when

    assert make_preview(encoded(upright, "JPEG", exif=exif), "x").taken_at is None


def test_a_broken_colour_profile_does_not_lose_the_picture(upright):
    sound = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    for profile in (sound, sound[:40], b"junk"):
        preview = make_preview(encoded(upright, "PNG", icc_profile=profile), "x")
        assert difference(opened(preview.data), upright) == 0


TRUNCATED = encoded(picture("cat", 150), "JPEG")
BROKEN = {
    "empty": b"",
    "one byte": b"\xff",
    "text": b"Dear diary",
    "html": b"<!doctype html><img src=x>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "pdf": b"%PDF-1.7\n",
    "zip": b"PK\3\4" + b"\0" * 40,
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    **{f"JPEG cut at {tenth} tenths": TRUNCATED[: len(TRUNCATED) * tenth // 10] for tenth in range(1, 10)},
    **{
        f"{format} cut in half": data[: len(data) // 2]
        for format in FORMATS
        if (data := encoded(picture("cat", 99), format))
    },
}


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("side", [40, 150, 700, 1500])
def test_a_jpeg_of_which_only_the_end_is_torn_off_comes_in_as_it_was(side, progressive):
    data = encoded(picture("coffee", 400).resize((side * 3 // 2, side)), quality=90, progressive=progressive)
    sound = make_preview(data, "x")

    for short in (1, 2):
        preview = make_preview(data[:-short], "x")
        assert (preview.width, preview.height, preview.format) == (side * 3 // 2, side, "JPEG")
        assert difference(opened(preview.data), opened(sound.data)) == 0
        assert difference(opened(make_rendition(data[:-short], "x")), opened(make_rendition(data, "x"))) == 0


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("side", [700, 1500])
def test_a_jpeg_that_lacks_its_last_rows_comes_in_and_one_that_lacks_more_is_refused(side, progressive):
    data = encoded(picture("coffee", 400).resize((side * 3 // 2, side)), quality=90, progressive=progressive)

    nearly = make_preview(data[: -len(data) // 100], "x")

    assert difference(opened(nearly.data), opened(make_preview(data, "x").data)) < 2
    for share in (0.9, 0.5):
        with pytest.raises(CannotDecode, match="truncated"):
            make_preview(data[: int(share * len(data))], "x")


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("side", [150, 700])
def test_a_jpeg_with_zeros_in_place_of_its_end_is_as_torn_as_without_them(side, progressive):
    options = {"quality": 90, "progressive": progressive, "optimize": True}
    data = encoded(picture("coffee", 400).resize((side * 3 // 2, side)), **options)

    nearly = make_preview(data[:-2] + bytes(4096), "x")

    assert difference(opened(nearly.data), opened(make_preview(data, "x").data)) == 0
    for kept in (0.9, 0.5, 0.2):
        filled = data[: int(kept * len(data))].ljust(len(data), b"\0")
        for way in (make_preview, make_rendition, decode):
            with pytest.raises(CannotDecode, match="truncated"):
                way(filled, "x")


@pytest.mark.parametrize("rows", [1, 3])
def test_a_jpeg_that_was_torn_where_a_restart_interval_ends_is_refused_unless_it_is_nearly_whole(rows):
    data = encoded(picture("coffee", 400).resize((1050, 700)), quality=90, restart_marker_rows=rows)
    ends = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]

    nearly = make_preview(data[: ends[-1]], "x")

    assert difference(opened(nearly.data), opened(make_preview(data, "x").data)) < 4  # of up to 28 rows that are grey
    for end in ends[: -len(ends) // 8 : len(ends) // 8]:
        for behind in (0, 1, 2):  # with none, half or all of the marker
            with pytest.raises(CannotDecode, match="truncated"):
                make_preview(data[: end + behind], "x")


def test_a_jpeg_whose_codes_end_in_zeros_comes_in_without_its_end():
    flat = (encoded(Image.new("RGB", (side, 128), "grey"), quality=75) for side in range(16, 400))
    data = next(data for data in flat if data.endswith(b"\0\xff\xd9"))

    for end in (b"", bytes(512)):
        assert difference(decode(data[:-2] + end, "x"), decode(data, "x")) == 0


def test_zeros_behind_the_end_of_a_jpeg_are_no_damage():
    data = encoded(picture("coffee", 400), quality=90, optimize=True)

    assert difference(decode(data + bytes(4096), "x"), decode(data, "x")) == 0


def test_a_progressive_jpeg_that_lacks_whole_scans_is_refused():
    data = encoded(picture("coffee", 400), quality=90, progressive=True)
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]

    for scan in scans[1:]:
        cut = data[: data.rindex(b"\xff\xc4", 0, scan)] if b"\xff\xc4" in data[scan - 200 : scan] else data[:scan]
        with pytest.raises(CannotDecode, match="truncated"):
            make_preview(cut, "x")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow remarks on a TIFF before it gives up
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_with_a_reason_and_its_name(data):
    with pytest.raises(CannotDecode, match=r"album/cat\.jpg: .+"):
        make_preview(data, "album/cat.jpg")


def test_whatever_happens_to_its_bytes_a_file_is_a_picture_or_refused():
    rng = np.random.default_rng(20240531)
    sound = [encoded(picture("cat", 24), format) for format in FORMATS]
    refused = 0

    for turn in range(40 * len(sound)):
        data = bytearray(sound[turn % len(sound)])
        for at in rng.integers(0, len(data), size=1 + turn % 8):
            data[at] = rng.integers(0, 256)
        try:
            assert min(opened(make_preview(bytes(data), "x").data).size) >= 1
        except CannotDecode:
            refused += 1

    assert 0 < refused < 40 * len(sound)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and then holds nothing of it."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_picture_too_large_is_refused_by_its_header_and_takes_no_memory(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_header(60_000, 60_000))
    program = (
        "import resource, sys; from model.images import make_preview; from model.errors import CannotDecode\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: make_preview(open(sys.argv[1], 'rb').read(), 'bomb')\n"
        "except CannotDecode as error: print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )

    command = [sys.executable, "-c", program, str(tmp_path / "bomb.png")]
    said, megabytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    assert said == f"bomb: 60000x60000 is more than {MAX_PIXELS:,} pixels"
    assert int(megabytes) < 50


def test_a_text_chunk_that_explodes_is_refused():
    text = b"zTXtnote\0\0" + zlib.compress(b"\0" * (100 << 20), 9)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    sound = encoded(picture("cat", 24), "PNG")

    with pytest.raises(CannotDecode, match="x: "):
        make_preview(sound[:33] + chunk + sound[33:], "x")


def test_the_same_file_always_gives_the_same_preview():
    data = jpeg("rocket", 400)

    assert make_preview(data, "a") == make_preview(data, "b")
