import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model import step as step_module
from model.augment import luma, shift_hue
from model.errors import BadInput, Cancelled, TooFewImages, TrainingFailed
from model.evaluate import precision_at
from model.learner import learning_rate, recall_at_1, spread_and_rank
from model.network import Backbone, starting_point
from model.resume import METRICS, STATE
from model.settings import TrainSettings, held_out, sensible
from model.train import pretrain
from tests.model.runs import TINY, after, as_pixels, assert_same_run, lines
from tests.pictures import NAMES, labelled_views


def test_the_same_seed_gives_the_same_run_and_another_seed_another(pixels, start, finished, tmp_path):
    torch.manual_seed(99)  # whatever the process did before

    pretrain(pixels, start, TINY, tmp_path / "same")
    pretrain(pixels, start, replace(TINY, seed=1), tmp_path / "other")

    assert_same_run(tmp_path / "same", finished)
    assert lines(tmp_path / "other")[0]["loss"] != lines(finished)[0]["loss"]


def test_a_loss_that_is_no_number_fails_and_keeps_the_last_good_state(pixels, start, finished, tmp_path, monkeypatch):
    with pytest.raises(Cancelled):
        pretrain(pixels, start, TINY, tmp_path, stop=after(5))
    good = (tmp_path / STATE).read_bytes()

    with monkeypatch.context() as broken:
        broken.setattr(step_module, "nt_xent", lambda z, *settings: z.sum() * math.nan)
        with pytest.raises(TrainingFailed, match=r"no longer a number.*last good state is kept.*lower learning rate"):
            pretrain(pixels, start, replace(TINY, checkpoint_minutes=0), tmp_path)

    assert (tmp_path / STATE).read_bytes() == good
    pretrain(pixels, start, TINY, tmp_path)
    assert_same_run(tmp_path, finished)


def test_a_run_that_saves_after_every_step_stops_when_asked(pixels, start, tmp_path):
    with pytest.raises(Cancelled, match="Stopped in epoch 1"):
        pretrain(pixels, start, replace(TINY, checkpoint_minutes=0), tmp_path, stop=after(2))


def test_a_collapse_fails_instead_of_going_on_for_hours(start, tmp_path):
    black = torch.zeros(36, 3, 40, 40, dtype=torch.uint8)  # every view of every picture is the same

    with pytest.raises(TrainingFailed, match="same embedding"):
        pretrain(black, start, TINY, tmp_path)

    assert not (tmp_path / STATE).exists()


def test_the_metrics_say_loss_rate_speed_and_quality(finished):
    read = [json.loads(line) for line in (finished / METRICS).read_text().splitlines()]

    assert [line["epoch"] for line in read] == [1, 2, 3]
    for line in read:
        assert line.keys() >= {"step", "loss", "learning_rate", "views_per_s", "quality", "spread", "effective_rank"}
        assert 0 < line["loss"] < 10
        assert line["views_per_s"] > 0
        assert 0 <= line["quality"] <= 1
    assert read[-1]["learning_rate"] < read[0]["learning_rate"]


def test_progress_ends_at_1_and_says_rate_and_time_left(pixels, start, tmp_path):
    heard = []

    pretrain(pixels, start, TINY, tmp_path, heard.append)

    done = [progress.done for progress in heard]
    assert done == sorted(done)
    assert done[-1] == 1
    assert heard[0].message.startswith("epoch 1 of 3, ")
    assert "views/s" in heard[0].message
    assert heard[0].message.endswith("left")
    assert heard[-1].metrics["loss"] == lines(tmp_path)[-1]["loss"]


def test_the_start_is_left_as_it_was_for_the_comparison_afterwards(pixels, start, tmp_path):
    before = {name: tensor.clone() for name, tensor in start.backbone.state_dict().items()}

    trained = pretrain(pixels, start, TINY, tmp_path)

    assert all(torch.equal(tensor, before[name]) for name, tensor in start.backbone.state_dict().items())
    assert not torch.equal(next(trained.backbone.parameters()), next(start.backbone.parameters()))
    assert not trained.backbone.training
    assert json.loads(json.dumps(trained.record))["settings"]["epochs"] == 3


def test_the_learning_rate_warms_up_then_falls_along_half_a_cosine():
    rates = [learning_rate(step, 110, 10, 1.0) for step in range(110)]

    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[60] == pytest.approx(0.5)
    assert rates[10] == pytest.approx(1)
    assert 0 < rates[-1] < 0.001


def test_spread_and_rank_tell_collapse_from_health():
    generator = torch.Generator().manual_seed(0)
    healthy = torch.randn(4000, 8, generator=generator)
    line = torch.randn(4000, 1, generator=generator) * torch.ones(1, 8)

    assert spread_and_rank(healthy) == pytest.approx((1, 8), abs=0.05)
    assert spread_and_rank(line)[1] == pytest.approx(1, abs=1e-3)
    assert spread_and_rank(torch.ones(100, 8))[0] == pytest.approx(0, abs=1e-6)


def test_recall_counts_the_views_that_find_their_own_picture():
    one = torch.eye(4)
    other = torch.eye(4)[[0, 1, 3, 2]]

    assert recall_at_1(one, one) == 1
    assert recall_at_1(one, other) == 0.5


def test_training_learns_to_see_a_subject_through_its_colour_and_light(tmp_path):
    images, subjects = labelled_views(NAMES, 24, size=48)
    dice = torch.rand(3, len(images), generator=torch.Generator().manual_seed(0))
    x = shift_hue(as_pixels(images).float() / 255, dice[0] - 0.5)  # any hue, a third without any, half to full light
    x = torch.where(dice[1][:, None, None, None] < 1 / 3, luma(x), x) * (0.5 + 0.5 * dice[2])[:, None, None, None]
    coloured = (x * 255).to(torch.uint8)
    start = starting_point("random", "resnet10t", 32, tmp_path, seed=0)
    settings = TrainSettings(epochs=6, batch_size=32, image_size=32, preset="drawing", device="cpu")

    trained = pretrain(coloured, start, settings, tmp_path / "run")

    untrained, learnt = (
        precision_at(5, features(backbone, coloured), subjects) for backbone in (start.backbone, trained.backbone)
    )
    assert learnt > untrained + 0.1  # measured: 0.42 and 0.62


@torch.no_grad()
def features(backbone: Backbone, pixels: torch.Tensor) -> np.ndarray:
    views = F.interpolate(pixels.float() / 255, 32, mode="area")
    return F.normalize(backbone.eval()((views - 0.45) / 0.225)).numpy()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epochs": 0}, "epochs must be from 1"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"batch_size": 2}, "batch size must be from 4"),
        ({"image_size": 4096}, "image size must be from 16 to 1024"),
        ({"temperature": 0}, "temperature must be from 0.01"),
        ({"learning_rate": math.nan}, "learning rate must be"),
        ({"seed": True}, "seed must be"),
        ({"preset": "holiday"}, "preset is one of photo"),
        ({"optimizer": "adam"}, "optimizer is one of sgd, lars, adamw"),
        ({"loss": "triplet"}, "loss is one of nt-xent, decoupled"),
        ({"views": 1}, "views must be from 2 to 8"),
        ({"grow_from": 64}, "choose at most 32"),
        ({"chunk": 1}, "chunk must be from 2"),
        ({"device": "tpu"}, "device is one of auto, cpu, cuda"),
    ],
)
def test_an_odd_setting_is_refused_in_one_sentence(change, sentence):
    with pytest.raises(BadInput, match=sentence):
        TrainSettings(**{**asdict(TINY), **change})


def test_too_few_pictures_or_too_large_a_batch_say_what_to_do(pixels, start, tmp_path):
    with pytest.raises(TooFewImages, match="7 pictures are too few"):
        pretrain(pixels[:7], start, TINY, tmp_path)
    with pytest.raises(BadInput, match="a batch size of at most 33"):
        pretrain(pixels, start, replace(TINY, batch_size=34), tmp_path)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("images", [8, 20, 100, 1_800, 50_000, 1_300_000])
def test_sensible_settings_fit_every_collection_and_say_why(images, device):
    settings, reason = sensible(images, device)

    settings.require_enough(images)
    assert (images - held_out(images)) // settings.batch_size >= 1
    assert f"{images:,} pictures" in reason
    assert f"{settings.epochs} epochs" in reason


def test_what_was_chosen_is_kept_and_an_unknown_setting_refused():
    settings, _ = sensible(1000, "cpu", epochs=3, preset="texture", batch_size=None)

    assert (settings.epochs, settings.preset) == (3, "texture")
    with pytest.raises(BadInput, match="no setting called epoch"):
        sensible(1000, "cpu", epoch=3)
