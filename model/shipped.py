"""The encoder that travels with Likeness: `--init default`, and what a new collection is searched with at once.

It lies in `model/default`, a model folder like any other, with a card; scripts/train_default makes it again. Where it
is missing, everything that would use it starts from random weights instead. Needs no torch.
"""

from __future__ import annotations

from pathlib import Path

from model.errors import DamagedModel
from model.files import create_folder_atomically, write_atomically
from model.info import INFO, WEIGHTS, ModelInfo, read_info, read_verified

FOLDER = Path(__file__).parent / "default"
CARD = "MODEL_CARD.md"


def suits(backbone: str) -> bool:
    """Whether there is one, and it is a `backbone`."""
    return (FOLDER / INFO).exists() and read_info(FOLDER).backbone == backbone


def bring_into(models: Path, backbone: str = "resnet18") -> ModelInfo | None:
    """Copy it to `models/<fingerprint>/`, unless it is there already; None when no `backbone` ships.

    A copy, so that an index made with it outlives the next version of Likeness, which may ship another one.
    """
    if not suits(backbone):
        return None
    info, weights = read_verified(FOLDER)
    try:
        return read_verified(models / info.fingerprint)[0]
    except DamagedModel:

        def fill(partial: Path) -> None:
            write_atomically(partial / WEIGHTS, weights)
            write_atomically(partial / INFO, (FOLDER / INFO).read_bytes())
            if (FOLDER / CARD).exists():  # what may be done with it goes where it goes
                write_atomically(partial / CARD, (FOLDER / CARD).read_bytes())

        create_folder_atomically(models / info.fingerprint, fill)
    return info
