"""NT-Xent, the loss SimCLR learns from."""

import torch
import torch.nn.functional as F
from torch import Tensor


def nt_xent(z: Tensor, temperature: float) -> Tensor:
    """SimCLR's loss (arXiv:2002.05709, eq. 1), the mean over all rows. `z` is (2N, P); rows i and i + N show one image.

    Every row's negatives are all the 2N - 2 other rows. Training on several devices gathers `z` before it calls this.
    """
    with torch.autocast(z.device.type, enabled=False):  # the matrix product below would otherwise run in bfloat16
        z = F.normalize(z.float(), dim=1)  # float32: the softmax below sums thousands of terms
        similarity = z @ z.T / temperature  # (2N, 2N)
        similarity.fill_diagonal_(float("-inf"))  # an image is not its own negative
        partner = torch.arange(len(z), device=z.device).roll(len(z) // 2)
        return F.cross_entropy(similarity, partner)
