"""The optimizer, its parameter groups and its learning-rate schedules."""

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import MultiStepLR

from rtdetr_nb.config.config import Config
from rtdetr_nb.errors import ConfigError


def group_names(config: Config, names: Iterable[str]) -> list[list[str]]:
    """Sort names of trainable parameters into the configured groups.

    Args:
        config: whose `optimizer.params` has the patterns; a pattern may match anywhere in a name.
        names: of the trainable parameters.

    Returns:
        One list for each pattern, in order, and one for the rest if there is any.

    Raises:
        ConfigError: two patterns match one parameter, or a pattern is not a regular expression.
    """
    names = list(names)
    groups: list[list[str]] = []
    owner: dict[str, str] = {}
    for entry in config.optimizer.params:
        try:
            caught = [name for name in names if re.search(entry.params, name)]
        except re.error as error:
            raise ConfigError(
                f"The pattern {entry.params!r} of optimizer.params is not a regular expression: "
                f"{error}."
            ) from error
        for name in caught:
            if name in owner:
                raise ConfigError(
                    f"Two patterns of optimizer.params, {owner[name]!r} and {entry.params!r}, both "
                    f"match {name}. Change them so that a parameter belongs to one group."
                )
            owner[name] = entry.params
        groups.append(caught)
    rest = [name for name in names if name not in owner]
    return [*groups, rest] if rest else groups


class PortableAdamW(AdamW):
    """AdamW whose saved state fits any program, and which loads the state of any program.

    Whether updates are fused, and the memory format of the moments, depend on the program.
    The official one keeps what a file says, and fused updates need moments in the memory format of
    their parameters.
    """

    def state_dict(self) -> dict[str, Any]:
        """As torch's, with contiguous moments and without a choice of what is fused."""
        saved = super().state_dict()
        moments = {
            index: {
                name: value.contiguous() if isinstance(value, torch.Tensor) else value
                for name, value in values.items()
            }
            for index, values in saved["state"].items()
        }
        groups = [{**group, "fused": None, "foreach": None} for group in saved["param_groups"]]
        return {**saved, "state": moments, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, but updates stay fused as in this optimizer, whatever the state says.

        Raises:
            ValueError: a moment has another shape than its parameter, which torch does not check.
        """
        kernels = {name: self.defaults[name] for name in ("fused", "foreach")}
        groups = [{**group, **kernels} for group in state_dict["param_groups"]]
        super().load_state_dict({**state_dict, "param_groups": groups})
        for parameter, moments in self.state.items():
            for name in ("exp_avg", "exp_avg_sq"):
                if name in moments:
                    moments[name] = _laid_out_like(parameter, moments[name], name)


def _laid_out_like(parameter: torch.Tensor, moment: torch.Tensor, name: str) -> torch.Tensor:
    """The moment in the memory format of its parameter; the same tensor if it has that already."""
    if moment.shape != parameter.shape:
        raise ValueError(
            f"{name} of a parameter of shape {tuple(parameter.shape)} has the shape "
            f"{tuple(moment.shape)}"
        )
    if moment.stride() == parameter.stride():
        return moment
    return torch.empty_like(parameter).copy_(moment)


def build_optimizer(config: Config, model: nn.Module) -> AdamW:
    """AdamW over the trainable parameters, in the groups that the configuration describes.

    Each group also carries the `names` of its parameters, in order.

    Raises:
        ConfigError: as in `group_names`, or nothing is trainable.
    """
    section = config.optimizer
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        raise ConfigError("No parameter of the model is trainable; there is nothing to optimise.")
    groups = []
    entries = [*section.params, None]
    # No strict zip: there is a group for the rest only if there is a rest.
    for entry, names in zip(entries, group_names(config, parameters), strict=False):
        group: dict[str, Any] = {"params": [parameters[name] for name in names]}
        if entry is not None and entry.lr is not None:
            group["lr"] = entry.lr
        if entry is not None and entry.weight_decay is not None:
            group["weight_decay"] = entry.weight_decay
        groups.append(group)
    return PortableAdamW(
        groups,
        lr=section.lr,
        betas=section.betas,
        eps=section.eps,
        weight_decay=section.weight_decay,
        fused=next(iter(parameters.values())).device.type in ("cpu", "cuda") or None,
    )


def build_lr_scheduler(config: Config, optimizer: torch.optim.Optimizer) -> MultiStepLR:
    """The schedule over epochs."""
    section = config.lr_scheduler
    return MultiStepLR(optimizer, milestones=list(section.milestones), gamma=section.gamma)


class LinearWarmup:
    """Linear growth of all learning rates over the first steps.

    Step 0 trains at 1 / `warmup_duration` of the configured rates, step `warmup_duration` - 1 and
    all later ones at the whole.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, warmup_duration: int) -> None:
        self._optimizer = optimizer
        self.warmup_duration = warmup_duration
        self.warmup_end_values = [group["lr"] for group in optimizer.param_groups]
        self.last_step = -1
        self.step()

    def step(self) -> None:
        """Set the rates for the next step; leave them alone when the warm-up is over."""
        self.last_step += 1
        if self.finished:
            return
        factor = min(1.0, (self.last_step + 1) / self.warmup_duration)
        for group, rate in zip(self._optimizer.param_groups, self.warmup_end_values, strict=True):
            group["lr"] = factor * rate

    @property
    def finished(self) -> bool:
        """Whether the rates belong to the schedule over epochs again."""
        return self.last_step >= self.warmup_duration

    def state_dict(self) -> dict[str, Any]:
        """The official layout."""
        return {
            "warmup_end_values": list(self.warmup_end_values),
            "last_step": self.last_step,
            "warmup_duration": self.warmup_duration,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.warmup_end_values = list(state["warmup_end_values"])
        self.last_step = state["last_step"]
        self.warmup_duration = state["warmup_duration"]
