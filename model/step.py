"""One step of training: pictures to views, views to embeddings, embeddings to a loss, the loss to better weights."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Generator, Tensor
from torch.nn.parallel import DistributedDataParallel

from model.augment import UNIFORMS, random_views
from model.errors import TrainingFailed
from model.learner import Learner, build_optimizer, in_bfloat16
from model.loss import nt_xent
from model.memory import bytes_per_view, free_memory, parts_that_fit
from model.network import Start
from model.presets import preset_named
from model.settings import TrainSettings
from model.taught import Taught, head_for, supervised_loss
from model.world import ALONE, World, data_parallel, least

EVALUATED = 128  # views at once, where no gradient is needed


class Step:
    """Holds what learns: a copy of `start`'s backbone with a projection head, on `device`, and its optimiser."""

    def __init__(
        self,
        start: Start,
        settings: TrainSettings,
        device: torch.device,
        world: World = ALONE,
        taught: Taught | None = None,
    ) -> None:
        self.settings, self.device, self.world = settings, device, world
        self.bfloat16 = in_bfloat16(settings.precision, device)
        self.preset = preset_named(settings.preset)
        self.mean = torch.tensor(start.preparation.mean, device=device).view(3, 1, 1)
        self.std = torch.tensor(start.preparation.std, device=device).view(3, 1, 1)
        learner = Learner(copy.deepcopy(start.backbone), settings, head_for(settings, taught))
        # Channels last is what tensor cores read, and on a CPU makes the step a third faster.
        learner = learner.to(device).to(memory_format=torch.channels_last).train()
        self.learner = learner
        self.optimizer = build_optimizer(learner, settings, device)
        self.batch = settings.batch_size // world.size  # pictures of this process
        self.parts = self._parts()
        self._project = data_parallel(learner, world, device)
        self._views = random_views
        if settings.compile:
            torch.compiler.reset()  # or an earlier training's sizes would make this one's kernels more general: slower
            self._views = torch.compile(random_views, dynamic=False)
            if self.parts == 1:
                twin = self._project.module if isinstance(self._project, DistributedDataParallel) else learner
                twin.backbone.compile(dynamic=False)

    @property
    def precision(self) -> str:
        return "bfloat16" if self.bfloat16 else "float32"

    @property
    def chunk(self) -> int:
        """Views that go through the backbone at once."""
        return -(-self.settings.views * self.batch // self.parts)

    def views(self, pixels: Tensor, random: Generator, size: int) -> Tensor:
        """Pictures (N, 3, H, H) uint8 to normalised views (V N, 3, size, size), channels last."""
        uniforms = torch.rand(self.settings.views * len(pixels), UNIFORMS, generator=random, device=self.device)
        if self.parts == 1:
            return self._normalise(self._views(pixels, uniforms, self.preset, size))
        rows = torch.arange(len(uniforms), device=self.device) % len(pixels)
        parts = zip(rows.tensor_split(self.parts), uniforms.tensor_split(self.parts), strict=True)
        views = torch.empty(len(uniforms), 3, size, size, device=self.device, memory_format=torch.channels_last)
        for into, (some, numbers) in zip(views.tensor_split(self.parts), parts, strict=True):
            into.copy_(self._normalise(random_views(pixels[some], numbers, self.preset, size)))
        return views

    def pair(self, pixels: Tensor, random: Generator, size: int) -> Tensor:
        """Two views of each picture (2 N, 3, size, size), never compiled: for figures, where sizes vary."""
        uniforms = torch.rand(2 * len(pixels), UNIFORMS, generator=random, device=self.device)
        return self._normalise(random_views(pixels, uniforms, self.preset, size))

    def whole(self, pixels: Tensor, size: int) -> Tensor:
        """What search would see of pictures (N, 3, H, H) uint8 as they are, brought to `size` px: (N, D), float32."""
        views = pixels.float() / 255
        if size != views.shape[-1]:
            views = F.interpolate(views, size, mode="bilinear", antialias=True).clamp_(0, 1)
        return self.features(self._normalise(views))

    def _normalise(self, views: Tensor) -> Tensor:
        return views.sub_(self.mean).div_(self.std).contiguous(memory_format=torch.channels_last)

    def embed(self, views: Tensor) -> Tensor:
        """(V N, P), with gradients. A batch too large for the memory goes through in parts; see Learner.forward."""
        with self._autocast():
            return self._project(views, self.parts)

    def loss(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        settings = self.settings
        if classes is not None:
            return supervised_loss(z, classes, settings)
        return nt_xent(z, settings.temperature, settings.views, settings.loss == "decoupled", self.world)

    def learn(self, views: Tensor, classes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One step of the optimiser; `classes` (N,) of the pictures where labels teach.

        Returns the loss and the embeddings (V N, P), both detached, without waiting.
        """
        while True:
            z = loss = None  # of an attempt that failed: its graph must be gone before the next
            try:
                self.optimizer.zero_grad(set_to_none=True)
                z = self.embed(views)
                loss = self.loss(z, classes)
                loss.backward()
                break
            except torch.OutOfMemoryError:
                pass
            z = loss = None
            self._make_room()
        self.optimizer.step()
        return loss.detach(), z.detach()

    @torch.no_grad()
    def features(self, views: Tensor) -> Tensor:
        """What search would see of the views (M, D), float32; batch norm as in use."""
        self.learner.eval()
        with self._autocast():
            parts = [self.learner.backbone.forward(part) for part in views.split(EVALUATED)]
        self.learner.train()
        return torch.cat(parts).float()

    def _parts(self) -> int:
        """Cut the batch so that it fits: as asked for, or as a probe and the free memory say."""
        settings, views = self.settings, self.settings.views * self.batch
        if settings.chunk is not None:
            return -(-views // settings.chunk)

        per_view = self.bytes_per_view()
        # Gradients, and one or two numbers that the optimiser remembers of each: taken at the first step.
        weights = 3 * sum(p.nbytes for p in self.learner.parameters())
        free = free_memory(self.device) - weights
        parts = parts_that_fit(views, per_view, settings.image_size, settings.head_out, free)
        parts = -least(-parts, self.world) if least(parts, self.world) else 0  # the most that any process needs
        if not parts:
            raise TrainingFailed(self._too_large())
        return parts

    def bytes_per_view(self) -> int:
        """What is kept of one view between the passes."""
        size = self.settings.image_size

        def example(count: int) -> Tensor:
            return torch.zeros(count, 3, size, size, device=self.device).to(memory_format=torch.channels_last)

        return bytes_per_view(self.learner.backbone, example, self._autocast)

    def _make_room(self) -> None:
        """The probe was too hopeful, or another program took memory: go on with parts of half the size."""
        if self.world.size > 1 or self.chunk <= 2:
            raise TrainingFailed(self._too_large())
        self.parts *= 2
        torch.cuda.empty_cache()

    def _too_large(self) -> str:
        settings = self.settings
        return (
            f"{settings.views} views of {settings.batch_size} pictures at {settings.image_size} px do not fit into the "
            "memory, however they are cut; choose a smaller batch or image size"
        )

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)
