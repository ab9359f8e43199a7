"""Promises 22 and 31: what comes in as a picture, and what goes out as one."""

import io
import re

import pytest
from PIL import Image

from tests.odd import odd_files
from tests.pictures import encoded, jpeg, picture

SCRIPT = b"<script>alert(1)</script>"
BAD = {odd.name.decode()[4:]: odd.data for odd, _ in zip(odd_files(7), range(24)) if odd.good is False}  # noqa: B905
TWO_THINGS = {
    "html before a picture": b"<!doctype html>" + SCRIPT + jpeg(),
    "a zip before a picture": b"PK\x03\x04" + jpeg(),
    "a pdf before a picture": b"%PDF-1.7\n" + jpeg(),
    "half a picture, then html": jpeg()[: len(jpeg()) // 2] + SCRIPT,
    "a gif that is a script": b"GIF89a=1;" + SCRIPT,
}
TAILED = {
    "html behind it": jpeg() + SCRIPT,
    "html in its comment": encoded(picture("cat", 90), comment=SCRIPT),
    "html in its EXIF": encoded(picture("cat", 90), exif=b"Exif\0\0" + SCRIPT),
    "a zip behind it": jpeg() + b"PK\x05\x06" + b"\0" * 18,
}
TORN = {"baseline": jpeg()[:-1], "progressive": encoded(picture("cat", 90), progressive=True)[:-1]}
QUERIES, PREDICT = "/v1/collections/photos/queries", "/v1/collections/photos/predict"


@pytest.mark.promise(22)
@pytest.mark.parametrize("data", [*BAD.values(), *TWO_THINGS.values()], ids=[*BAD, *TWO_THINGS])
def test_promise_22_what_is_no_picture_is_422_without_a_path_or_a_traceback(server, data, record_property):
    record_property("requests sent", 2)

    answer = server.client.post(QUERIES, files={"file": ("../../etc/cat.jpg", data, "image/jpeg")})
    predicted = server.client.post(PREDICT, files={"files": ("cat.jpg", data)})

    said = answer.json()
    assert (answer.status_code, said["error"]) == (422, "CannotDecode")
    assert len(said["request_id"]) == 16
    assert predicted.status_code == 200
    assert predicted.json()["predictions"][0]["error"]
    for text in (answer.text, predicted.text):
        assert str(server.home) not in text
        assert "Traceback" not in text
        assert "<_io.BytesIO" not in text  # what Pillow likes to say
        assert not re.search("0x[0-9a-f]{6}", text)


@pytest.mark.promise(22, 31)
@pytest.mark.parametrize("data", TAILED.values(), ids=TAILED)
def test_promise_22_of_a_picture_that_is_something_else_too_only_the_picture_is_kept(server, data, record_property):
    record_property("requests sent", 2)

    made = server.client.post(QUERIES, files={"file": ("cat.html", data, "text/html")}).json()
    shown = server.client.get(made["preview"])

    assert shown.headers["content-type"] in ("image/jpeg", "image/png")
    assert b"script" not in shown.content
    assert b"PK\x05\x06" not in shown.content
    Image.open(io.BytesIO(shown.content)).verify()


@pytest.mark.promise(31)
@pytest.mark.parametrize("kind", ["preview", "rendition", "original"])
def test_promise_31_every_address_of_a_picture_is_inert(server, kind):
    answer = server.client.get(f"/v1/images/1/{kind}")

    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    if kind == "original":
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == "attachment"
    else:
        assert answer.headers["content-type"].startswith("image/")


@pytest.mark.promise(31)
def test_promise_31_where_a_picture_was_taken_is_in_nothing_that_is_shown(server):
    exif = Image.Exif()
    exif[0x010F] = "Secret Camera"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 0.0), 3: "E", 4: (13.0, 24.0, 0.0)})
    data = encoded(picture("cat", 400), exif=exif, comment=b"secret place")
    assert b"Secret Camera" in data

    made = server.client.post(QUERIES, files={"file": ("cat.jpg", data)}).json()
    shown = server.client.get(made["preview"]).content

    assert b"Exif" not in shown
    assert b"ecret" not in shown
    assert dict(Image.open(io.BytesIO(shown)).getexif()) == {}


@pytest.mark.promise(22)
@pytest.mark.parametrize("data", TORN.values(), ids=TORN)
def test_promise_22_a_picture_of_which_only_the_end_is_torn_off_is_a_picture(server, data, record_property):
    record_property("requests sent", 2)

    made = server.client.post(QUERIES, files={"file": ("cat.jpg", data, "image/jpeg")}).json()
    predicted = server.client.post(PREDICT, files={"files": ("cat.jpg", data)}).json()["predictions"][0]

    assert server.client.get(made["preview"]).status_code == 200
    assert predicted.get("error") is None
