import json
import tarfile
from pathlib import Path

import pytest

from model import shipped
from model.info import INFO, WEIGHTS, read_verified
from scripts import default_encoder
from scripts.default_encoder import RECIPES, main, read
from tests.pictures import NAMES, views

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """24 pictures in one folder, numbered."""
    folder = tmp_path_factory.mktemp("set") / "photos"
    folder.mkdir()
    for number, view in enumerate(view for name in NAMES[:6] for view in views(name, 4, size=48)):
        view.save(folder / f"{number:05}.webp", quality=90)
    return folder


@pytest.fixture
def small(monkeypatch) -> None:
    """The recipe, in a second or two."""
    chosen = {"epochs": 1, "batch_size": 8, "image_size": 16, "grow_from": 16, "head_hidden": 32}
    monkeypatch.setattr(default_encoder, "NATIVE", 24)
    monkeypatch.setitem(RECIPES, "cpu", default_encoder.Recipe(32, chosen, "a test"))


def archives(photos: Path, folder: Path) -> list[Path]:
    """The same pictures in two archives, out of order."""
    files = sorted(photos.iterdir(), reverse=True)
    made = []
    for number in range(2):
        made.append(folder / f"photos-{number}.tar.xz")
        with tarfile.open(made[-1], "w:xz") as archive:
            for file in files[number::2]:
                archive.add(file, f"photos/{file.name}")
    return made


def test_archives_and_the_folder_that_they_unpack_to_are_read_alike(photos, tmp_path):
    from_archives = read(archives(photos, tmp_path))

    assert from_archives == [path.read_bytes() for path in read([photos])]
    assert len(from_archives) == 24


def test_stopped_and_called_again_it_leaves_one_whole_model_with_its_card(photos, tmp_path, small, capsys):
    command = ["--device", "cpu", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "default")]

    stopped = main([*command, "--photos", str(photos), "--minutes", "1e-9"])
    said = capsys.readouterr().err
    left = (tmp_path / "default").exists()
    finished = main([*command, "--photos", *map(str, archives(photos, tmp_path))])

    assert (stopped, left, finished) == (1, False, 0)
    assert said.splitlines()[-1].startswith("Stopped in epoch 1 of 1")
    info, weights = read_verified(tmp_path / "default")
    assert len(weights) < 25_000_000
    assert {file.name for file in (tmp_path / "default").iterdir()} == {WEIGHTS, INFO, shipped.CARD}
    assert (info.backbone, info.started_from, info.preparation.image_size) == ("resnet18", "random", 32)
    assert (info.training["pictures"], info.training["provisional"]) == (24, "a test")
    card = (tmp_path / "default" / shipped.CARD).read_text()
    assert info.fingerprint in card
    assert "PROVISIONAL" in card
    assert "Not measured yet" in card


def test_figures_go_into_the_card_without_another_training(photos, tmp_path, small, capsys):
    out = tmp_path / "default"
    main(["--device", "cpu", "--work", str(tmp_path / "work"), "--out", str(out), "--photos", str(photos)])
    before = (out / WEIGHTS).read_bytes()
    row = {"metric": "steel: 5-shot, shipped", "value": 71.5, "unit": "%", "baseline": 42.0, "target": "≥ 70"}
    rows = [{**row, "met": True, "status": "measured"}, {**row, "value": None, "met": None, "status": "not measured"}]
    figures = {"name": "encoder", "date": "2026-01-02", "hardware": "2 cores", "notes": ["a note"], "rows": rows}
    (tmp_path / "figures.json").write_text(json.dumps(figures))

    done = main(["--out", str(out), "--figures", str(tmp_path / "figures.json")])

    card = (out / shipped.CARD).read_text()
    assert done == 0
    assert "| steel: 5-shot, shipped | 71.5 | % | 42 | ≥ 70 | yes |" in card
    assert "| steel: 5-shot, shipped | not measured | % | 42 | ≥ 70 |  |" in card
    assert "2026-01-02, 2 cores." in card
    assert (out / WEIGHTS).read_bytes() == before


@pytest.mark.parametrize("arguments", [(), ("--figures", "none.json")])
def test_without_photographs_it_says_what_is_missing(tmp_path, capsys, arguments):
    assert main(["--out", str(tmp_path / "default"), *arguments]) == 1
    assert "--photos" in capsys.readouterr().err


def test_the_card_says_where_the_pictures_come_from_and_what_may_be_done_with_it():
    card = (ROOT / "scripts" / "model_card.md").read_text()

    for heading in ("Data", "Recipe", "Figures", "Limits", "Bias"):
        assert f"## {heading}\n" in card
    assert "Licence state" in card
    assert "scripts/train_default" in card
