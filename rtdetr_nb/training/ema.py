"""The exponential moving average of the weights, which is what is evaluated and kept."""

import math
from copy import deepcopy
from typing import Any

import torch
from torch import nn


class ModelEMA:
    """A copy of the model that follows it slowly.

    After each step every floating-point tensor of the `state_dict`, buffers included, becomes
    d * copy + (1 - d) * model with d = decay * (1 - exp(-updates / warmups)), so that the first
    updates are nearly copies. (As in timm and the official code.)

    Args:
        model: to follow; not wrapped.
        decay: in 0..1, approached in the long run.
        warmups: updates until the decay has reached 63 % of its value.
    """

    def __init__(self, model: nn.Module, decay: float, warmups: int) -> None:
        self.module = deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.warmups = warmups
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take one step towards `model`."""
        self.updates += 1
        decay = self.decay * (1 - math.exp(-self.updates / self.warmups))
        current = model.state_dict()
        pairs = [
            (average, current[name])
            for name, average in self.module.state_dict().items()
            if average.is_floating_point()
        ]
        averages, values = [list(tensors) for tensors in zip(*pairs, strict=True)]
        # Two calls for all tensors instead of two for each. Interpolation would take a difference,
        # which is NaN for the infinite anchors.
        torch._foreach_mul_(averages, decay)  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_add_(averages, values, alpha=1 - decay)  # pyright: ignore[reportPrivateImportUsage]

    def state_dict(self) -> dict[str, Any]:
        """The official layout: `module` and `updates`."""
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.module.load_state_dict(state["module"])
        self.updates = state.get("updates", self.updates)
