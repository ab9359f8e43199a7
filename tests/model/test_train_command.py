import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model.checkpoint import load_model
from tests.model.runs import ROOT, lines
from tests.pictures import NAMES, write_folders

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(images: Path, out: Path) -> list[str]:
    options = "--backbone test_resnet --init random --image-size 32 --epochs 20 --batch-size 8 --device cpu"
    return [sys.executable, "-m", "model.train", "--images", str(images), "--out", str(out), *options.split()]


def test_the_command_stops_at_a_signal_goes_on_when_run_again_and_names_what_it_skipped(tmp_path):
    write_folders(tmp_path / "images", NAMES[:4], 6, size=40)
    (tmp_path / "images" / "cat" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    images, out = tmp_path / "images", tmp_path / "out"

    with subprocess.Popen(command(images, out), cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as first:
        heard = []
        for line in first.stderr:
            heard.append(line)
            if "views/s" in line:
                first.send_signal(signal.SIGTERM)
                break
        heard += list(first.stderr)
    second = subprocess.run(
        command(images, out), cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )

    assert first.returncode == 1
    assert heard[-1].startswith("Stopped in epoch ")
    assert any("broken.jpg" in line for line in heard)
    assert "Traceback" not in "".join(heard)
    assert second.returncode == 0, second.stderr
    assert "epoch 20 of 20" in second.stderr
    epochs = [line["epoch"] for line in lines(out / "run")]
    assert epochs == list(range(1, 21))
    backbone, info = load_model(Path(second.stdout.strip()))
    assert (backbone.name, info.started_from, info.training["pictures"]) == ("test_resnet", "random", 24)


@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--images", "nowhere"]])
def test_the_command_answers_a_mistake_with_one_sentence(tmp_path, capsys, arguments):
    from model.train_command import main

    write_folders(tmp_path / "images", ("cat",), 10, size=40)
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        code = main(["--images", str(tmp_path / "images"), "--out", str(tmp_path / "out"), *arguments])
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), handlers, strict=True):
            signal.signal(number, handler)

    assert code == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
