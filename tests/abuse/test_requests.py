"""Promises 21 and 23: bodies over the limit, and requests that are none."""

import time

import pytest

from tests.abuse.server import head, status_of

IMAGES = "/v1/collections/photos/images"
FORM = "Content-Type: multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="files"; filename="%d.jpg"\r\n\r\nabc\r\n'
OVER = {
    "pictures": ("POST", IMAGES, FORM, 5 << 20),
    "pictures to predict": ("POST", "/v1/collections/photos/predict", FORM, 5 << 20),
    "a query": ("POST", "/v1/collections/photos/queries", FORM, 5 << 20),
    "a search": ("POST", "/v1/collections/photos/search", "Content-Type: application/json", 5 << 20),
    "labels": ("POST", "/v1/collections/photos/labels", "Content-Type: application/json", 5 << 20),
}


@pytest.mark.promise(21)
@pytest.mark.parametrize(("method", "path", "kind", "size"), OVER.values(), ids=OVER)
def test_promise_21_a_declared_body_over_the_limit_is_413_before_any_of_it_is_sent(
    server, method, path, kind, size, record_property
):
    record_property("requests sent", 1)

    heard = server.say(head(method, path, kind, f"Content-Length: {size}"))

    assert status_of(heard) == 413
    assert b'"error": "TooLarge"' in heard
    assert b"application/json" in heard


@pytest.mark.promise(21)
@pytest.mark.parametrize(("method", "path", "kind", "size"), OVER.values(), ids=OVER)
def test_promise_21_a_body_in_chunks_over_the_limit_is_413_and_the_handler_is_not_run(
    server, method, path, kind, size, record_property
):
    jobs = server.client.get("/v1/jobs").json()["total"]
    if "json" in kind:
        start = b'{"positive": [1], "x": "'
    else:
        start = PART[:-5] % 1
    chunk = b"%x\r\n%s\r\n"
    filling = chunk % (1 << 16, b"a" * (1 << 16)) * (size >> 16)
    record_property("requests sent", 1)

    heard = server.say(
        head(method, path, kind, "Transfer-Encoding: chunked") + chunk % (len(start), start) + filling + b"0\r\n\r\n"
    )

    assert status_of(heard) == 413
    assert server.client.get("/v1/jobs").json()["total"] == jobs
    assert server.leftovers() == []


@pytest.mark.promise(21)
def test_promise_21_a_client_that_sends_all_of_it_still_hears_413(server, record_property):
    record_property("requests sent", 1)

    answer = server.client.post(IMAGES, files={"files": ("big.jpg", b"x" * (6 << 20))})

    assert (answer.status_code, answer.json()["error"]) == (413, "TooLarge")


def multipart(body: bytes, *lines: str, kind: str = FORM) -> bytes:
    return head("POST", IMAGES, kind, f"Content-Length: {len(body)}", *lines) + body


def json(path: str, body: bytes) -> bytes:
    return head("POST", path, "Content-Type: application/json", f"Content-Length: {len(body)}") + body


DEFORMED = {
    "too many files": multipart(b"".join(PART % n for n in range(1200)) + b"--x--\r\n"),
    "too many fields": multipart(
        b"".join(b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n' % n for n in range(1200)) + b"--x--"
    ),
    "a field too long": multipart(
        b'--x\r\nContent-Disposition: form-data; name="f"\r\n\r\n' + b"a" * (2 << 20) + b"\r\n--x--\r\n"
    ),
    "no boundary": multipart(PART % 1, kind="Content-Type: multipart/form-data"),
    "another boundary": multipart(PART % 1 + b"--x--\r\n", kind="Content-Type: multipart/form-data; boundary=y"),
    "a boundary of 300 letters": multipart(PART % 1, kind="Content-Type: multipart/form-data; boundary=" + "b" * 300),
    "an empty boundary": multipart(PART % 1, kind="Content-Type: multipart/form-data; boundary="),
    "nothing": multipart(b""),
    "only an end": multipart(b"--x--\r\n"),
    "no name": multipart(b"--x\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--x--\r\n"),
    "no disposition": multipart(b"--x\r\nContent-Type: image/jpeg\r\n\r\nabc\r\n--x--\r\n"),
    "a head of a part without an end": multipart(b"--x\r\n" + b"A: " + b"b" * 100_000),
    "headers of a part": multipart(b"--x\r\n" + b"A: b\r\n" * 20_000 + b"\r\nabc\r\n--x--\r\n"),
    "garbage": multipart(bytes(range(256)) * 40),
    "json where a form is wanted": multipart(b"{}", kind="Content-Type: application/json"),
    "json that is none": json("/v1/collections", b"{'}"),
    "json too deep": json("/v1/collections", b"[" * 100_000),
    "json with a number too large": json("/v1/collections/photos/search", b'{"positive": [%s]}' % (b"9" * 5000)),
    "json that is not UTF-8": json("/v1/collections", b'{"name": "\xff\xfe"}'),
    "json with half a letter": json("/v1/collections", b'{"name": "\\ud800"}'),
    "json with NaN": json("/v1/collections/photos/search", b'{"positive": [1], "variety": NaN}'),
    "a header too long": head("GET", "/v1/ready", "X-Long: " + "a" * 100_000),
    "headers too many": head("GET", "/v1/ready", *(f"X-{n}: {'a' * 20}" for n in range(10_000))),
    "a header without an end": b"GET /v1/ready HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 400_000,
    "an address too long": head("GET", "/v1/ready?" + "a" * 100_000),
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
    "a length that is none": head("POST", "/v1/collections", "Content-Length: many") + b"{}",
    "a length below nothing": head("POST", "/v1/collections", "Content-Length: -1") + b"{}",
    "two lengths": head("POST", "/v1/collections", "Content-Length: 2", "Content-Length: 3") + b"{}",
    "a length and chunks": head("POST", "/v1/x", "Content-Length: 2", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "a chunk of no size": head("POST", "/v1/collections", "Transfer-Encoding: chunked") + b"zz\r\nabc\r\n0\r\n\r\n",
    "a line break in a header": b"GET /v1/ready HTTP/1.1\r\nHost: localhost\r\nX: a\rb\0c\r\n\r\n",
    "a method that is none": head("FROBNICATE", "/v1/ready"),
    "no host": b"GET /v1/ready HTTP/1.1\r\nConnection: close\r\n\r\n",
}  # fmt: skip


@pytest.mark.promise(23)
@pytest.mark.parametrize("request_", DEFORMED.values(), ids=DEFORMED)
def test_promise_23_a_deformed_request_is_4xx_at_once_and_the_next_is_fine(server, request_, record_property):
    record_property("requests sent", 2)
    before = time.monotonic()

    heard = server.say(request_, patience=30)

    record_property("ms until the answers, together", round(1000 * (time.monotonic() - before)))
    assert 400 <= status_of(heard) < 500, heard[:300]
    assert b"Traceback" not in heard
    assert b"/app/" not in heard
    assert server.client.get("/v1/ready").status_code == 200
    assert server.leftovers() == []
