"""The map in a browser, for `scripts/bench ui`: how soon it is painted, and how long a frame takes while it moves."""

from __future__ import annotations

import time

import numpy as np
from playwright.sync_api import Browser, Page
from sqlalchemy import Engine

from indexer.catalog import collection_named
from indexer.columns import select_ids
from indexer.filters import Filter
from indexer.home import Home
from indexer.map import Map, write_map
from indexer.publish import publish
from indexer.schema import collections
from scripts.benchmarks.table import Row, aim, row

MODEL, WIDTH, CLUSTERS = "made-up", 16, 64  # its vectors' numbers, and groups of the map
PAINTED_S, FRAME_MS, FRAMES = 3.0, 50.0, 40
CANVAS = """() => {
  const roots = [document, ...[...document.querySelectorAll('*')].map((one) => one.shadowRoot).filter(Boolean)];
  const canvas = roots.map((root) => root.querySelector('canvas.plot')).find(Boolean);
  return canvas && canvas.ariaBusy === "false" ? canvas : null;
}"""
# Press keys in turn, one a frame; resolve with the milliseconds from each frame to the next.
KEYS = (
    "async ([keys, frames]) => {\n  const canvas = ("
    + CANVAS
    + """)();
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const took = [];
  await frame();
  for (let k = 0; k < frames; k += 1) {
    const began = performance.now();
    canvas.dispatchEvent(new KeyboardEvent("keydown", { key: keys[k % keys.length], bubbles: true }));
    await frame();
    await frame();
    took.push((performance.now() - began) / 2);
  }
  return took;
}"""
)


def draw(engine: Engine, home: Home, name: str) -> None:
    """A published index and a map for a collection of made-up pictures: `CLUSTERS` clouds, as UMAP draws them."""
    collection = collection_named(engine, name)
    ids, made_up = select_ids(engine, collection, Filter()), np.random.default_rng(0)
    vectors = made_up.normal(size=(len(ids), WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    folder = home.index(collection.id, MODEL)
    publish(folder, ids, vectors)
    cluster = made_up.integers(0, CLUSTERS, len(ids)).astype(np.int32)
    middles = made_up.uniform(0.05, 0.95, (CLUSTERS, 2))
    places = (middles[cluster] + made_up.normal(0, 0.025, (len(ids), 2))).clip(0, 1).astype(np.float32)
    fits = made_up.uniform(0.5, 1, len(ids)).astype(np.float32)
    write_map(folder, Map(ids, places, cluster, fits, ids[:10_000], vectors[:CLUSTERS]))
    with engine.begin() as connection:
        connection.execute(collections.update().where(collections.c.id == collection.id).values(active_model=MODEL))


def map_rows(browser: Browser, address: str, name: str, warm: int) -> list[Row]:
    """The figures of the map at `address`, coloured by group, so that every point has a colour and a shape."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    where = f"{address}/map?c=photos&by=group"
    cold, again = painted(page, where), [painted(page, where) for _ in range(warm)]
    page.wait_for_timeout(2000)  # the groups' pictures arrive, too
    moved = page.evaluate(KEYS, [["ArrowLeft", "ArrowRight"], FRAMES])
    zoomed = page.evaluate(KEYS, [["+", "-"], FRAMES])
    page.context.close()
    return [
        aim(row(f"{name}: map painted, first time", cold, "s"), at_most=PAINTED_S),
        row(f"{name}: map painted, again (median)", float(np.median(again)), "s"),
        aim(row(f"{name}: map, a frame of moving (median)", float(np.median(moved)), "ms"), at_most=FRAME_MS),
        aim(row(f"{name}: map, a frame of zooming (median)", float(np.median(zoomed)), "ms"), at_most=FRAME_MS),
    ]


def painted(page: Page, address: str) -> float:
    """Seconds until the map at `address` shows its points."""
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_function(f"() => ({CANVAS})() !== null", timeout=120_000, polling="raf")
    return time.perf_counter() - began
