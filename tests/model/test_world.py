"""Two real processes, as torchrun starts them, do what one process does with the whole batch."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model.checkpoint import load_model
from model.errors import BadInput
from model.pixels import learning_side
from model.world import (
    ALONE,
    World,
    any_of,
    data_parallel,
    from_first,
    gather,
    join,
    least,
    my_share,
    synchronise_batch_norm,
)
from tests.model.two_ranks import CASES, learner_of, train_alone
from tests.pictures import NAMES, write_folders

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
KINDS = ["cpu", "cuda"] if torch.cuda.device_count() >= 2 else ["cpu"]


@pytest.fixture(scope="module", params=KINDS)
def ranks(request, tmp_path_factory) -> list[dict]:
    """What each of the two processes said: gloo on the CPU and, where there are two GPUs, NCCL on them."""
    folder = tmp_path_factory.mktemp("ranks")

    program = [*TORCHRUN, "-m", "tests.model.two_ranks", str(folder), request.param]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=240)

    assert done.returncode == 0, done.stderr
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.fixture(scope="module", params=CASES)
def case(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def alone(case) -> dict:
    torch.set_num_threads(1)
    return train_alone(case)


def test_the_mean_of_two_ranks_losses_is_the_loss_of_the_whole_batch_step_after_step(ranks, alone, case):
    losses = np.mean([rank[case]["losses"] for rank in ranks], axis=0)

    assert losses == pytest.approx(alone["losses"], rel=1e-10)
    assert ranks[0][case]["losses"] != ranks[1][case]["losses"]  # each asked other rows


def test_two_ranks_gradients_are_those_of_the_whole_batch(ranks, alone, case):
    for rank in ranks:
        assert_close(rank[case]["gradients"], alone["gradients"])


def test_two_ranks_learn_the_weights_and_running_statistics_of_one_process(ranks, alone, case):
    for rank in ranks:
        assert_close(rank[case]["kept"], alone["kept"])


def test_two_ranks_stay_equal_to_the_last_bit(ranks, case):
    one, other = (rank[case]["kept"] for rank in ranks)

    assert all(torch.equal(one[name], other[name]) for name in one)


def test_evaluation_uses_the_running_statistics(ranks, alone, case):
    for rank in ranks:
        torch.testing.assert_close(rank[case]["seen"], alone["seen"], rtol=1e-8, atol=1e-10)


def assert_close(ours: dict, theirs: dict) -> None:
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-8, atol=1e-10, msg=lambda m, name=name: name + m)


def test_gather_brings_every_rank_all_rows_in_the_ranks_order(ranks):
    expected = torch.tensor([[0.0, 1], [2, 3], [4, 5], [10, 11], [12, 13], [14, 15]])

    for rank in ranks:
        assert torch.equal(rank["gathered"]["rows"], expected)


def test_gather_sends_each_rank_the_gradients_that_all_ranks_losses_give_its_rows(ranks):
    weights = torch.arange(1.0, 13).view(2, 3, 2)  # rank 0 weighs by them once, rank 1 twice

    for number, rank in enumerate(ranks):
        assert torch.equal(rank["gathered"]["gradient"], 3 * weights[number])


def test_two_ranks_agree_on_numbers_answers_and_states(ranks):
    for number, rank in enumerate(ranks):
        said = rank["agreed"]
        assert said["world"] == (number, 2, number)
        assert (said["least"], said["any"], said["none"]) == (4, True, False)
        assert said["state"]["step"] == 5
        assert torch.equal(said["state"]["sum"], torch.ones(2))


def test_alone_nothing_is_gathered_converted_or_waited_for(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    z, network = torch.ones(4, 2), nn.BatchNorm1d(2)

    assert join("cpu") == ALONE
    assert gather(z, ALONE) is z
    assert data_parallel(network, ALONE, CPU) is network
    assert synchronise_batch_norm(network, ALONE, CPU) is network
    assert (least(7, ALONE), any_of(True, ALONE), any_of(False, ALONE)) == (7, True, False)
    assert from_first(z, ALONE) is z


def test_a_world_of_one_process_is_alone(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)

    assert join("cpu") == ALONE


def test_more_processes_than_gpus_are_told_how_many_there_may_be(monkeypatch):
    for name, value in {"RANK": "64", "WORLD_SIZE": "65", "LOCAL_RANK": "64"}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(BadInput, match=f"there are {torch.cuda.device_count()} GPUs on this machine.*--nproc-per-node"):
        join("cuda")


@pytest.mark.parametrize(
    "items", [list(range(11)), tuple(range(11)), torch.arange(11)], ids=["list", "tuple", "tensor"]
)
def test_the_shares_are_everything_once_and_as_long_as_can_be(items):
    shares = [my_share(items, World(rank, 3, rank)) for rank in range(3)]

    assert [len(share) for share in shares] == [4, 4, 3]
    assert sorted(int(item) for share in shares for item in share) == list(range(11))
    assert all(type(share) is type(items) for share in shares)


@pytest.mark.parametrize("case", CASES)
def test_the_synchronised_twin_shares_every_tensor_by_name_and_leaves_the_module_plain(case):
    learner = learner_of(case, seed=0)
    kinds = {name: type(module) for name, module in learner.named_modules()}

    twin = synchronise_batch_norm(learner, World(0, 2, 0), CPU)

    ours, theirs = learner.state_dict(), twin.state_dict()
    assert list(ours) == list(theirs)
    assert all(ours[name].data_ptr() == theirs[name].data_ptr() for name in ours)
    assert all(one is other for one, other in zip(learner.parameters(), twin.parameters(), strict=True))
    assert {name: type(module) for name, module in learner.named_modules()} == kinds
    changed = {kinds[name] for name, module in twin.named_modules() if type(module) is not kinds[name]}
    assert changed
    assert all(issubclass(kind, nn.BatchNorm1d | nn.BatchNorm2d) for kind in changed)


def test_torchrun_trains_stops_at_a_signal_and_goes_on_when_run_again(tmp_path):
    write_folders(tmp_path / "images", NAMES[:4], 9, size=40)
    where = ["--images", str(tmp_path / "images"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    how = "--backbone test_resnet --init random --image-size 32 --epochs 8 --batch-size 8"
    program = [*TORCHRUN, "-m", "model.train", *where, *how.split()]

    with subprocess.Popen(program, cwd=ROOT, stderr=subprocess.PIPE, text=True) as first:
        heard = []
        for line in first.stderr:
            heard.append(line)
            if "epoch 1 of 8" in line:
                first.send_signal(signal.SIGTERM)
                break
        heard += list(first.stderr)
    second = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=240)

    assert sum(line.startswith("Stopped in epoch ") for line in heard) == 2  # both, and neither waits for the other
    assert second.returncode == 0, second.stderr
    lines = [json.loads(line) for line in (tmp_path / "out" / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 9))  # none is missing, none is there twice
    backbone, info = load_model(Path(second.stdout.strip()))
    assert (backbone.name, info.training["settings"]["batch_size"]) == ("test_resnet", 8)


def test_the_room_that_imagenet_takes_is_as_the_page_says():
    said = (ROOT / "docs" / "several-gpus.md").read_text()

    for size in (96, 128, 224):
        side = learning_side(size, 375)  # of ImageNet's pictures, the middle one's shorter side
        total = 1_281_167 * 3 * side**2 / 1e9
        assert f"| {size} px | {side} px | {total:.0f} GB | {total / 8:.0f} GB |" in said
