import subprocess
import sys

import pytest

from model.errors import BadInput
from model.presets import PRESETS, preset_named


def test_a_preset_is_had_by_its_name():
    assert all(preset_named(name) is not None and preset_named(name) == preset for name, preset in PRESETS.items())


def test_some_of_its_numbers_can_be_others():
    preset = preset_named("photo,grey=0.1,blur=0,any_way_up=1")

    assert (preset.grey, preset.blur, preset.any_way_up) == (0.1, 0.0, True)
    assert (preset.hue, preset.crop) == (PRESETS["photo"].hue, PRESETS["photo"].crop)


@pytest.mark.parametrize(
    "text", ["", "foto", "photo,", "photo,gray=0.1", "photo,grey=2", "photo,grey=x", "photo,crop=1"]
)
def test_what_is_no_preset_is_refused_in_a_sentence_with_the_names_there_are(text):
    with pytest.raises(BadInput, match=r"fine-grained|brightness"):
        preset_named(text)


def test_presets_are_known_without_torch():
    code = "import sys, model.presets; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
