"""What the image, the composition and the unit say is what the program has."""

import re
import runpy
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TRY = runpy.run_path(str(ROOT / "scripts" / "try_image"))


@pytest.mark.parametrize("target", ["cuda", "cpu"])
def test_both_targets_end_as_a_user_without_rights_with_a_health_check(target):
    steps = TRY["steps_of"]((ROOT / "Dockerfile").read_text(), target)

    words = [word for word, _ in steps]
    assert words[0] == "FROM"
    assert dict(steps)["USER"] == "likeness"
    assert "/v1/health" in dict(steps)["HEALTHCHECK"]
    assert words.index("USER") > max(at for at, word in enumerate(words) if word == "RUN")


def test_the_targets_differ_in_their_torch_alone():
    cuda, cpu = (TRY["steps_of"]((ROOT / "Dockerfile").read_text(), target) for target in ("cuda", "cpu"))

    assert [step for step in cpu if step not in cuda] == [step for step in cpu if "TORCH_INDEX" in step[1]]
    assert [step for step in cuda if step not in cpu] == []


def test_all_that_the_image_copies_is_in_the_build_context():
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}

    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert names <= allowed
    assert all((ROOT / name).exists() for name in names)


def test_the_composition_is_one_service_unless_asked_for_more_and_names_settings_that_there_are():
    from app.settings import Settings

    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]

    assert [name for name, service in services.items() if not service.get("profiles")] == ["likeness"]
    own = services["likeness"]
    assert own["read_only"] is True
    assert all(port.startswith("127.0.0.1:") for port in own["ports"])
    assert {name.removeprefix("LIKENESS_").lower() for name in own["environment"]} <= set(Settings.model_fields)


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch):
    from app.settings import load_settings

    for name in ("LIKENESS_API_KEY", "LIKENESS_DATABASE_URL"):
        monkeypatch.setenv(name, "")

    settings = load_settings()

    assert (settings.api_key, settings.database_url) == (None, None)


def test_the_unit_starts_a_command_that_there_is():
    unit = (ROOT / "scripts" / "likeness.service").read_text()

    assert re.search(r"^ExecStart=/srv/likeness/\.venv/bin/likeness serve$", unit, re.MULTILINE)
