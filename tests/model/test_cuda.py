"""What can only be seen on a GPU: that no step waits for the host, that memory is kept to and given back."""

import math
from dataclasses import replace

import pytest
import torch

from model.errors import Cancelled
from model.feed import Feed
from model.learner import generator
from model.network import starting_point
from model.settings import TrainSettings
from model.step import Step
from model.train import pretrain
from tests.model.runs import after, lines, read_state

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
SETTINGS = TrainSettings(
    epochs=2, batch_size=16, image_size=32, optimizer="sgd", learning_rate=0.03, warmup_epochs=0, device="cuda"
)


@pytest.fixture
def start(tmp_path):
    return starting_point("random", "resnet18", 32, tmp_path, seed=0, stem="cifar")


@pytest.mark.parametrize("optimizer", ["sgd", "lars", "adamw"])
@pytest.mark.parametrize("chunk", [32, 8])
def test_no_step_waits_for_the_host(pixels, start, optimizer, chunk):
    device = torch.device("cuda", 0)
    step = Step(start, replace(SETTINGS, optimizer=optimizer, chunk=chunk), device)
    batches = Feed(pixels, device).batches(torch.arange(32).repeat(3), 16)

    def learn() -> None:
        step.learn(step.views(next(batches), generator(device, 1), 32))

    learn()  # kernels are chosen and memory is taken
    learn()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        learn()
        learn()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_memory_is_given_back_after_the_run(pixels, start, tmp_path):
    pretrain(pixels, start, SETTINGS, tmp_path / "first")  # what CUDA itself keeps for good is taken here
    before = torch.cuda.mem_get_info()[0]

    pretrain(pixels, start, SETTINGS, tmp_path / "second")

    assert torch.cuda.mem_get_info()[0] >= before - 64 * 2**20  # kernels are loaded when they are first needed


def test_a_batch_larger_than_the_memory_goes_through_in_parts(start, tmp_path):
    many = torch.randint(0, 256, (1200, 3, 96, 96), dtype=torch.uint8)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(2 * 2**30 / total)
    try:
        trained = pretrain(many, start, replace(SETTINGS, batch_size=1024, image_size=64, epochs=1), tmp_path)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)

    assert math.isfinite(trained.metrics["loss"])


@pytest.mark.parametrize("compiled", [False, True])
def test_a_run_goes_on_where_it_was_and_learns(pixels, start, tmp_path, compiled):
    settings = replace(SETTINGS, epochs=20, compile=compiled)
    with pytest.raises(Cancelled):
        pretrain(pixels, start, settings, tmp_path, stop=after(7))

    trained = pretrain(pixels, start, settings, tmp_path)

    losses = [line["loss"] for line in lines(tmp_path)]
    assert trained.metrics["step"] == 40
    assert losses[-1] < losses[0] - 0.5
    assert all(tensor.isfinite().all() for tensor in read_state(tmp_path).values())
