"""Import and index beside the loop a user would write, on made-up photographs of four sizes, with one encoder.

    scripts/bench import [--part NAME]... [--side PX] [--count N] [--known N] [--json] [--quick]

Baseline, in the same run: Pillow full decode, torchvision Resize, timm eager, batches of 32, the vectors kept in memory
and nothing else; of the photographs it sees as many as tell its pace. Ours keeps a preview, a catalog row and a vector
of every picture on disk, durably, and publishes the index; also with an int8 copy of the encoder, made from the
pictures themselves. So many files come in that starting the processes counts little, as it would for a hundred
thousand: of the large photographs, which are slow to make, there are eight each that differ in a comment. The catalog
is there before, as in a home that is in use. The limit is arithmetic: what decoding alone and encoding alone reach on
all cores, one after the other. All use the encoder that ships, at its own side or at --side. Two more parts: "again"
imports again a folder of --known files that have not changed, "memory" runs `likeness import` on so many new ones and
adds up what all its processes hold.

Do not delete many files in the minutes before: ext4 keeps away from what was just deleted, file by file, and making a
preview's file then takes ten times as long.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from indexer.catalog import Collection, ensure_collection, open_catalog
from indexer.embed import Embedder
from indexer.home import Home
from indexer.importer import import_sources
from indexer.refresh import refresh_index
from indexer.schema import contents, files, images, now
from indexer.sources import scan
from model.encoder import Encoder, open_encoder
from model.images import PREVIEW_SIDE, make_preview
from model.info import Preparation
from model.int8 import save_int8
from scripts.benchmarks.held import peak_of
from scripts.benchmarks.pictures import make_photographs
from scripts.benchmarks.table import Row, aim, quick, report, row

BATCH = 32
LOOPED = 2000  # pictures that the loop sees, at most: it has nothing to start, so its pace does not change
CALIBRATED_ON = 256  # pictures, for the int8 copy
DIFFERENT, LARGE_EVERY = 512, 500  # where memory is measured: photographs, and files for one of 12 MP among them
AGAIN, MEMORY = "again", "memory"


@dataclass(frozen=True)
class Size:
    """One kind of picture: how large, how many, and how much quicker than the loop we mean to be."""

    name: str
    side: int  # px, the shorter one; pictures are 4:3
    distinct: int  # photographs
    count: int  # files
    few: int  # with --quick
    target: float


SIZES = (
    Size("12 MP", 3000, 64, 512, 8, 8.0),
    Size("8 MP", 2448, 64, 512, 8, 8.0),
    Size("web-size", 375, 8_000, 8_000, 64, 2.5),
    Size("150 px", 150, 12_000, 12_000, 128, 2.5),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench import")
    parts = [*(size.name for size in SIZES), AGAIN, MEMORY]
    parser.add_argument("--part", choices=parts, action="append", help="only this one; may be repeated")
    parser.add_argument("--side", type=int, help="px, of the network's square (default: the encoder's own)")
    parser.add_argument("--count", type=int, help="pictures of each size")
    parser.add_argument("--known", type=int, help="files of the last two parts (default 100,000)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="few pictures: shows that it runs")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        encoder, network = make_encoder(folder / "models", options.side)
        for size in SIZES:
            if options.part and size.name not in options.part:
                continue
            count = options.count or (size.few if options.quick else size.count)
            rows += measure(size, count, folder / size.name, encoder, network)
        known = options.known or (2000 if options.quick else 100_000)
        if not options.part or AGAIN in options.part:
            rows.append(measure_known(folder / "known", known))
        if not options.part or MEMORY in options.part:
            rows.append(measure_memory(folder / "many", known))
    baseline = "the loop a user would write; for the limit, decoding alone and encoding alone, one after the other"
    side = encoder.info.preparation.image_size
    notes = [
        f"the encoder that ships ({encoder.info.backbone}), at {side} px, the same network in all; ours by ONNX Runtime"
    ]
    report("import", baseline, quick(rows) if options.quick else rows, options.json, notes)


def make_encoder(models: Path, side: int | None) -> tuple[Encoder, Callable[[np.ndarray], np.ndarray]]:
    """Our encoder, and the same network as a user would call it: eager, on (N, 3, S, S) float32."""
    import torch

    from model.checkpoint import load_model, save_model
    from model.network import starting_point

    start = starting_point("default", "resnet18", side, models, seed=0)
    info = save_model(start.backbone, start.preparation, models, started_from=start.started_from)
    network, _ = load_model(models / info.fingerprint)
    network.eval()

    def run(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(batch)).numpy()

    return open_encoder(models / info.fingerprint, "cpu"), run


def measure(
    size: Size, count: int, folder: Path, encoder: Encoder, network: Callable[[np.ndarray], np.ndarray]
) -> list[Row]:
    """The rows of one size. Every file was written before, to the disk too, and all of them read it from memory."""
    distinct = min(size.distinct, count)
    paths = make_photographs(folder / "pictures", distinct, size.side, count)
    os.sync()  # or the first import would wait for what is not its own
    side = encoder.info.preparation.image_size
    some = paths[: min(distinct, LOOPED)]
    user_loop(some[:BATCH], network, side)  # imports are made
    looped = len(some) / timed(lambda: user_loop(some, network, side))
    decoding = decode_alone(paths, encoder.info.preparation)
    rows = []
    for works in (encoder, int8_of(encoder, folder.parent / "models", paths)):
        called = f"{size.name}, {works.info.arithmetic}"
        ours = count / import_and_index(folder, works)
        encoding = encode_alone(paths, works)
        limit = 1 / (1 / decoding + 1 / encoding)
        rows += [
            aim(row(f"{called}: import + index", ours, "images/s", looped), ratio_at_least=size.target),
            aim(row(f"{called}: import + index beside the limit", ours, "images/s", limit), ratio_at_least=0.85),
            row(f"{called}: encoding alone", encoding, "images/s"),
        ]
    return [*rows, row(f"{size.name}: decoding alone", decoding, "images/s")]


def import_and_index(folder: Path, encoder: Encoder) -> float:
    """Seconds for the pictures in `folder`, into a home of their own for each encoder."""
    home = Home(folder / encoder.info.fingerprint)
    engine = open_catalog(home)
    collection = ensure_collection(engine, "photos")
    model = folder.parent / "models" / encoder.info.fingerprint
    single = open_encoder(model, "cpu", threads=1)  # the file was there before: opening takes no time to speak of

    def work() -> None:
        with Embedder(engine, home, encoder.info, lambda: single, os.cpu_count() or 1) as embedder:
            import_sources(engine, home, collection, scan([folder / "pictures"]), embedder=embedder)
        refreshed = refresh_index(engine, home, collection, encoder)
        if refreshed.embedded.encoded:
            raise AssertionError(f"{refreshed.embedded.encoded:,} pictures were not encoded while they came in")

    seconds = timed(work)
    engine.dispose()
    return seconds


def int8_of(encoder: Encoder, models: Path, paths: list[Path]) -> Encoder:
    """Its int8 copy, from these pictures."""
    previews = (make_preview(path.read_bytes(), path.name).data for path in paths[:CALIBRATED_ON])
    squares = np.stack([encoder.square(data, "preview") for data in previews])
    info = save_int8(models / encoder.info.fingerprint, models, squares, {"pictures": len(squares)})
    return open_encoder(models / info.fingerprint, "cpu")


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def user_loop(paths: list[Path], network: Callable[[np.ndarray], np.ndarray], side: int) -> np.ndarray:
    """(N, D) vectors, as a user would make them."""
    import torch
    from torchvision.transforms.v2 import CenterCrop, Compose, Normalize, PILToTensor, Resize, ToDtype

    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    steps = [Resize(side), CenterCrop(side), PILToTensor(), ToDtype(torch.float32, scale=True), Normalize(mean, std)]
    prepare = Compose(steps)
    vectors = []
    for at in range(0, len(paths), BATCH):
        batch = torch.stack([prepare(Image.open(path).convert("RGB")) for path in paths[at : at + BATCH]])
        vectors.append(network(batch.numpy()))
    return np.concatenate(vectors)


def decode_alone(paths: list[Path], preparation: Preparation) -> float:
    """Pictures a second from file to preview and square in memory, on all cores, with nothing written."""
    work = partial(_sizes, preparation)
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores, mp_context=get_context("forkserver")) as pool:
        list(pool.map(work, paths[:cores]))  # the processes are there
        started = time.perf_counter()
        list(pool.map(work, paths, chunksize=max(1, min(16, len(paths) // cores))))
        return len(paths) / (time.perf_counter() - started)


def _sizes(preparation: Preparation, path: Path) -> int:
    return len(make_preview(path.read_bytes(), path.name, PREVIEW_SIDE, preparation.square_of).data)


def encode_alone(paths: list[Path], encoder: Encoder) -> float:
    """Pictures a second from squares in memory to vectors."""
    few = paths[:16]
    squares = np.stack([encoder.square(make_preview(p.read_bytes(), p.name).data, p.name) for p in few])
    batch = np.concatenate([squares] * (128 // len(few)))
    encoder.encode(batch[:64])
    seconds = min(timed(lambda: encoder.encode(batch)) for _ in range(3))
    return len(batch) / seconds


def measure_known(folder: Path, count: int) -> Row:
    """Seconds to import again `count` files that have not changed; their rows are written straight into the catalog."""
    home = Home(folder / "home")
    engine = open_catalog(home)
    collection = ensure_collection(engine, "photos")
    fill(engine, home, collection, folder / "pictures", count)
    done: list[int] = []
    seconds = timed(lambda: done.append(import_sources(engine, home, collection, scan([folder / "pictures"])).known))
    engine.dispose()
    if done != [count]:
        raise AssertionError(f"{done[0]:,} of {count:,} files were known")
    return aim(row(f"import again, {count:,} files unchanged", seconds, "s"), at_most=15 if count >= 100_000 else None)


def measure_memory(folder: Path, count: int) -> Row:
    """The most that all processes of an import of `count` new files hold together: web-size, some of 12 MP."""
    large = max(1, count // LARGE_EVERY)
    make_photographs(folder / "pictures" / "web-size", min(DIFFERENT, count - large), 375, count - large)
    make_photographs(folder / "pictures" / "12 MP", min(8, large), 3000, large, seed=1)
    command = [
        sys.executable,
        "-m",
        "app.cli",
        "import",
        str(folder / "pictures"),
        "--json",
        "--home",
        str(folder / "home"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    peak = peak_of(process.pid)
    said = json.loads(process.communicate()[0])
    if said["added"] != count:
        raise AssertionError(f"{said['added']:,} of {count:,} files were imported")
    held = row(f"import of {count:,} pictures, peak memory of all processes", peak / 1e9, "GB")
    return aim(held, at_most=2 if count >= 100_000 else None)


def fill(engine: object, home: Home, collection: Collection, folder: Path, count: int) -> None:
    """Files, previews and rows of `count` pictures, as an import would have left them."""
    from sqlalchemy import Engine

    assert isinstance(engine, Engine)
    for number in range(0, count, 1000):
        rows: dict[str, list[dict[str, object]]] = {"contents": [], "images": [], "files": []}
        inside = folder / f"{number // 1000:04}"
        inside.mkdir(parents=True)
        for each in range(number, min(number + 1000, count)):
            sha256 = f"{each * 2654435761 % 2**32:08x}" * 8
            path = inside / f"{each:07}.jpg"
            path.write_bytes(b"jpeg")
            preview = home.preview(sha256, "png")
            preview.parent.mkdir(parents=True, exist_ok=True)
            preview.touch()
            info = path.stat()
            rows["contents"].append({
                "sha256": sha256, "preview_sha256": sha256, "preview_suffix": "png", "width": 1, "height": 1,
                "bytes": 4, "format": "JPEG", "stored": 0,
            })  # fmt: skip
            rows["images"].append({
                "id": each + 1, "collection_id": collection.id, "sha256": sha256, "name": path.name,
                "folder": inside.name, "added_at": now(),
            })  # fmt: skip
            rows["files"].append({
                "collection_id": collection.id, "path": os.fsencode(path), "image_id": each + 1,
                "size": info.st_size, "mtime_ns": info.st_mtime_ns,
            })  # fmt: skip
        with engine.begin() as connection:
            for table in (contents, images, files):
                connection.execute(table.insert(), rows[table.name])


if __name__ == "__main__":
    main()
