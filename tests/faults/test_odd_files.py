"""Promises 16 to 20 and 25: a bad file costs only itself."""

import json
import os
import resource
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from indexer.catalog import collection_named, count_images, open_catalog
from indexer.columns import select_ids
from indexer.filters import Filter
from indexer.images import get_images, read_preview
from indexer.plan import make_plan
from indexer.sources import readable, scan
from model.errors import CannotDecode
from model.images import make_preview
from tests.faults.kill import ROOT, Child
from tests.indexer.helpers import tree
from tests.odd import STRANGE, write_odd_files
from tests.pictures import encoded, jpeg, write_folders

SEED = 20240531
CHINESE = ROOT / "ui" / "languages" / "zh" / "progress.json"
FILES = int(os.environ.get("ODD_FILES", "300"))  # below 130 kinds are left out; promises and soak: 1,000


@pytest.mark.promise(16)
def test_promise_16_of_many_odd_files_every_good_one_comes_in_and_every_bad_one_is_listed_once(
    engine, home, photos, bring, tmp_path, record_property
):
    folder = tmp_path / "odd"
    made = write_odd_files(folder, FILES, SEED)
    record_property("files tried", len(made))
    before = tree(folder)

    first = bring(folder)
    fresh = make_plan(engine, home, photos, scan([folder])).fresh
    second = bring(folder)

    refused = [item["path"] for item in first.refused]
    path = {odd.name: readable(os.fsencode(folder) + b"/" + odd.name) for odd in made}
    good = sum(odd.good is True for odd in made)
    record_property("of them good, all in", good)
    record_property("of the others listed once with a reason", len(refused))
    record_property("opened again by a second run", len(fresh))
    assert len(refused) == len(set(refused))
    assert all(item["reason"] for item in first.refused)
    assert {item["said"]["name"] for item in first.refused} <= json.loads(CHINESE.read_text("utf-8")).keys()
    assert {path[odd.name] for odd in made if odd.good is False} <= set(refused)
    assert not {path[odd.name] for odd in made if odd.good} & set(refused)
    assert first.added_total + first.known + len(refused) == FILES
    images = get_images(engine, select_ids(engine, photos, Filter()).tolist())
    assert len(images) == first.added_total > 0.4 * FILES
    assert all(read_preview(home, image) for image in images)
    assert fresh == []
    assert (second.added_total, second.known) == (0, FILES - len(refused))
    assert sorted(second.refused, key=str) == sorted(first.refused, key=str)
    assert tree(folder) == before


@pytest.mark.promise(17)
def test_promise_17_what_is_too_large_is_refused_before_decoding_and_memory_is_bounded(home, tmp_path):
    folder = tmp_path / "odd"
    made = {odd.name[4:]: odd for odd in write_odd_files(folder, 60, SEED)}
    assert b"real and large.jpg" in made
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from indexer.catalog import ensure_collection, open_catalog\n"
        "from indexer.home import Home; from indexer.importer import import_sources; from indexer.sources import scan\n"
        "home = Home(Path(sys.argv[1])); engine = open_catalog(home)\n"
        "import_sources(engine, home, ensure_collection(engine, 'photos'), scan([Path(sys.argv[2])]), workers=1)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
    )

    command = [sys.executable, "-c", program, str(home.root), str(folder)]
    megabytes = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout

    assert int(megabytes) < 700  # 80 million pixels are 240 MB of RGB


@pytest.mark.promise(18)
def test_promise_18_names_cannot_hurt(engine, photos, bring, tmp_path):
    folder = tmp_path / "names"
    folder.mkdir()
    for number, name in enumerate(STRANGE):
        with open(bytes(folder) + b"/" + name, "wb") as file:
            file.write(jpeg("cat", 30 + number))

    result = bring(folder)

    assert (result.added_total, result.refused) == (len(STRANGE), [])
    shown = json.dumps(result.added)
    assert shown.isprintable()
    names = [item["name"] for item in result.added]
    assert all(name.isprintable() and "\u202e" not in name for name in names)
    assert sorted(os.listdir(bytes(folder))) == sorted(STRANGE)


@pytest.mark.promise(19)
@pytest.mark.timeout(120)
def test_promise_19_what_is_no_plain_file_is_skipped_with_a_reason_and_never_blocks(engine, photos, bring, tmp_path):
    folder = tmp_path / "in"
    write_folders(folder, ("cat",), 3)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop").symlink_to(folder)
    (folder / "out.jpg").symlink_to(write_folders(tmp_path / "outside", ("moon",), 1)[0])
    os.mknod(folder / "device.jpg", stat.S_IFSOCK)

    result = bring(folder)

    assert result.added_total == 3
    assert sorted(item["name"].rpartition("/")[2] for item in result.refused) == [
        "device.jpg", "loop", "out.jpg", "pipe.jpg",
    ]  # fmt: skip


@pytest.mark.promise(19)
@pytest.mark.timeout(120)
def test_promise_19_a_file_that_grows_while_it_is_read_comes_in_once_it_is_whole(engine, photos, bring, tmp_path):
    folder, data = tmp_path / "in", jpeg("cat", 300)
    write_folders(folder, ("coffee",), 2)

    def grow() -> None:
        with open(folder / "growing.jpg", "wb", buffering=0) as file:
            for start in range(0, len(data), 200):
                file.write(data[start : start + 200])
                time.sleep(0.01)

    writer = threading.Thread(target=grow)
    writer.start()
    time.sleep(0.1)
    during = bring(folder)
    writer.join()
    after = bring(folder)

    assert during.added_total + after.added_total == 3
    assert after.refused == []
    assert count_images(engine, photos) == 3


@pytest.mark.promise(20)
def test_promise_20_a_process_of_the_pool_that_dies_costs_no_file(home, tmp_path):
    folder = tmp_path / "many"
    write_folders(folder, ("cat", "coffee", "rocket"), 40, size=200)
    child = Child("import_folder", home.root, folder)
    child.wait_for_lines(1)

    os.kill(max(child.left_behind()), signal.SIGKILL)
    child.end()

    engine = open_catalog(home)
    assert child.process.returncode == 0
    assert count_images(engine, collection_named(engine, "photos")) == 120
    engine.dispose()


@pytest.mark.promise(25)
def test_promise_25_a_hostile_zip_costs_only_its_bad_members(engine, home, photos, bring, tmp_path):
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("x.jpg", jpeg("moon"))
    hostile = tmp_path / "zips" / "hostile.zip"
    hostile.parent.mkdir()
    with zipfile.ZipFile(hostile, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.jpg", jpeg("cat"))
        archive.writestr("../../escaped.jpg", jpeg("coffee"))
        archive.writestr("/absolute.jpg", jpeg("rocket"))
        archive.writestr("bomb.jpg", b"\0" * (64 << 20))
        archive.writestr("inner.zip", inner.read_bytes())
        archive.writestr("text.jpg", b"no picture")
    outside = tree(tmp_path / "zips")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    result = bring(hostile)

    reasons = {item["path"].rpartition("!")[2]: item["reason"] for item in result.refused}
    assert result.added_total == 3
    assert reasons.keys() >= {"bomb.jpg", "inner.zip"}
    assert "zip bomb" in reasons["bomb.jpg"]
    assert len(reasons) == 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 60 << 10  # KB: the bomb was not unpacked
    assert tree(tmp_path / "zips") == outside
    stray = [path for path in tmp_path.rglob("*.jpg") if home.root not in path.parents]
    assert stray == []


@pytest.mark.promise(17)
def test_promise_17_a_picture_of_half_a_kilobyte_that_is_four_million_high_is_refused_before_decoding(monkeypatch):
    data = bytearray(encoded(Image.fromarray(np.zeros((9, 9), np.float32)), "TIFF"))
    kinds = [struct.pack("<HHI", 257, kind, 1) for kind in (3, 4)]  # ImageLength, as a short or a long
    height = next(data.index(kind) for kind in kinds if kind in data)
    data[height : height + 12] = struct.pack("<HHII", 257, 4, 1, 4_194_313)
    monkeypatch.setattr("model.images.upright_of", lambda image: pytest.fail("it was decoded"))

    with pytest.raises(CannotDecode, match="too long and narrow"):
        make_preview(bytes(data), "tall.tif")
