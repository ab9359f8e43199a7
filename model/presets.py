"""What counts as the same: for each kind of collection, what may change without a picture becoming another thing."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from model.errors import BadInput


@dataclass(frozen=True)
class Preset:
    """The random changes that make a view of a picture; see model.augment for how they are made."""

    crop: tuple[float, float] = (0.2, 1.0)  # part of the area kept
    ratio: tuple[float, float] = (3 / 4, 4 / 3)  # width : height of the crop
    mirror: float = 0.5  # probability of a left-right flip
    any_way_up: bool = False  # also flip upside down and turn by a quarter: all eight orientations alike
    brightness: float = 0.4  # factors are drawn from 1 - b to 1 + b
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1  # shift of at most this part of the colour circle
    colour: float = 0.8  # probability that the four above happen
    grey: float = 0.2  # probability of losing all colour
    blur: float = 0.5  # probability of a Gaussian blur ...
    blur_sigma: tuple[float, float] = (0.0005, 0.009)  # ... of this standard deviation, as a part of the view's side


PRESETS = {
    # Objects and scenes: SimCLR's recipe at colour strength 0.5; its blur, 0.1 to 2 px at 224, as a part of the side.
    "photo": Preset(),
    # Species, breeds, car models: colour and small parts tell them apart, so keep more of both.
    "fine-grained": Preset(
        crop=(0.35, 1.0), brightness=0.3, contrast=0.3, saturation=0.2, hue=0.03, grey=0.05, blur=0.2
    ),
    # Cells, tissue, satellites: no way is up, and stain varies between slides; size is meaningful, so crops vary less.
    "microscopy": Preset(crop=(0.4, 1.0), any_way_up=True, hue=0.08, grey=0.1, blur=0.3),
    # Surfaces and materials: the pattern repeats, so a small piece is enough; blur would erase the grain itself.
    "texture": Preset(crop=(0.2, 1.0), any_way_up=True, hue=0.05, grey=0.2, blur=0.1),
    # Things on a plain ground: shape, colour and print are what is sold; only the light of the shot may change.
    "product": Preset(crop=(0.3, 1.0), saturation=0.2, hue=0.02, grey=0.05, blur=0.3),
    # Drawings, maps, diagrams: lines carry it all, so little blur; ink and paper colour do not matter.
    "drawing": Preset(crop=(0.35, 1.0), brightness=0.3, contrast=0.5, hue=0.3, grey=0.4, blur=0.1),
}
ALIASES = {"satellite": "microscopy", "surface": "texture"}  # other names of the same
_NUMBERS = {field.name: field.type for field in fields(Preset) if field.type in ("float", "bool")}


def preset_named(text: str) -> Preset:
    """A preset by name, or with some of its numbers replaced: "photo", "photo,grey=0.1,blur=0"."""
    name, *changes = text.split(",")
    if name not in PRESETS and name not in ALIASES:
        raise BadInput(f"the preset is one of {', '.join((*PRESETS, *ALIASES))}; {name!r} is none of them")
    changed: dict[str, float | bool] = {}
    for change in changes:
        field, _, value = change.partition("=")
        try:
            if not 0 <= (number := float(value)) <= 1 or field not in _NUMBERS:
                raise ValueError
        except ValueError:
            raise BadInput(
                f"{change!r} does not change a preset; write NAME=NUMBER with a number from 0 to 1 and a name out of "
                f"{', '.join(_NUMBERS)}"
            ) from None
        changed[field] = bool(number) if _NUMBERS[field] == "bool" else number
    return replace(PRESETS[ALIASES.get(name, name)], **changed)  # type: ignore[arg-type]
