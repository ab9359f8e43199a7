import io
import pickle
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from hashlib import md5, sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from app.demo import SIDE, SUBJECTS, VIEWS, fetch_dataset, write_demo
from model.errors import BadInput, DatasetUnavailable
from model.evaluate import colour_histogram, precision_at
from model.images import decode


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> list[Path]:
    return write_demo(tmp_path_factory.mktemp("demo"))


def test_the_demo_is_some_600_views_of_15_real_photographs(demo):
    assert len(demo) == len(set(demo)) == len(SUBJECTS) * VIEWS == 600
    assert {path.parent.name for path in demo} == set(SUBJECTS)
    for path in demo:
        assert decode(path.read_bytes(), str(path)).size == (SIDE, SIDE)


def test_no_two_views_are_the_same_and_a_third_is_grey(demo):
    pixels = np.stack([np.asarray(Image.open(path)) for path in demo]).astype(int)
    grey = (np.ptp(pixels, axis=3) < 12).all(axis=(1, 2))  # as JPEG keeps it

    assert len({path.read_bytes() for path in demo}) == 600
    assert 0.25 < grey.mean() < 0.45


def test_a_colour_histogram_does_not_solve_it(demo):
    vectors = colour_histogram([Image.open(path) for path in demo])

    precision = precision_at(10, vectors, [path.parent.name for path in demo])

    assert 0.15 < precision < 0.40  # far above chance (1 in 15), and far from enough


def test_the_same_seed_makes_the_same_files_and_another_seed_others(demo, tmp_path, monkeypatch):
    monkeypatch.setattr("app.demo.VIEWS", 3)

    again, others = write_demo(tmp_path / "again"), write_demo(tmp_path / "others", seed=1)

    first = {path.name: sha256(path.read_bytes()).digest() for path in demo}
    assert all(first[path.name] == sha256(path.read_bytes()).digest() for path in again)
    assert all(first[path.name] != sha256(path.read_bytes()).digest() for path in others)


def test_writing_it_again_keeps_what_is_there_and_adds_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("app.demo.VIEWS", 2)
    paths = write_demo(tmp_path)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
    (tmp_path / "cat" / "mine.txt").write_text("my note")
    paths[3].unlink()

    assert write_demo(tmp_path) == paths

    assert paths[3].read_bytes() == before[paths[3]][0]
    assert all(path.stat().st_mtime_ns == before[path][1] for path in paths if path != paths[3])
    assert (tmp_path / "cat" / "mine.txt").read_text() == "my note"


@pytest.mark.parametrize("name", ["EuroSAT", "flowers102", "Oxford-IIIT Pet", "CIFAR-10"])
def test_offline_a_data_set_is_refused_in_words_and_leaves_nothing(tmp_path, monkeypatch, name):
    def offline(*_, **__):
        raise urllib.error.URLError("Temporary failure in name resolution")

    monkeypatch.setattr(urllib.request, "urlopen", offline)

    with pytest.raises(DatasetUnavailable, match=r"could not be downloaded .*name resolution.*connect to the internet"):
        fetch_dataset(name, tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_data_set_is_refused_with_the_names_that_there_are(tmp_path):
    with pytest.raises(BadInput, match="choose one of EuroSAT, Flowers102, OxfordIIITPet, CIFAR10"):
        fetch_dataset("imagenet", tmp_path)


@pytest.fixture
def tiny_cifar(tmp_path, monkeypatch) -> Iterator[Path]:
    """CIFAR-10 as its authors publish it, but of four pictures, from a web server of our own."""
    from torchvision.datasets import CIFAR10

    def batch(seed: int) -> bytes:
        data = np.random.default_rng(seed).integers(256, size=(2, 3072), dtype=np.uint8)
        return pickle.dumps({"data": data, "labels": [0, 1]})

    files = {"data_batch_1": batch(1), "test_batch": batch(2)}
    files["batches.meta"] = pickle.dumps({"label_names": ["plane", "car"]})
    archive = tmp_path / "site" / "cifar-10-python.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    sums = {name: md5(data).hexdigest() for name, data in files.items()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=archive.parent))
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{archive.name}")
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(archive.read_bytes()).hexdigest())
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    yield archive
    server.shutdown()
    server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


def test_a_data_set_becomes_one_folder_per_class_with_nothing_else_in_it(tiny_cifar, tmp_path):
    paths = fetch_dataset("CIFAR-10", tmp_path / "set")

    assert [str(path.relative_to(tmp_path / "set")) for path in paths] == [
        "car/00001.png",
        "car/00003.png",
        "plane/00000.png",
        "plane/00002.png",
    ]
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["car", "plane"]
    first = np.random.default_rng(1).integers(256, size=(2, 3072), dtype=np.uint8)[0].reshape(3, 32, 32)
    np.testing.assert_array_equal(np.asarray(Image.open(paths[2])), first.transpose(1, 2, 0))


def test_a_data_set_that_is_there_is_not_downloaded_again(tiny_cifar, tmp_path):
    paths = fetch_dataset("cifar10", tmp_path / "set")
    tiny_cifar.unlink()

    assert fetch_dataset("cifar10", tmp_path / "set") == paths


def test_a_download_that_arrives_damaged_is_not_kept(tiny_cifar, tmp_path):
    tiny_cifar.write_bytes(tiny_cifar.read_bytes()[:-20])

    with pytest.raises(DatasetUnavailable):
        fetch_dataset("cifar10", tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
