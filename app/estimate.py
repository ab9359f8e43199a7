"""What a training will cost on this machine, before it is begun: time, memory and disk, from ten seconds of it."""

from __future__ import annotations

import math
import time
from typing import Any

from app.plan import planned
from app.report import GALLERY
from app.work import Progress, Stop, never, silent
from app.workspace import Workspace
from indexer.catalog import Collection
from model.compare import HELD_OUT
from model.errors import TooFewImages
from model.measure import VIEWS
from model.progress import Line, duration
from model.settings import held_out

LOADED = 256  # pictures that are decoded for it, at most
IN_VECTORS = 2 + 4  # bytes of a number in `vectors/` and in the index


def estimated(
    workspace: Workspace,
    collection: Collection,
    chosen: dict[str, Any],
    progress: Progress = silent,
    stop: Stop = never,
) -> dict[str, Any]:
    """Take steps of the training that `chosen` asks for, and say what all of it would cost.

    Raises what the training would raise at its beginning.
    """
    from model.estimate import measure_step
    from model.lookout import LABELLED, SAMPLE
    from model.pixels import load_pixels
    from model.ram import available_memory
    from model.train import WATCH_TIMES

    pins = chosen.get("pins")
    plan = planned(workspace, collection, {k: v for k, v in chosen.items() if k not in ("adopt", "pins")})
    settings, count = plan.settings, len(plan.rows)
    settings.require_enough(count)
    progress(0.05, Line("reading_some", "reading some of {n:,} pictures", n=count))
    spaced = [plan.previews[i * count // min(LOADED, count)] for i in range(min(LOADED, count))]
    began = time.monotonic()
    pixels = load_pixels(spaced, plan.side, plan.start.preparation.fit, refused=lambda position, error: None)
    reading = (time.monotonic() - began) / len(spaced)
    if len(pixels) < 2:
        raise TooFewImages(f"The previews of {collection.name!r} are missing: import its folders again.")
    progress(0.2, Line("steps", "taking some steps of this training"))
    cost = measure_step(pixels, plan.start, settings, plan.encoded_at, stop=stop)

    kept_out = held_out(count)
    trained = count - kept_out
    views = settings.epochs * (trained // settings.batch_size) * settings.batch_size * settings.views
    looks = math.ceil(settings.epochs / math.ceil(settings.epochs / WATCH_TIMES))
    view = cost.whole_seconds * (settings.image_size / plan.encoded_at) ** 2
    look = 2 * kept_out * view + (SAMPLE if pins else LABELLED) * cost.whole_seconds
    gallery = min(count, GALLERY)
    asked = kept_out if kept_out >= HELD_OUT else gallery
    parts = {
        "reading": count * reading,
        "learning": views / cost.views_per_second,
        "evaluations": looks * look,
        "report": 2 * (gallery + VIEWS * asked) * cost.whole_seconds,
    }
    all_pixels = count * pixels[0].nbytes
    spilled = all_pixels > available_memory() / 2
    # A new state is written before the old one goes; afterwards the model and its vectors stay.
    disk = max(2 * cost.state, cost.weights + count * plan.start.backbone.dim * IN_VECTORS)
    found = {
        "seconds": round(sum(parts.values()), 1),
        "parts": {name: round(value, 1) for name, value in parts.items()},
        "views_per_second": round(cost.views_per_second, 1),
        "measured": {"steps": cost.steps, "batch_size": cost.batch},
        "memory_mb": round((cost.memory + (0 if spilled else all_pixels)) / 1e6),
        "disk_mb": round((disk + (all_pixels if spilled else 0)) / 1e6),
        "pictures": count,
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "image_size": settings.image_size,
        "backbone": plan.start.backbone.name,
        "device": cost.device,
        "reason": plan.reason,
    }
    return {**found, "sentence": _sentence(found)}


def _sentence(found: dict[str, Any]) -> Line:
    where, memory = {"cpu": ("CPU", "memory"), "cuda": ("GPU", "GPU memory")}[found["device"]]
    return Line(
        f"estimate_{found['device']}",
        f"About {duration(found['seconds'])} on this machine's {where}: {{epochs}} epoch{'s' * (found['epochs'] != 1)} "
        f"of {{pictures:,}} pictures at {{rate:,}} views a second. It takes about {{memory:,}} MB of {memory} and "
        "{disk:,} MB of disk.",
        time=duration(found["seconds"]), epochs=found["epochs"], pictures=found["pictures"],
        rate=round(found["views_per_second"]), memory=found["memory_mb"], disk=found["disk_mb"],
    )  # fmt: skip
