"""What a training will be: settings chosen from the collection and the machine, and the weights it starts from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.views import view_size
from app.workspace import Workspace, find_model, float32_of
from indexer.catalog import Collection
from indexer.images import contents_of, median_side
from model import shipped
from model.info import ModelInfo
from model.settings import TrainSettings, choose_stem, sensible

if TYPE_CHECKING:  # torch, which takes seconds to load
    from model.network import Start


@dataclass(frozen=True)
class Plan:
    """A training before it begins."""

    rows: list[tuple[int, str, str]]  # id, SHA-256 and preview suffix of every image
    previews: list[Path]
    start: Start
    earlier: ModelInfo | None  # the model it starts from, where that is one of ours
    settings: TrainSettings
    reason: str  # for the settings, in a sentence
    side: int  # px, of the squares that views are cut from
    encoded_at: int  # px, at which the new model will encode
    named: str  # the same for the same training of the same pictures


def planned(workspace: Workspace, collection: Collection, chosen: dict[str, Any]) -> Plan:
    """The training that `chosen` asks for: init, backbone, device and fields of `TrainSettings`, all optional.

    Raises NoSuchModel, BadInput, TooFewImages, WeightsUnavailable.
    """
    from model.learner import pick_device
    from model.network import require_size, starting_point, takes_size
    from model.pixels import encoding_side, learning_side

    home, chosen = workspace.home, dict(chosen)
    init = chosen.pop("init", None) or "default"
    backbone = chosen.pop("backbone", None) or "resnet18"
    earlier = shipped.bring_into(home.models, backbone) if init == "default" else None
    if earlier is not None:
        init = earlier.fingerprint
    elif init not in ("default", "random") and not init.startswith("timm:"):
        earlier = float32_of(home, find_model(home, init))
        init = earlier.fingerprint
    rows = contents_of(workspace.engine, collection)
    native = median_side(workspace.engine, collection)
    chosen.setdefault("preset", collection.preset)
    device = pick_device(chosen.pop("device", None) or workspace.settings.device)
    stem = choose_stem("auto", native, backbone, init)
    if not chosen.get("image_size"):
        chosen["image_size"] = view_size(native, device.type, stem if earlier is None else earlier.stem)
    own_size = chosen["image_size"] if init in ("default", "random") else None
    start = starting_point(init, backbone, own_size, home.models, chosen.get("seed") or 0, stem)
    settings, reason = sensible(len(rows), device.type, start.backbone.name, **chosen)
    require_size(start.backbone, settings.image_size)
    encoded_at = encoding_side(settings.image_size, native)
    if not takes_size(start.backbone, encoded_at):
        encoded_at = settings.image_size
    deciding = repr((init, backbone, settings, [sha256 for _, sha256, _ in rows]))
    return Plan(
        rows,
        [home.preview(sha256, suffix) for _, sha256, suffix in rows],
        start,
        earlier,
        settings,
        reason,
        learning_side(settings.image_size, native),
        encoded_at,
        hashlib.sha256(deciding.encode()).hexdigest()[:12],
    )
