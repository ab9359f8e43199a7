"""What a training costs is measured by steps of it."""

import time
from dataclasses import replace

import pytest
import torch

from model.errors import Cancelled
from model.estimate import SMALL, measure_step
from model.memory import growth
from model.resume import STATE
from model.step import Step
from tests.model.runs import TINY, parts_of


def test_steps_of_the_training_itself_are_measured_and_its_start_stays_as_it_was(pixels, start):
    before = {name: tensor.clone() for name, tensor in start.backbone.state_dict().items()}
    torch.manual_seed(3)
    drawn = torch.rand(2)
    torch.manual_seed(3)

    cost = measure_step(pixels, start, replace(TINY, batch_size=4), encoded_at=40, seconds=1)

    assert torch.equal(torch.rand(2), drawn)
    assert (cost.device, cost.batch) == ("cpu", 4)
    assert cost.steps >= 1
    assert cost.views_per_second > 0
    assert cost.whole_seconds > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in start.backbone.state_dict().items())


def test_a_step_that_would_take_too_long_is_measured_in_a_smaller_batch(pixels, start):
    cost, larger = (
        measure_step(pixels, start, replace(TINY, batch_size=size), encoded_at=40, seconds=1e-9) for size in (256, 512)
    )

    assert cost.batch == larger.batch == SMALL
    each = Step(start, TINY, torch.device("cpu")).bytes_per_view()
    assert larger.memory - cost.memory > 2 * 256 * each  # two views a picture
    assert cost.memory > 2 * (256 - SMALL) * each


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_bytes_of_a_state_are_those_that_a_run_writes(pixels, start, tmp_path, optimizer):
    from model.train import pretrain

    settings = replace(TINY, optimizer=optimizer)
    pretrain(pixels, start, settings, tmp_path)

    cost = measure_step(pixels, start, settings, encoded_at=40, seconds=1e-9)

    written = sum((tmp_path / part).stat().st_size for part in parts_of(tmp_path))
    assert (tmp_path / STATE).exists()
    assert 0.8 * cost.state < written < 1.1 * cost.state  # numbers shrink a little


def test_memory_is_what_was_taken_beyond_what_the_process_had():
    megabytes = 64
    with growth(torch.device("cpu")) as grown:
        taken = torch.ones(megabytes << 18)  # float32, written to: only then it is there
        time.sleep(0.2)
        assert taken.sum() > 0
        del taken
        assert megabytes << 20 <= grown() < 4 * megabytes << 20


def test_it_can_be_stopped(pixels, start):
    with pytest.raises(Cancelled):
        measure_step(pixels, start, TINY, encoded_at=40, stop=lambda: True)
