from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.images import make_preview
from model.train import Progress
from scripts.benchmarks import clock
from scripts.benchmarks.clock import Steady
from scripts.benchmarks.pictures import make_pictures
from tests.pictures import NAMES, encoded, picture


def test_steady_speed_leaves_out_the_warm_up_and_counts_only_whole_epochs(monkeypatch):
    steady = Steady(warm_epochs=1, seconds=10)
    enough = []

    # The first epoch takes 100 s, the next two 5 and 15; between them a line within an epoch, and one told twice.
    for step, epoch, at in [(10, 1, 100), (15, 1.5, 103), (20, 2, 105), (20, 2, 106), (30, 3, 120)]:
        monkeypatch.setattr(clock.time, "perf_counter", lambda at=at: at)
        steady.hear(Progress(0.1, "", {"step": step, "epoch": epoch}))
        enough.append(steady.is_enough())

    assert enough == [False, False, False, False, True]
    assert steady.rate() == pytest.approx((30 - 10) / (120 - 100))


def test_made_up_pictures_are_the_same_every_time_and_all_different(tmp_path):
    first, again = (make_pictures(tmp_path / name, 12, 48) for name in ("first", "again"))

    contents = [path.read_bytes() for path in first]
    assert contents == [path.read_bytes() for path in again]
    assert len(set(contents)) == 12
    assert {Image.open(path).size for path in first} == {(64, 48)}


def test_made_up_previews_weigh_as_much_as_those_of_photographs(tmp_path):
    made = make_pictures(tmp_path / "made", 12, 320)
    photographs = [make_preview(encoded(picture(name), "PNG"), name) for name in NAMES]

    ours = np.mean([path.stat().st_size for path in made])
    theirs = np.mean([len(each.data) for each in photographs if each.suffix == "jpg"])

    assert 2 / 3 < ours / theirs < 3 / 2  # else decoding would cost another sum than it does in use
    assert all(path.suffix == ".jpg" for path in map(Path, made))
