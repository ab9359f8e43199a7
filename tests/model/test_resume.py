import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from model.errors import BadInput, Cancelled
from model.learner import Learner, build_optimizer
from model.loss import nt_xent
from model.network import build_backbone
from model.resume import METRICS, PART_BYTES, STATE, RunFolder, identity_of, pack, read_state, unpack
from model.settings import TrainSettings
from model.train import pretrain
from tests.model.runs import ROOT, TINY, after, assert_same_run, contents, lines, parts_of

MB = 1_000_000


@pytest.mark.promise(4)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("stops", [(4,), (2, 3, 5)], ids=["between epochs", "three times, within epochs"])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(pixels, start, tmp_path, optimizer, stops):
    settings = replace(TINY, optimizer=optimizer)
    pretrain(pixels, start, settings, tmp_path / "whole")

    for steps in stops:
        with pytest.raises(Cancelled, match="start it again"):
            pretrain(pixels, start, settings, tmp_path / "parts", stop=after(steps))
    pretrain(pixels, start, settings, tmp_path / "parts")

    assert_same_run(tmp_path / "parts", tmp_path / "whole")


def test_what_was_written_after_the_last_state_is_written_again_not_twice(pixels, start, finished, tmp_path):
    with pytest.raises(Cancelled):
        pretrain(pixels, start, TINY, tmp_path, stop=after(5))
    with open(tmp_path / METRICS, "a") as file:
        file.write('{"epoch": 2.0, "loss": 1}\n{"epo')  # as a kill -9 leaves it

    pretrain(pixels, start, TINY, tmp_path)

    assert_same_run(tmp_path, finished)


def test_a_finished_run_is_not_trained_again(pixels, start, finished):
    before = (finished / METRICS).read_bytes()

    trained = pretrain(pixels, start, TINY, finished, stop=lambda: pytest.fail("asked, so it trained"))

    assert (finished / METRICS).read_bytes() == before
    assert trained.metrics["step"] == 12


KILLED_WHILE_SAVING = """
    import os, signal, sys
    from dataclasses import replace
    from pathlib import Path
    import torch
    from model.train import pretrain
    from tests.model.runs import TINY, tiny_pixels, tiny_start

    torch.set_num_threads(1)
    run, real = Path(sys.argv[1]), os.replace
    states = [0]

    def dying(source, target):
        states[0] += Path(target).name == "state.json"
        if states[0] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(source, target)

    os.replace = dying
    pretrain(tiny_pixels(), tiny_start(run), replace(TINY, checkpoint_minutes=0), run)  # saves after every step
"""


@pytest.mark.promise(4)
def test_a_run_killed_while_it_saves_goes_on_from_the_state_before(pixels, start, finished, tmp_path):
    program = textwrap.dedent(KILLED_WHILE_SAVING)

    child = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, timeout=120)

    assert child.returncode == -signal.SIGKILL
    assert json.loads((tmp_path / STATE).read_bytes())["progress"]["step"] == 2
    pretrain(pixels, start, TINY, tmp_path)
    assert_same_run(tmp_path, finished)
    assert {path.name for path in tmp_path.iterdir()} == {METRICS, STATE, *parts_of(tmp_path)}


KILLED_AT_EVERY_CALL = """
    import itertools, os, signal, sys
    from pathlib import Path
    import torch
    from model.resume import RunFolder

    def state(step):
        return {"a": torch.full((1000,), float(step)), "b": torch.arange(step)}

    def dying_at(fatal, real):
        def call(*arguments, **options):
            if next(calls) == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)
        return call

    for fatal in itertools.count():
        folder = RunFolder(Path(sys.argv[1], str(fatal)), {})
        folder.add("metrics.jsonl", {"step": 1})
        folder.save(state(1), {"step": 1})
        folder.add("metrics.jsonl", {"step": 2})
        if (child := os.fork()) == 0:
            calls = itertools.count()
            for name in ("open", "fsync", "replace", "unlink"):
                setattr(os, name, dying_at(fatal, getattr(os, name)))
            folder.save(state(2), {"step": 2})
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break
"""


@pytest.mark.promise(5)
def test_kill_9_at_any_moment_of_a_save_leaves_the_old_state_or_the_new(tmp_path):
    """Before each of its calls to the operating system in turn, until a save lives through them all."""
    program = textwrap.dedent(KILLED_AT_EVERY_CALL)

    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, timeout=120, check=True)

    steps = []
    for run in sorted(tmp_path.iterdir(), key=lambda path: int(path.name)):
        tensors, progress = RunFolder(run, {}).load()
        steps.append(progress["step"])
        assert torch.equal(tensors["a"], torch.full((1000,), float(steps[-1])))
        assert torch.equal(tensors["b"], torch.arange(steps[-1]))
        assert [line["step"] for line in lines(run)] == list(range(1, steps[-1] + 1))
        RunFolder(run, {}).save({"a": torch.zeros(3)}, {})
        assert {path.name for path in run.iterdir()} == {METRICS, STATE, *parts_of(run)}
    assert len(steps) > 10
    assert steps == sorted(steps)
    assert set(steps) == {1, 2}


@pytest.mark.promise(7)
def test_a_full_disk_fails_the_save_and_leaves_the_old_state_alone_in_the_folder(tmp_path, monkeypatch):
    run = RunFolder(tmp_path, {})
    run.save({"a": torch.ones(1000)}, {"step": 1})
    before = sorted(tmp_path.iterdir())
    real = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == STATE:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        run.save({"a": torch.zeros(1000)}, {"step": 2})

    assert sorted(tmp_path.iterdir()) == before
    assert run.load()[1] == {"step": 1}


def test_a_state_of_another_run_is_refused_and_kept(pixels, start, finished):
    before = contents(finished)

    with pytest.raises(BadInput, match=r"another temperature \(0.2, not 0.5\)"):
        pretrain(pixels, start, replace(TINY, temperature=0.5), finished)
    with pytest.raises(BadInput, match="another set of pictures"):
        pretrain(pixels.flip(0), start, TINY, finished)

    assert contents(finished) == before


def test_where_and_how_often_a_run_is_saved_may_change_and_what_it_learns_may_not(pixels, start):
    identity = identity_of(pixels, start, TINY)
    elsewhere = replace(TINY, device="auto", checkpoint_minutes=9, compile=True, chunk=4)

    assert identity_of(pixels, start, elsewhere) == identity
    for name, value in (("epochs", 4), ("views", 3), ("loss", "decoupled"), ("grow_from", 16)):
        assert identity_of(pixels, start, replace(TINY, **{name: value})) != identity


@pytest.mark.parametrize(
    "damage",
    [
        lambda state, part: state.write_bytes(b"\x80\x04no JSON"),
        lambda state, part: state.write_text("[]"),
        lambda state, part: state.write_text(
            state.read_text().replace('"shapes": {"', '"shapes": {"one more": [7], "')
        ),
        lambda state, part: state.write_text(state.read_text().replace('"float32"', '"nn"')),
        lambda state, part: part.write_bytes(flip_a_bit(part.read_bytes())),
        lambda state, part: part.write_bytes(part.read_bytes()[:-1]),
        lambda state, part: part.unlink(),
    ],
    ids=["no JSON", "another JSON", "other shapes", "no type", "a bit of a part", "a part cut short", "a part missing"],
)
def test_a_damaged_state_is_refused_by_name_and_says_what_to_do(pixels, start, finished, tmp_path, damage):
    run = shutil.copytree(finished, tmp_path / "run")
    damage(run / STATE, max(run.glob("*.part"), key=lambda path: path.stat().st_size))
    before = contents(run)

    with pytest.raises(BadInput, match=r"(state\.json|\.part) is damaged .*remove .*state\.json to start"):
        pretrain(pixels, start, TINY, run)

    assert contents(run) == before
    (run / STATE).unlink()
    pretrain(pixels, start, TINY, run)
    assert_same_run(run, finished)
    assert {path.name for path in run.iterdir()} == {METRICS, STATE, *parts_of(run)}


def test_every_kind_of_tensor_comes_back_bit_for_bit_from_parts_of_at_most_15_mb(tmp_path):
    random = torch.Generator().manual_seed(0)
    any_bits = torch.randint(-(2**31), 2**31, (9 * MB,), generator=random).to(torch.int32)
    tensors = {
        "any bits, so NaNs and infinities too": any_bits.view(torch.float32),
        "channels last": torch.randn(8, 3, 5, 5, generator=random).to(memory_format=torch.channels_last),
        "noise": torch.randint(0, 256, (16 * MB,), generator=random, dtype=torch.uint8),
        "half": torch.randn(7, generator=random).bfloat16(),
        "counts": torch.tensor([2**62, -1, 0]),
        "one": torch.tensor(-0.0),
        "none": torch.zeros(0, 4),
        "answers": torch.tensor([True, False]),
    }

    RunFolder(tmp_path, {}).save(tensors, {})

    read = read_state(tmp_path)
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (read[name].dtype, read[name].shape) == (tensor.dtype, tensor.shape), name
        assert as_bytes(read[name]) == as_bytes(tensor), name
    sizes = [path.stat().st_size for path in tmp_path.glob("*.part")]
    assert len(sizes) > 36 * MB / PART_BYTES + 16 * MB / PART_BYTES
    assert max(sizes) <= 15 * MB


def test_the_state_of_a_resnet18_fits_in_60_mb_and_its_weights_come_back_bit_for_bit(tmp_path):
    settings = TrainSettings(epochs=1, batch_size=8, image_size=32, optimizer="sgd", learning_rate=0.03, device="cpu")
    learner = Learner(build_backbone("resnet18", seed=0), settings)
    optimizer = build_optimizer(learner, settings, torch.device("cpu"))
    for _ in range(2):
        step(learner, optimizer)

    RunFolder(tmp_path, {}).save(pack(learner, optimizer, compact=True), {})

    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert sum(sizes) < 60 * MB  # measured: 54.0
    assert max(sizes) <= 15 * MB
    read = read_state(tmp_path)
    for name, tensor in learner.state_dict().items():
        assert torch.equal(read[f"network.{name}"], tensor), name


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_compact_state_rounds_what_the_optimiser_remembers_and_nothing_else(optimizer):
    ours, memory = tiny_learner(optimizer)
    step(ours, memory)
    theirs, other_memory = tiny_learner(optimizer)

    packed = pack(ours, memory, compact=True)
    unpack(packed, theirs, other_memory)

    assert {t.dtype for name, t in packed.items() if "exp_avg" in name or "momentum" in name} == {torch.bfloat16}
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)
        assert memory.state[one].keys() == other_memory.state[other].keys()
        for name, value in memory.state[one].items():
            read = other_memory.state[other][name]
            assert read.dtype == value.dtype == torch.float32
            assert read.stride() == (() if name == "step" else other.stride())
            assert torch.allclose(read, value, rtol=0 if name == "step" else 2**-8, atol=0), name
    step(theirs, other_memory)  # it can be gone on with


def tiny_learner(optimizer: str) -> tuple[Learner, torch.optim.Optimizer]:
    torch.manual_seed(0)
    settings = replace(TINY, optimizer=optimizer)
    learner = Learner(build_backbone("test_resnet", seed=0), settings).to(memory_format=torch.channels_last)
    return learner, build_optimizer(learner, settings, torch.device("cpu"))


def step(learner: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    nt_xent(learner(torch.randn(16, 3, 32, 32)), 0.2).backward()
    optimizer.step()


def flip_a_bit(data: bytes) -> bytes:
    return data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]


def as_bytes(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
