"""The command itself, as someone types it: `scripts/bench NAME`."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import NAMES, write_folders

ROOT = Path(__file__).parents[2]
WITHOUT_LIKENESS = ("train", "cifar10")  # run where only what model/ needs is installed


def bench(*arguments: object, root: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [root / "scripts" / "bench", *map(str, arguments)]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("arguments", [(), ("table",), ("peer", "--json"), ("../benchmarks/train",)])
def test_what_is_no_benchmark_is_answered_with_their_names(arguments):
    done = bench(*arguments)

    assert done.returncode == 1
    assert done.stderr.strip().endswith("NAME is one of: cifar10 loop train")


@pytest.mark.parametrize("name", WITHOUT_LIKENESS)
def test_a_benchmark_of_the_trainer_runs_from_scripts_and_model_alone(tmp_path, name):
    for part in ("scripts", "model"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))

    done = bench(name, "--help", root=tmp_path, PYTHON=sys.executable)

    assert done.returncode == 0, done.stderr
    assert f"scripts/bench {name}" in done.stdout


def test_the_trainers_benchmarks_import_nothing_of_app_or_indexer():
    seen, todo = set(), list(WITHOUT_LIKENESS)
    while todo:
        file = ROOT / "scripts" / "benchmarks" / f"{todo.pop()}.py"
        if file in seen or not file.exists():
            continue
        seen.add(file)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert node.module.split(".")[0] not in ("app", "indexer", "ui"), f"{file.name} imports {node.module}"
                if node.module.startswith("scripts.benchmarks"):
                    todo += [node.module.rpartition(".")[2], *(alias.name for alias in node.names)]

    assert {"train.py", "cifar10.py", "peer.py", "judge.py", "table.py"} <= {file.name for file in seen}


def test_bench_train_measures_this_machine_and_says_what_it_did_not_measure():
    done = bench("train", "--quick", "--device", "cpu", "--json", OMP_NUM_THREADS="1")

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    rows = {each["metric"]: each for each in said["rows"]}
    assert len(rows) == len(said["rows"])
    gpu = [each for metric, each in rows.items() if metric.startswith("GPU")]
    assert [each["target"] for each in gpu if "≥ 25,000" in each["target"]] == ["≥ 25,000 and ratio ≥ 0.9"]
    assert all((each["status"], each["value"], each["met"]) == ("not measured", None, None) for each in gpu)
    ceiling, ours = (rows[f"CPU, ResNet-18 64 px: {what}"] for what in ("the step alone", "end to end"))
    assert ours["baseline"] == ceiling["value"] > 0
    assert ours["ratio"] == pytest.approx(ours["value"] / ceiling["value"], abs=0.006)
    assert (ours["target"], ours["met"], ours["status"]) == ("ratio ≥ 0.95", None, "quick")
    parts = [each for metric, each in rows.items() if metric.endswith(", a step")]
    assert [each["metric"].split(": ")[1].split(",")[0] for each in parts] == [
        *("augment", "forward", "loss", "backward", "optimiser")
    ]
    assert sum(each["value"] for each in parts) == pytest.approx(parts[0]["baseline"], rel=1e-3)


def test_bench_cifar10_trains_judges_and_reports(tmp_path):
    for half, seed in (("train", 0), ("test", 1)):
        write_folders(tmp_path / "set" / half, NAMES[:3], 10, size=32, seed=seed)

    done = bench(
        *("cifar10", "--quick", "--device", "cpu", "--json", "--variant", "views-4"),
        *("--images", tmp_path / "set", "--out", tmp_path / "out"),
        OMP_NUM_THREADS="1",
    )

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["notes"][0].startswith("variant views-4; predicted: ")
    assert said["notes"][1].startswith("30 pictures trained on, 30 judged")
    values = {each["metric"].split(",")[0]: each["value"] for each in said["rows"]}
    assert all(0 <= values[metric] <= 100 for metric in ("k-NN", "linear: L2 logistic regression"))
    assert values["minutes of pretrain()"] > 0
    assert {each["status"] for each in said["rows"]} == {"quick"}
    kept = json.loads((tmp_path / "out" / "quick-views-4-100-0" / "report.json").read_text())
    assert kept["rows"] == said["rows"]
