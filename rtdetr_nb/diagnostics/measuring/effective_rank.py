"""How many directions the features of a backbone really use; needs no labels."""

from __future__ import annotations

import torch
from torch import Tensor


def effective_rank(samples: Tensor) -> float:
    """The exponential of the entropy of the shares of variance (Roy and Vetterli, 2007).

    1 where all features say the same, the number of features where each says something different.

    Args:
        samples: (N, D); their mean does not matter.
    """
    rows = samples.double() - samples.double().mean(dim=0)
    # The smaller of the two products has the same eigenvalues that are not zero.
    gram = rows.T @ rows if rows.shape[1] <= rows.shape[0] else rows @ rows.T
    values = torch.linalg.eigvalsh(gram).clamp(min=0)
    shares = values / values.sum().clamp(min=torch.finfo(torch.float64).tiny)
    shares = shares[shares > 1e-12]
    if not len(shares):
        return 0.0
    return (-(shares * shares.log()).sum()).exp().item()
