"""What each of two processes does for test_world, and what one process does to compare with; run by torchrun."""

import faulthandler
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from model.learner import Learner
from model.loss import nt_xent
from model.network import build_backbone
from model.settings import TrainSettings
from model.world import ALONE, World, any_of, data_parallel, from_first, gather, join, least, leave, my_share

SECONDS = 150  # after which a process that waits for the other one in vain ends itself
PICTURES, STEPS = 12, 3


@dataclass(frozen=True)
class Case:
    backbone: str = "test_resnet"
    views: int = 2
    decoupled: bool = False
    momentum: float | None = 0.1  # of the batch norms' running statistics; None: they are means
    parts: int = 1  # that the batch goes through the backbone in


CASES = {
    "nt-xent": Case(),
    "decoupled, three views": Case(views=3, decoupled=True),
    "batch norm with an activation in it": Case("test_efficientnet"),
    "running statistics that are means": Case(momentum=None),
    "in parts, a view each": Case(parts=2),
}


def learner_of(case: str, seed: int) -> Learner:
    """Backbone and head in float64, so that what remains of a difference is a mistake."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        learner = Learner(
            build_backbone(CASES[case].backbone, seed=seed),
            TrainSettings(epochs=1, batch_size=PICTURES, image_size=32, head_hidden=32, head_out=16),
        )
    for module in learner.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = CASES[case].momentum
    return learner.double().train()


def batches(case: str) -> list[Tensor]:
    """(N, V, 3, 32, 32) each; pictures differ in light and contrast, so that half a batch is not like the whole."""
    random = torch.Generator().manual_seed(0)
    shape = (PICTURES, CASES[case].views, 3, 32, 32)
    spread = torch.linspace(0.2, 2, PICTURES).view(-1, 1, 1, 1, 1)
    return [spread * (torch.randn(shape, generator=random, dtype=torch.float64) + spread) for _ in range(STEPS)]


def train(case: str, learner: Learner, world: World, device: torch.device) -> dict:
    """A few steps, each rank with its share of every batch."""
    how = CASES[case]
    learner = learner.to(device)
    network = data_parallel(learner, world, device)
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.05, momentum=0.9)
    losses, gradients = [], {}
    for batch in batches(case):
        mine = my_share(batch, world).transpose(0, 1).flatten(0, 1)  # (V N, 3, 32, 32)
        loss = nt_xent(network(mine.to(device), how.parts), 0.2, how.views, how.decoupled, world)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        gradients = gradients or {name: p.grad.cpu().clone() for name, p in learner.named_parameters()}
        optimizer.step()
        losses.append(loss.item())
    network.eval()
    with torch.no_grad():
        seen = network(batches(case)[0][:, 0].to(device)).cpu()
    kept = {name: tensor.cpu() for name, tensor in learner.state_dict().items()}
    return {"losses": losses, "gradients": gradients, "kept": kept, "seen": seen}


def train_alone(case: str) -> dict:
    return train(case, learner_of(case, seed=0), ALONE, torch.device("cpu"))


def gathered(world: World, device: torch.device) -> dict:
    """Every rank weighs the rows of all ranks by its own weights: the sum over ranks of the weights is the gradient."""
    z = (10.0 * world.rank + torch.arange(6.0, device=device).view(3, 2)).requires_grad_()
    everyone = gather(z, world)
    (everyone * (world.rank + 1) * torch.arange(1.0, 13, device=device).view(6, 2)).sum().backward()
    return {"rows": everyone.detach().cpu(), "gradient": z.grad.cpu()}


def agreed(world: World) -> dict:
    return {
        "world": (world.rank, world.size, world.local_rank),
        "least": least(7 - 3 * world.rank, world),
        "any": any_of(world.rank == 1, world),
        "none": any_of(False, world),
        "state": from_first({"step": 5, "sum": torch.ones(2)} if world.rank == 0 else None, world),
    }


def main(folder: Path, kind: str) -> None:
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    torch.set_num_threads(1)
    world = join(kind)
    device = torch.device(kind, world.local_rank) if kind == "cuda" else torch.device(kind)
    # Each starts from other weights: the first one's are to win.
    said = {case: train(case, learner_of(case, seed=world.rank), world, device) for case in CASES}
    said |= {"gathered": gathered(world, device), "agreed": agreed(world)}
    torch.save(said, folder / f"{world.rank}.pt")
    leave(world)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
