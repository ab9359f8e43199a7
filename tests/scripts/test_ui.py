"""What `scripts/bench ui` and `scripts/screenshots` stand on: a made-up collection that is real to the product."""

import io
from pathlib import Path

from PIL import Image

from indexer.catalog import collection_named, open_catalog
from indexer.columns import select_ids
from indexer.filters import Filter
from indexer.home import Home
from indexer.images import get_images, read_preview
from scripts.benchmarks.ui import FACES, SIDE, fill
from scripts.screenshot import LARGEST, save
from tests.pictures import picture


def test_the_made_up_collection_is_listed_and_every_picture_of_it_opens(tmp_path: Path) -> None:
    home = Home(tmp_path)

    fill(home, FACES + 100)

    engine = open_catalog(home)
    ids = select_ids(engine, collection_named(engine, "photos"), Filter())
    images = get_images(engine, ids.tolist())
    previews = {read_preview(home, image) for image in images}
    assert len(images) == FACES + 100
    assert len(previews) == FACES
    assert {Image.open(io.BytesIO(data)).size for data in previews} == {(SIDE, SIDE)}


def test_a_picture_of_the_page_is_small_whatever_it_shows(tmp_path: Path) -> None:
    noisy = io.BytesIO()
    picture("gravel").resize((1280, 800)).save(noisy, "PNG")

    saved = save(noisy.getvalue(), tmp_path / "page.webp")

    assert saved.stat().st_size < LARGEST
    assert Image.open(saved).size == (1280, 800)
