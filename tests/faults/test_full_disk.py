"""Promise 7: a disk that is full stops an import or an index with a sentence, and once there is space it goes on."""

import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from indexer.catalog import collection_named, count_images, ensure_collection, open_catalog
from indexer.importer import import_sources
from indexer.index import open_index
from indexer.removal import remove
from indexer.sources import MAX_FILE_BYTES, scan
from model.files import PARTIAL
from tests.faults.kill import ROOT
from tests.indexer.helpers import tree
from tests.pictures import encoded, write_folders


@pytest.fixture
def large(tmp_path):
    """Pictures of which the last needs a preview of 2 MB: noise, long and narrow, that is kept without loss."""
    folder = tmp_path / "large"
    write_folders(folder, ("cat", "coffee"), 3)
    noise = np.random.default_rng(0).integers(0, 256, (150, 5000, 3), np.uint8)
    (folder / "zz.png").write_bytes(encoded(Image.fromarray(noise), "PNG"))
    return folder


def limited(home, most: int, *arguments: object) -> subprocess.CompletedProcess:
    """`likeness` in a process that can make no file larger than `most` bytes."""
    command = [sys.executable, "-m", "app.cli", *map(str, arguments), "--json"]
    environment = {**os.environ, "LIKENESS_HOME": str(home.root)}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )


@pytest.mark.promise(7)
def test_promise_7_no_space_for_a_preview_names_the_file_and_the_free_space_and_keeps_what_is_done(home, large):
    before = tree(large)

    stopped = limited(home, 1 << 20, "import", large)

    assert stopped.returncode == 1
    assert "File too large" in stopped.stderr
    assert f"{home.root}/previews/" in stopped.stderr
    assert "MB free" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not list(home.root.rglob(f"{PARTIAL}*"))
    again = limited(home, 64 << 20, "import", large)
    assert again.returncode == 0
    result = json.loads(again.stdout)
    assert result["added"] + result["known"] == 7
    assert result["refused"] == []
    assert tree(large) == before


@pytest.mark.promise(7)
def test_promise_7_no_space_for_the_tiles_of_a_slide_stops_the_import_and_the_slide_comes_in_later(home, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 20_000, 3), np.uint8)
    slide = tmp_path / "slide.tif"
    slide.write_bytes(encoded(Image.fromarray(noise), "TIFF"))  # the preview of a tile is 5 MB
    os.truncate(slide, MAX_FILE_BYTES + 1)

    stopped = limited(home, 1 << 20, "import", slide, "--tile", 8192)
    again = limited(home, 64 << 20, "import", slide, "--tile", 8192)

    assert stopped.returncode == 1
    assert "File too large" in stopped.stderr
    assert f"{home.root}/previews/" in stopped.stderr
    assert "MB free" in stopped.stderr
    assert not list(home.root.rglob(f"{PARTIAL}*"))
    assert again.returncode == 0
    result = json.loads(again.stdout)
    assert (result["added"], result["refused"]) == (3, [])


@pytest.mark.promise(7)
def test_promise_7_no_space_for_the_catalog_is_said_and_the_next_import_is_whole(home, tmp_path):
    write_folders(tmp_path / "many", ("cat", "coffee", "rocket"), 60, size=32)
    engine = open_catalog(home)
    ensure_collection(engine, "photos")
    engine.dispose()

    stopped = limited(home, home.catalog.stat().st_size + 8192, "import", tmp_path / "many")

    assert stopped.returncode == 1
    assert "MB free" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    engine = open_catalog(home)
    photos = collection_named(engine, "photos")
    result = import_sources(engine, home, photos, scan([tmp_path / "many"]), workers=2)
    assert result.added_total + result.known == 180
    assert count_images(engine, photos) == 180
    engine.dispose()


@pytest.mark.promise(7)
def test_promise_7_no_space_for_an_index_leaves_the_old_one_and_no_temporaries(
    engine, home, photos, bring, tmp_path, model_folder
):
    home.models.mkdir()
    (home.models / model_folder.name).symlink_to(model_folder)
    write_folders(tmp_path / "many", ("cat", "coffee", "rocket"), 14, size=32)
    added = bring(tmp_path / "many").added
    assert limited(home, 64 << 20, "index", "--model", model_folder.name).returncode == 0
    folder = home.index(photos.id, model_folder.name)
    before, ids = tree(folder), open_index(folder).ids.tolist()
    remove(engine, home, photos, [added[0]["id"]])

    stopped = limited(home, 80_000, "index")  # 41 vectors of 512 floats are more
    left, served = tree(folder), open_index(folder).ids.tolist()
    again = limited(home, 64 << 20, "index")

    assert stopped.returncode == 1
    assert str(folder) in stopped.stderr
    assert "MB free" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert (left, served) == (before, ids)
    assert not list(home.root.rglob(f"{PARTIAL}*"))
    assert (again.returncode, json.loads(again.stdout)["indexed"]) == (0, 41)
