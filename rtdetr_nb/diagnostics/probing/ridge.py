"""A linear classifier in closed form, for more features than samples."""

from dataclasses import dataclass

import torch
from torch import Tensor

_STRENGTHS = torch.logspace(-4, 2, 13, dtype=torch.float64)


@dataclass(frozen=True)
class RidgeClassifier:
    """Least squares on one-hot labels with a penalty, in its dual form.

    Attributes:
        samples: (N, D) float64, those it was fitted on.
        coefficients: (N, C), one row a sample, one column a class.
        offset: (C,), the score of a sample that is like none of them.
        strength: the penalty, relative to the mean squared length of a sample.
    """

    samples: Tensor
    coefficients: Tensor
    offset: Tensor
    strength: float

    def predict(self, samples: Tensor) -> Tensor:
        """Classes (M,) int64 of samples (M, D)."""
        return (samples @ self.samples.T @ self.coefficients + self.offset).argmax(dim=1)


def fit_ridge(samples: Tensor, labels: Tensor, num_classes: int) -> RidgeClassifier:
    """Fit with the penalty that names most samples rightly when each is left out of its own fit.

    The leave-one-out predictions come from one eigendecomposition: nothing is fitted twice, and
    no held-out sample has a say.

    Args:
        samples: (N, D) with mean 0 in each column.
        labels: (N,) int64 in 0 .. num_classes - 1.
        num_classes: C.
    """
    samples = samples.double()
    wanted = torch.nn.functional.one_hot(labels, num_classes).double()
    offset = wanted.mean(dim=0)
    kernel = samples @ samples.T  # (N, N)
    scale = kernel.diagonal().mean().clamp(min=torch.finfo(torch.float64).tiny)
    values, vectors = torch.linalg.eigh(kernel)
    rotated = vectors.T @ (wanted - offset)
    best: tuple[float, float] = (-1.0, 0.0)
    for strength in _STRENGTHS.tolist():
        shrunk = values.clamp(min=0.0) / (values.clamp(min=0.0) + strength * scale)
        fitted = vectors @ (shrunk[:, None] * rotated) + offset
        # How much of each sample's fit is its own label; 1/N is the share of the offset.
        own = vectors.square() @ shrunk + 1.0 / len(samples)
        left_out = wanted - (wanted - fitted) / (1.0 - own).clamp(min=1e-9)[:, None]
        right = (left_out.argmax(dim=1) == labels).double().mean().item()
        best = max(best, (right, strength))  # of equals the stronger penalty
    strength = best[1]
    inverse = 1.0 / (values.clamp(min=0.0) + strength * scale)
    coefficients = vectors @ (inverse[:, None] * rotated)
    return RidgeClassifier(samples, coefficients, offset, strength)
