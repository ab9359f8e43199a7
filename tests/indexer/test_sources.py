import io
import json
import os
import socket
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer import sources
from indexer.sources import Scan, batches, read, readable, scan, scan_upload
from model.errors import BadInput
from tests.pictures import jpeg
from tests.zips import write_zip64


def reasons(found: Scan) -> dict[str, str]:
    """File name → why it was refused."""
    return {path.rpartition("/")[2]: reason for path, reason in found.refused}


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_folder_is_read_to_its_depths_in_the_order_of_names(tmp_path):
    for name in ("b/deep/er/1.jpg", "a.jpg", "b/0.jpg"):
        (tmp_path / "trip" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "trip" / name).write_bytes(b"x")

    found = scan([tmp_path / "trip"])

    assert [(s.folder, s.name, s.depth) for s in found.sources] == [
        ("trip", "a.jpg", 0),
        ("trip/b", "0.jpg", 1),
        ("trip/b/deep/er", "1.jpg", 3),
    ]
    assert found.refused == []


def test_a_single_file_is_a_source_of_its_own(tmp_path):
    (tmp_path / "one.jpg").write_bytes(b"x")

    found = scan([tmp_path / "one.jpg"])

    assert [(s.name, s.folder, s.depth) for s in found.sources] == [("one.jpg", tmp_path.name, 0)]


def test_a_path_that_does_not_exist_stops_the_scan_before_anything_is_read(tmp_path):
    with pytest.raises(BadInput, match=r"missing\.jpg does not exist"):
        scan([tmp_path, tmp_path / "missing.jpg"])


def test_a_folder_asked_for_twice_is_scanned_once(tmp_path):
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "1.jpg").write_bytes(b"x")
    os.mkfifo(tmp_path / "cats" / "pipe")

    found = scan([tmp_path, tmp_path / "cats", tmp_path / "cats" / "1.jpg"])

    assert [source.name for source in found.sources] == ["1.jpg"]
    assert len(found.refused) == 1


def test_hidden_files_and_the_leavings_of_file_managers_are_passed_over(tmp_path):
    for name in (".hidden.jpg", ".git/x.jpg", "Thumbs.db", "__MACOSX/x.jpg", "kept.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    found = scan([tmp_path])

    assert [source.name for source in found.sources] == ["kept.jpg"]
    assert found.refused == []


@pytest.mark.timeout(20)
def test_what_is_not_a_plain_file_is_listed_with_its_reason_and_never_opened(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(b"x")
    (inside / "kept.jpg").write_bytes(b"x")
    os.mkfifo(inside / "pipe.jpg")
    (inside / "loop.jpg").symlink_to("loop.jpg")
    (inside / "dangling.jpg").symlink_to("nowhere")
    (inside / "out.jpg").symlink_to(outside / "secret.jpg")
    (inside / "folder out").symlink_to(outside)
    (inside / "sub" / "circle").symlink_to(inside)
    (inside / "within.jpg").symlink_to("kept.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(inside / "socket.jpg"))

        found = scan([inside])

    assert [source.name for source in found.sources] == ["kept.jpg", "within.jpg"]
    assert reasons(found) == {
        "pipe.jpg": "is not a plain file",
        "socket.jpg": "is not a plain file",
        "loop.jpg": "cannot be read (Too many levels of symbolic links)",
        "dangling.jpg": "cannot be read (No such file or directory)",
        "out.jpg": "is a link to outside the folder: import its target instead",
        "folder out": "is a link to a folder: import its target instead",
        "circle": "is a link to a folder: import its target instead",
    }


@pytest.mark.timeout(20)
def test_a_file_that_became_a_pipe_since_the_scan_does_not_hang_the_reader(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"x")
    source = scan([tmp_path]).sources[0]
    (tmp_path / "1.jpg").unlink()
    os.mkfifo(tmp_path / "1.jpg")

    assert read(source) == b""


@pytest.fixture
def without_rights() -> Iterator[Path]:
    """A folder to work in as somebody who may not read everything; root, who may, becomes nobody for the test."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        user, is_root = os.geteuid(), os.geteuid() == 0
        folder = Path(name) / "mine"
        folder.mkdir()
        if is_root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if is_root:
                os.seteuid(user)


def test_an_unreadable_folder_or_file_is_a_reason_and_the_rest_is_found(without_rights):
    for name in ("closed/1.jpg", "closed.jpg", "open.jpg"):
        (without_rights / name).parent.mkdir(exist_ok=True)
        (without_rights / name).write_bytes(b"x")
    (without_rights / "closed.jpg").chmod(0)
    (without_rights / "closed").chmod(0)

    found = scan([without_rights])
    (without_rights / "closed").chmod(0o755)

    assert reasons(found) == {"closed": "cannot be read (Permission denied)"}
    closed, opened = found.sources
    assert (closed.name, opened.name, read(opened)) == ("closed.jpg", "open.jpg", b"x")
    with pytest.raises(PermissionError):
        read(closed)


STRANGE = {
    "not UTF-8": b"caf\xe9.jpg",
    "newline": b"two\nlines.jpg",
    "emoji": "🐈.jpg".encode(),
    "255 bytes": b"x" * 251 + b".jpg",
    "leading dash": b"-rf.jpg",
    "right to left": "a\u202egpj.exe.jpg".encode(),
    "quotes": b"\"'`$(id).jpg",
    "space": b" .jpg",
}


@pytest.mark.parametrize("name", STRANGE.values(), ids=STRANGE)
def test_a_strange_name_is_found_read_and_safe_to_show(tmp_path, name):
    path = os.path.join(os.fsencode(tmp_path), name)
    with open(path, "wb") as file:
        file.write(b"content")

    [source] = scan([tmp_path]).sources

    assert source.path == path
    assert read(source) == b"content"
    assert source.name.isprintable()
    assert json.loads(json.dumps(source.name)) == source.name == readable(name)
    source.name.encode("utf-8")


def test_a_zip_is_read_by_its_members(tmp_path):
    path = write_zip(tmp_path / "holiday.zip", {"a.jpg": b"A", "beach/b.jpg": b"B", "beach/": b""})

    found = scan([path])

    assert [(s.folder, s.name, s.depth, s.stored) for s in found.sources] == [
        ("holiday", "a.jpg", 0, True),
        ("holiday/beach", "b.jpg", 1, True),
    ]
    assert [read(source, archive) for archive, group in batches(found.sources) for source in group] == [b"A", b"B"]


def test_names_in_a_zip_never_become_paths(tmp_path):
    path = write_zip(tmp_path / "slip.zip", {"../../evil.jpg": b"1", "/etc/evil.jpg": b"2", "..\\up\\evil.jpg": b"3"})

    found = scan([path])

    assert [(s.folder, s.name) for s in found.sources] == [
        ("slip", "evil.jpg"),
        ("slip/etc", "evil.jpg"),
        ("slip/up", "evil.jpg"),
    ]


def test_names_in_a_zip_are_safe_to_show(tmp_path):
    path = write_zip(tmp_path / "odd.zip", {"a\nb/c\x1b[2J.jpg": b"1", "inner\n.zip": b"2"})

    found = scan([path])

    assert found.sources[0].name.isprintable()
    assert found.sources[0].folder.isprintable()
    assert found.refused[0][0].isprintable()
    assert [read(source, archive) for archive, group in batches(found.sources) for source in group] == [b"1"]


def test_an_encrypted_a_nested_and_an_exploding_member_are_refused_and_the_rest_is_found(tmp_path):
    path = write_zip(
        tmp_path / "mixed.zip",
        {"good.jpg": b"G", "inner.zip": b"PK", "bomb.jpg": b"\0" * (4 << 20), "locked.jpg": b"L"},
        zipfile.ZIP_DEFLATED,
    )
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # say that the last member is encrypted
        data[data.rindex(signature) + flags] |= 1
    path.write_bytes(data)

    found = scan([path])

    assert [source.name for source in found.sources] == ["good.jpg"]
    assert {name.partition("!")[2]: reason for name, reason in reasons(found).items()} == {
        "inner.zip": "is a zip inside a zip: import it by itself",
        "bomb.jpg": "unpacks to far more than a picture would: it looks like a zip bomb",
        "locked.jpg": "is encrypted: unpack it first",
    }


def test_a_member_beyond_a_gigabyte_is_refused_with_the_way_on_which_a_slide_comes_in(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 1000)
    path = write_zip(tmp_path / "slides.zip", {"slide.tif": b"II+\0" + bytes(1000), "small.tif": b"II*\0"})

    found = scan([path])

    assert [source.name for source in found.sources] == ["small.tif"]
    assert list(reasons(found).values()) == [
        "is larger than 1 GB: unpack it; if it is a TIFF, import it by itself with --tile (on the page: Options)"
    ]


def test_a_zip_that_declares_too_much_is_refused_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_ZIP_BYTES", 1000)
    path = write_zip(tmp_path / "big.zip", {f"{n}.jpg": b"x" * 300 for n in range(4)})

    found = scan([path])

    assert found.sources == []
    assert "unpacked" in found.refused[0][1]


def test_a_zip_that_lists_more_than_memory_is_meant_for_is_refused_before_its_list_is_read(tmp_path, monkeypatch):
    write_zip(tmp_path / "long.zip", {f"{number}.jpg": b"" for number in range(100)})
    monkeypatch.setattr("indexer.sources.MAX_CONTENTS", 1000)
    monkeypatch.setattr("zipfile.ZipFile", lambda path: pytest.fail("it was read"))

    found = scan([tmp_path / "long.zip"])

    assert found.sources == []
    assert [(reason, reason.said["name"]) for _, reason in found.refused] == [
        ("lists more files than we read: split it into several zips", "long_zip")
    ]


def test_a_zip_that_says_its_size_in_64_bits_is_read_by_its_members(tmp_path):
    """As one is beyond 4 GiB; a real one: tests/app/test_zip.py."""
    write_zip64(tmp_path / "in.zip", [("a.jpg", b"picture"), ("b.jpg", b"other")])

    found = scan([tmp_path / "in.zip"])

    with zipfile.ZipFile(tmp_path / "in.zip") as archive:
        assert [read(source, archive) for source in found.sources] == [b"picture", b"other"]
    assert found.refused == []


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_whose_unpacking_nothing_bounds_is_refused_and_never_opened(tmp_path, compression):
    """zipfile stops inflating at the size that is asked for; of these it unpacks whatever they hold."""
    with zipfile.ZipFile(tmp_path / "in.zip", "w", compression) as archive:
        archive.writestr("bomb.jpg", b"\0" * (8 << 20))
        archive.writestr("good.jpg", b"picture", zipfile.ZIP_DEFLATED)

    found = scan([tmp_path / "in.zip"])

    assert [source.name for source in found.sources] == ["good.jpg"]
    assert reasons(found) == {"in.zip!bomb.jpg": "is packed in a way that we do not unpack: make an ordinary zip"}


def test_a_member_never_gives_more_bytes_than_it_declares(tmp_path):
    path = write_zip(tmp_path / "liar.zip", {"a.jpg": b"\0" * 100_000}, zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    for signature, size in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        struct.pack_into("<I", data, data.index(signature) + size, 100)
    path.write_bytes(data)
    [source] = scan([path]).sources

    with zipfile.ZipFile(path) as archive, pytest.raises(OSError, match="cannot be unpacked"):
        read(source, archive)


def test_a_zip_that_vanished_since_the_scan_is_a_reason_for_each_of_its_members(tmp_path):
    path = write_zip(tmp_path / "gone.zip", {"a.jpg": b"A", "b.jpg": b"B"})
    found = scan([path])
    path.unlink()

    for archive, group in batches(found.sources):
        for source in group:
            with pytest.raises(OSError, match="its zip is gone"):
                read(source, archive)
    assert len(found.sources) == 2


@pytest.mark.parametrize("data", [b"", b"PK\5\6", b"not a zip at all", jpeg()], ids=["empty", "cut", "text", "picture"])
def test_a_file_that_is_no_zip_is_refused_with_a_reason(tmp_path, data):
    (tmp_path / "x.zip").write_bytes(data)

    found = scan([tmp_path / "x.zip"])

    assert found.sources == []
    assert "not a zip we can read" in found.refused[0][1]


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_of_two_members_with_one_name_the_one_that_is_read_is_listed(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.jpg", b"first, and longer")
        archive.writestr("a.jpg", b"second")
    (tmp_path / "twice.zip").write_bytes(buffer.getvalue())

    found = scan([tmp_path / "twice.zip"])

    assert [read(source, archive) for archive, group in batches(found.sources) for source in group] == [b"second"]


def test_an_upload_keeps_the_names_it_had_and_loses_those_that_climb(tmp_path):
    write_zip(tmp_path / "2", {"in/c.jpg": b"C"})
    for name in ("0", "1"):
        (tmp_path / name).write_bytes(name.encode())
    names = {"0": "album/a.jpg", "1": "../../etc/b\n.jpg", "2": "album/more.zip"}
    (tmp_path / sources.NAMES).write_text(json.dumps(names))

    found = scan_upload(tmp_path)

    assert [(s.folder, s.name, s.depth, s.stored, s.lasting) for s in found.sources] == [
        ("album", "a.jpg", 1, True, False),
        ("etc", "b\\n.jpg", 1, True, False),
        ("album/more/in", "c.jpg", 1, True, False),
    ]
