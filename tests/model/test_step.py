from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model import step as step_module
from model.errors import TrainingFailed
from model.learner import generator, view_size
from model.memory import bytes_per_view, parts_that_fit
from model.network import starting_point
from model.settings import TrainSettings
from model.step import Step
from tests.pictures import NAMES, labelled_views

CPU = torch.device("cpu")
SETTINGS = TrainSettings(
    epochs=2,
    batch_size=12,
    image_size=32,
    learning_rate=1e-3,
    head_hidden=32,
    head_out=16,
    device="cpu",
    precision="float32",  # so that what remains of a difference is a mistake
)


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    """(12, 3, 40, 40) uint8"""
    images, _ = labelled_views(NAMES[:6], 2, size=40)
    return torch.from_numpy(np.asarray(images)).permute(0, 3, 1, 2).contiguous()


def step_of(backbone: str, models, **changes) -> Step:
    start = starting_point("random", backbone, 32, models, seed=0)
    torch.manual_seed(0)  # the head's weights
    return Step(start, replace(SETTINGS, **changes), CPU)


def drawn(step: Step, pixels: Tensor) -> Tensor:
    return step.views(pixels, generator(CPU, 1), 32)


def gradients(step: Step) -> list[Tensor]:
    return [p.grad.clone() for p in step.learner.parameters()]


def assert_close(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max() + 1e-7


@pytest.mark.parametrize("chunk", [24, 8, 7, 2])
def test_a_batch_that_goes_through_in_parts_has_the_gradients_of_the_whole(pixels, tmp_path, chunk):
    """Shown where nothing but the loss looks across the batch; the head's batch norm and the negatives do."""
    whole, parts = (step_of("test_vit", tmp_path, chunk=c, loss="nt-xent") for c in (24, chunk))
    views = drawn(whole, pixels)
    assert parts.chunk <= chunk

    losses = [step.loss(step.embed(views)) for step in (whole, parts)]
    for loss in losses:
        loss.backward()

    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-6)
    assert_close(gradients(parts), gradients(whole))


def test_batch_norm_in_the_backbone_sees_each_part_once(pixels, tmp_path):
    """Beside a plain pass, part by part, that keeps everything for the backward pass."""
    step, plain = (step_of("test_resnet", tmp_path, chunk=6) for _ in range(2))
    views = drawn(step, pixels)

    step.loss(step.embed(views)).backward()
    features = torch.cat([plain.learner.backbone(part) for part in views.split(6)])
    plain.loss(plain.learner.head(features)).backward()

    assert_close(gradients(step), gradients(plain))
    for (name, ours), theirs in zip(step.learner.named_buffers(), plain.learner.buffers(), strict=True):
        if "running" in name:
            assert (ours - theirs).abs().max() < 1e-5, name


def test_parts_keep_less_for_the_backward_pass(pixels, tmp_path):
    def kept(step: Step) -> int:
        storages = {}

        def note(tensor: Tensor) -> Tensor:
            storages[tensor.untyped_storage().data_ptr()] = tensor  # alive, so that no address is used twice
            return tensor

        views = drawn(step, pixels)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            step.embed(views)
        return sum(tensor.untyped_storage().nbytes() for tensor in storages.values())

    assert kept(step_of("test_resnet", tmp_path, chunk=6)) < kept(step_of("test_resnet", tmp_path, chunk=24)) / 2


def test_views_made_in_parts_are_the_views_made_at_once(pixels, tmp_path):
    whole, parts = (step_of("test_resnet", tmp_path, chunk=c, views=3) for c in (36, 5))

    assert (drawn(whole, pixels) - drawn(parts, pixels)).abs().max() < 1e-5


def test_every_picture_gives_as_many_views_as_asked_for_in_rows_n_apart(pixels, tmp_path):
    quiet = "photo,colour=0,grey=0,blur=0,mirror=0"
    step = step_of("test_resnet", tmp_path, views=4, preset=quiet)

    views = drawn(step, pixels)
    loss, z = step.learn(views)

    assert views.shape == (48, 3, 32, 32)
    assert z.shape == (48, 16)
    assert loss.isfinite()
    colours = views.mean(dim=(2, 3))  # of crops of one picture: nearer to each other than to most others'
    distance = torch.cdist(colours, colours)
    same = torch.arange(48) % 12 == (torch.arange(48) % 12)[:, None]
    assert distance[same].mean() < 0.7 * distance[~same].mean()


@pytest.mark.parametrize("optimizer", ["sgd", "lars", "adamw"])
@pytest.mark.parametrize("loss", ["nt-xent", "decoupled"])
def test_every_optimiser_lowers_either_loss(pixels, tmp_path, optimizer, loss):
    rate = {"sgd": 0.05, "lars": 2.0, "adamw": 1e-3}[optimizer]
    step = step_of("test_resnet", tmp_path, optimizer=optimizer, loss=loss, learning_rate=rate)
    views = drawn(step, pixels)

    losses = [float(step.learn(views)[0]) for _ in range(12)]

    assert losses[-1] < losses[0] - 0.3


def test_lars_moves_each_kernel_by_a_part_of_its_own_length(pixels, tmp_path):
    """arXiv:1708.03888, equation 6: by 0.001 x rate x the weights' norm at the first step, whatever the gradient."""
    step = step_of("test_resnet", tmp_path, optimizer="lars", learning_rate=1.0, weight_decay=1e-9)
    before = [p.detach().clone() for p in step.learner.parameters()]

    step.learn(drawn(step, pixels))

    moved = 0
    for parameter, was in zip(step.learner.parameters(), before, strict=True):
        if parameter.ndim > 1 and parameter.grad.any():  # a residual branch begins as nothing, and so do its gradients
            assert (parameter - was).norm().item() == pytest.approx(1e-3 * was.norm().item(), rel=1e-2)
            moved += 1
    assert moved >= 4


def test_a_batch_is_cut_so_that_it_fits_into_the_free_memory(tmp_path, monkeypatch):
    def parts(free: int) -> int:
        monkeypatch.setattr(step_module, "free_memory", lambda device: free)
        return step_of("test_resnet", tmp_path, batch_size=256).parts

    assert parts(8 * 2**30) == 1
    few, many = parts(200 * 2**20), parts(40 * 2**20)
    assert 1 < few < many
    with pytest.raises(TrainingFailed, match="choose a smaller batch or image size"):
        parts(2**20)


def test_a_step_that_runs_out_of_memory_goes_on_with_smaller_parts(pixels, tmp_path, monkeypatch):
    step = step_of("test_resnet", tmp_path, chunk=24)
    views, real, calls = drawn(step, pixels), step.embed, []

    def embed(views: Tensor) -> Tensor:
        calls.append(step.parts)
        if step.parts < 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(views)

    monkeypatch.setattr(step, "embed", embed)
    loss, _ = step.learn(views)

    assert calls == [1, 2, 4]
    assert loss.isfinite()


def test_what_a_view_costs_is_what_backward_keeps_of_it():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(8 * 32 * 32, 4))
    kept = 3 * 32 * 32 + 8 * 32 * 32  # numbers: the input for the convolution's gradient, its output for the linear's

    cost = bytes_per_view(network, lambda n: torch.zeros(n, 3, 32, 32), lambda: torch.autocast("cpu", enabled=False))

    assert cost == 4 * kept


def test_a_batch_fits_whole_in_plenty_and_nowhere_in_nothing():
    assert parts_that_fit(256, 10**6, 64, 128, 10**10) == 1
    assert parts_that_fit(256, 10**6, 64, 128, 10**5) == 0
    counts = [parts_that_fit(256, 10**7, 64, 128, free) for free in range(10**8, 10**10, 10**8)]
    assert counts == sorted(counts, reverse=True)


def test_views_grow_over_three_quarters_of_the_epochs():
    settings = replace(SETTINGS, epochs=40, image_size=128, grow_from=64)

    sizes = [view_size(epoch, settings) for epoch in range(40)]

    assert sizes[0] == 64
    assert sizes == sorted(sizes)
    assert set(sizes[30:]) == {128}
    assert sizes[29] < 128
    assert len(set(sizes)) == 5
    assert {view_size(epoch, replace(settings, grow_from=None)) for epoch in range(40)} == {128}


@pytest.mark.parametrize(
    ("instructions", "precision", "expected"),
    [
        ({"avx512_bf16": True}, "auto", "bfloat16"),
        ({"amx_bf16": True}, "auto", "bfloat16"),
        ({"avx512_f": True}, "auto", "float32"),  # there bfloat16 is emulated
        ({"avx512_bf16": True}, "float32", "float32"),
        ({}, "bfloat16", "bfloat16"),
    ],
)
def test_products_are_in_bfloat16_where_the_processor_has_instructions_for_it(
    tmp_path, monkeypatch, instructions, precision, expected
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)

    step = step_of("test_resnet", tmp_path, precision=precision)

    assert step.precision == expected


def test_in_bfloat16_a_step_is_that_of_float32_but_for_rounding(pixels, tmp_path):
    exact, quick = (step_of("test_resnet", tmp_path, precision=p) for p in ("float32", "bfloat16"))
    views = drawn(exact, pixels)

    losses = [float(step.learn(views)[0]) for step in (exact, quick)]

    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    ours, theirs = (torch.cat([g.flatten() for g in gradients(step)]) for step in (quick, exact))
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.98
