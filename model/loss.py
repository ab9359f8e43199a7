"""NT-Xent, the loss SimCLR learns from; its decoupled form; more than two views; over several processes."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from model.world import ALONE, World, gather


def nt_xent(z: Tensor, temperature: float, views: int = 2, decoupled: bool = False, world: World = ALONE) -> Tensor:
    """SimCLR's loss (arXiv:2002.05709, eq. 1). `z` is (V N, P) of N >= 2 pictures; rows i, i + N, ... show picture i.

    Every row i is asked for each of its V - 1 partners p among the negatives, which are all rows of other pictures:

        -s_ip + log(exp(s_ip) + sum of exp(s_ij) over the negatives j)        s: cosine similarity / temperature

    and the loss is the mean over all V N (V - 1) pairs. Decoupled (arXiv:2110.06848, eq. 6) leaves exp(s_ip) out of the
    logarithm: a pair that agrees already still learns at full strength, which matters when a batch is small.

    In a world every rank asks its own rows among everyone's. The mean over ranks, of losses as of gradients, is that of
    one process with the whole batch.
    """
    with torch.autocast(z.device.type, enabled=False):  # the matrix products below would otherwise run in bfloat16
        z = z.to(torch.promote_types(z.dtype, torch.float32))  # or float64: the sums below have thousands of terms
        z = F.normalize(z, dim=1)
        pictures = z.unflatten(0, (views, -1))  # (V, N, P)
        partners = torch.stack([pictures.roll(k, 0) for k in range(1, views)])  # (V - 1, V, N, P)
        positive = (pictures * partners).sum(dim=-1).flatten(1) / temperature  # (V - 1, V N)

        row = torch.arange(len(z), device=z.device)[:, None]
        view = torch.arange(views, device=z.device)
        same = (row + view * pictures.shape[1]) % len(z)  # (V N, V): rows of the same picture, the row itself included
        everyone = gather(z, world)  # (size V N, P)
        negative = _LogSumExp.apply(z / temperature, everyone, same + world.rank * len(z))  # (V N,)
        return ((negative if decoupled else torch.logaddexp(positive, negative)) - positive).mean()


class _LogSumExp(torch.autograd.Function):
    """log of the sum of exp(a_i . b_j) over all j but those in `without`: (M, P), (K, P), (M, V) to (M,).

    Written out because it then takes one (M, K) matrix where autograd takes four: 268 MB each at M = K = 8192.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, without: Tensor) -> Tensor:
        x = (a @ b.T).scatter_(1, without, float("-inf"))  # (M, K)
        largest = x.amax(dim=1, keepdim=True)  # taken out, so that no exponential overflows
        total = x.sub_(largest).exp_().sum(dim=1, keepdim=True)
        ctx.save_for_backward(a, b, x.div_(total))
        return (largest + total.log()).squeeze(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        a, b, softmax = ctx.saved_tensors
        return gradient[:, None] * (softmax @ b), softmax.T @ (gradient[:, None] * a), None
