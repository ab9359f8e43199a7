"""Every benchmark, with few pictures: `scripts/bench NAME --quick`. Some as someone types it, in a process of its own;
the others in this one, where torch is there already and what exports a model has been loaded."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from model.checkpoint import save_model
from model.network import starting_point
from tests.pictures import NAMES, write_folders

ROOT = Path(__file__).parents[2]
WITHOUT_LIKENESS = ("train", "cifar10", "encoder", "adapt")  # run where only what model/ needs is installed


def bench(*arguments: object, root: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [root / "scripts" / "bench", *map(str, arguments)]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def quick(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., dict[str, Any]]]:
    """`scripts/bench NAME --quick --json` in this process: the document it prints."""
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}  # some take them over

    def run(name: str, *arguments: object) -> dict[str, Any]:
        assert not import_module(f"scripts.benchmarks.{name}").main(["--quick", "--json", *map(str, arguments)])
        document: dict[str, Any] = json.loads(capfd.readouterr().out)
        return document

    yield run
    for number, handler in signals.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("arguments", [(), ("table",), ("peer", "--json"), ("../benchmarks/train",)])
def test_what_is_no_benchmark_is_answered_with_their_names(arguments):
    done = bench(*arguments)

    assert done.returncode == 1
    names = "adapt cifar10 cost duplicates encoder import int8 labelling load loop map probe search steer train ui"
    assert done.stderr.strip().endswith(f"NAME is one of: {names}")


def test_every_benchmark_does_its_work_when_it_is_called():
    files = [file for file in (ROOT / "scripts" / "benchmarks").glob("*.py") if "\ndef main(" in file.read_text()]

    assert len(files) == 16
    for file in files:
        called = file.read_text().partition('\nif __name__ == "__main__":\n')[2].strip()
        assert called in ("main()", "raise SystemExit(main())", "sys.exit(main())"), file.name


def test_the_trainers_benchmarks_import_nothing_of_app_or_indexer():
    seen, todo = set(), list(WITHOUT_LIKENESS)
    while todo:
        file = ROOT / "scripts" / "benchmarks" / f"{todo.pop()}.py"
        if file in seen or not file.exists():
            continue
        seen.add(file)
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
                for name in names:
                    assert name.split(".")[0] not in ("app", "indexer", "ui", "tests"), f"{file.name} imports {name}"
                    assert name.split(".")[0] != "scripts" or name.startswith("scripts.benchmarks"), file.name
                if names[0].startswith("scripts.benchmarks"):
                    todo += [names[0].rpartition(".")[2], *(alias.name for alias in node.names)]

    used = {"judge", "labelled", "peer", "table", "trade", *WITHOUT_LIKENESS}
    assert used <= {file.stem for file in seen}


def test_bench_train_measures_this_machine_from_scripts_and_model_alone_and_says_what_it_did_not_measure(tmp_path):
    for part in ("scripts", "model"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))

    done = bench("train", "--quick", "--device", "cpu", "--json", root=tmp_path, PYTHON=sys.executable)

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


def test_bench_cifar10_trains_judges_and_reports(quick, tmp_path):
    for half, seed in (("train", 0), ("test", 1)):
        write_folders(tmp_path / "set" / half, NAMES[:3], 10, size=32, seed=seed)

    said = quick(
        *("cifar10", "--device", "cpu", "--variant", "views-4"),
        *("--images", tmp_path / "set", "--out", tmp_path / "out"),
    )

    assert said["notes"][0].startswith("variant views-4; predicted: ")
    assert said["notes"][1].startswith("30 pictures trained on, 30 judged")
    values = {each["metric"].split(",")[0]: each["value"] for each in said["rows"]}
    assert all(0 <= values[metric] <= 100 for metric in ("k-NN", "linear: L2 logistic regression"))
    assert values["minutes of pretrain()"] > 0
    assert {each["status"] for each in said["rows"]} == {"quick"}
    kept = json.loads((tmp_path / "out" / "quick-views-4-100-0" / "report.json").read_text())
    assert kept["rows"] == said["rows"]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("labelled") / "steel"
    write_folders(folder, NAMES[:3], 12, size=48)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A model folder: what is judged instead of the encoder that ships."""
    models = tmp_path_factory.mktemp("models")
    start = starting_point("random", "test_resnet", 32, models, seed=0)
    return models / save_model(start.backbone, start.preparation, models, started_from="random").fingerprint


def test_bench_encoder_judges_a_model_beside_an_untrained_one_and_a_histogram_and_prints_the_trade(
    quick, labelled, tiny
):
    said = quick("encoder", "--device", "cpu", "--images", labelled, "--model", tiny)

    rows = {each["metric"].split(" (")[0]: each for each in said["rows"]}
    for measure in ("linear", "k-NN, k=20", "5-shot", "precision@10"):
        ours, untrained = (rows[f"steel: {measure}, {who}"] for who in ("shipped", "untrained"))
        assert ours["baseline"] == untrained["value"] > 0
        assert rows[f"steel: {measure}, colour histogram"]["baseline"] == untrained["value"]
    assert (rows["steel: 5-shot, shipped"]["target"], rows["steel: 5-shot, shipped"]["met"]) == ("≥ 70", None)
    for size in (32, 64):
        assert rows[f"steel: encoded at {size} px, speed"]["value"] > 0
    assert rows["steel: encoded at 32 px, precision@10"]["ratio"] == 1  # the model's own side
    assert said["notes"][0] == f"shipped: {tiny.name}, encoding at 32 px, fit centre"


def test_bench_adapt_trains_on_all_and_on_half_and_says_what_was_gained(quick, labelled, tiny, tmp_path):
    said = quick("adapt", "--device", "cpu", "--images", labelled, "--model", tiny, "--out", tmp_path)

    notes = "\n".join(said["notes"])
    assert "transductive: 36 trained on, 36 judged" in notes
    assert "held out: 18 trained on, 18 judged" in notes
    for variant in ("transductive", "held out"):
        accuracy, points, near, minutes = (each for each in said["rows"] if each["metric"].startswith(variant))
        assert points["value"] == pytest.approx(accuracy["value"] - accuracy["baseline"], abs=1e-3)
        assert (points["target"], points["met"]) == ("≥ 10", None)
        assert near["baseline"] > 0
        assert minutes["target"] == "≤ 10"
    assert len(list(tmp_path.glob("quick-*/report.json"))) == 2


def test_bench_probe_is_judged_beside_scikit_learn_and_clicks_over_http(quick, labelled, tiny):
    said = quick(
        *("probe", "--device", "cpu", "--images", labelled, "--model", tiny),
        *("--shots", 1, "--shots", 5, "--size", 300),
    )

    rows = {each["metric"].split(" (")[0]: each for each in said["rows"]}
    for shots in (1, 5):
        right, points = rows[f"steel, {shots} a class: right"], rows[f"steel, {shots} a class: points above it"]
        assert 0 < right["value"] <= 100
        assert points["value"] == pytest.approx(right["value"] - right["baseline"], abs=1e-3)
        assert (points["target"], points["met"], points["status"]) == ("≥ 0", None, "quick")
    click = rows["300: from click to predictions, over HTTP"]
    assert click["value"] > rows["300: of which the answer that the label is kept"]["value"] > 0
    assert click["baseline"] > 0


def test_bench_labelling_asks_for_labels_and_says_what_random_ones_bring(quick, labelled, tiny):
    said = quick("labelling", "--device", "cpu", "--images", labelled, "--model", tiny)

    rows = {each["metric"].split(" (")[0]: each for each in said["rows"]}
    for budget in (10, 20):
        right, points = (rows[f"steel, {budget} labels: {what}"] for what in ("right", "points above random"))
        assert 0 < right["value"] <= 100
        assert points["value"] == pytest.approx(right["value"] - right["baseline"], abs=1e-3)
        assert (points["met"], points["status"]) == (None, "quick")
        assert rows[f"steel, {budget} labels: right, without the mixture"]["baseline"] == right["baseline"]


def test_bench_load_says_who_was_served_and_how_long_health_took():
    done = bench("load", "--quick", "--json")

    assert done.returncode == 0, done.stderr
    rows = {each["metric"].split(",")[0]: each for each in json.loads(done.stdout)["rows"]}
    assert rows["pictures served"]["value"] == rows["pictures served"]["baseline"] == 8
    assert rows["other answers"]["value"] == rows["health not answered"]["value"] == 0
    assert (rows["health"]["status"], rows["health"]["met"]) == ("quick", None)


def test_bench_map_judges_places_and_clusters_beside_their_baselines(quick, labelled, tiny):
    said = quick("map", "--images", labelled, "--model", tiny)

    rows = {each["metric"]: each for each in said["rows"]}
    assert 0 < rows["steel: nearest kept near on the map"]["baseline"] <= 1
    assert rows["steel: clusters beside classes (AMI)"]["value"] > 0


def test_bench_duplicates_says_what_it_finds_of_each_change_and_how_long_a_look_takes(quick, labelled, tiny):
    said = quick("duplicates", "--images", labelled, "--model", tiny)

    rows = {each["metric"]: each for each in said["rows"]}
    assert rows["steel: half the size: found of 5"]["value"] >= 80
    assert rows["steel: a tenth cropped: found of 5"]["value"] > rows["steel: a tenth cropped: found of 5"]["baseline"]
    pairs = rows["steel: pairs among its own 30 pictures"]["value"]
    assert 0 <= rows["steel: pairs among its own 30 pictures not confirmed at full size"]["value"] <= pairs
    assert rows["25 copies: found"]["value"] > 0
    assert rows["pairs whose thumbs are compared"]["value"] <= rows["pairs whose thumbs are compared"]["baseline"]
    assert rows["500 vectors: looking for near pairs"]["baseline"] > 0
    assert rows["landmarks of 500 pictures: sorting and looking up"]["value"] > 0


def test_bench_int8_says_what_each_choice_costs_beside_float32(quick, labelled, tiny):
    said = quick("int8", "--images", labelled, "--model", tiny)

    rows = {each["metric"]: each for each in said["rows"]}
    for name in ("as it is made", "first layer in int8 too", "eight bits of weights"):
        assert 0 < rows[f"steel: 10 nearest that stay, {name}"]["value"] <= 1
        assert 0 < rows[f"steel: k-NN, {name}"]["baseline"] <= 100
        assert rows[f"steel: encoding, {name}"]["baseline"] > 0
    assert rows["steel: 10 nearest that stay, as it is made"]["target"] == "≥ 0.95"


def test_bench_import_goes_through_a_part_in_both_arithmetics_and_adds_up_all_processes():
    done = bench(*("import", "--quick", "--json", "--part", "150 px", "--part", "memory", "--count", 24, "--known", 60))

    assert done.returncode == 0, done.stderr
    rows = {each["metric"]: each for each in json.loads(done.stdout)["rows"]}
    for arithmetic in ("float32", "int8"):
        ours = rows[f"150 px, {arithmetic}: import + index"]
        assert ours["value"] > 0
        assert ours["baseline"] > 0
        assert rows[f"150 px, {arithmetic}: import + index beside the limit"]["baseline"] > 0
    held = rows["import of 60 pictures, peak memory of all processes"]
    assert 0.05 < held["value"] < 8  # GB: the command and a worker for every core
    assert len(rows) == 8
