"""The rules of the official `-r`: each part of the solver that the file has is loaded strictly.

For a part that the file lacks it prints `Not load model.state_dict` and goes on. So a file of other
keys loads nothing, and training begins with random weights, without an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rtdetr_nb.architecture.state_dict_table import ModelConfig, model_keys
from rtdetr_nb.checkpoint.official_loader.rules import OfficialError, OfficialMatch
from rtdetr_nb.checkpoint.official_loader.strict import load_strictly

_MODULE = "RTDETR"
_EMPTY = {"criterion": "RTDETRCriterionv2", "postprocessor": "RTDETRPostProcessor"}
_EVALUATED = ("model", "criterion", "postprocessor", "ema")
_TRAINED = ("optimizer", "lr_scheduler", "lr_warmup_scheduler")


@dataclass
class Resumed:
    """What `-r` does, up to the exception if there is one.

    Attributes:
        printed: its lines.
        loaded: what became of the tensors of "model" and of "ema"; nothing for a part that the
            file lacks.
        parts: all parts that were loaded.
        last_epoch: the last epoch that the file says is done.
    """

    printed: list[str] = field(default_factory=list)
    loaded: dict[str, OfficialMatch] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    last_epoch: Any = -1


def resume(state: Any, config: ModelConfig, test_only: bool, resumed: Resumed) -> None:
    """Load what the file has for each part of the solver, in the order of the official code.

    Args:
        state: everything in the file.
        config: of the model; the parts of a full configuration are looked at where it has them.
        test_only: there are no optimizer and no schedulers then.
        resumed: is filled.

    Raises:
        OfficialError: what ends the program.
    """
    if "last_epoch" in state:
        resumed.last_epoch = state["last_epoch"]
        resumed.printed.append("Load last_epoch")
    for part in _EVALUATED if test_only else (*_EVALUATED, *_TRAINED):
        if not _exists(part, config):
            continue
        if part not in state:
            resumed.printed.append(f"Not load {part}.state_dict")
            continue
        match = _load(part, state[part], config)
        if match is not None:
            resumed.loaded[part] = match
        resumed.parts.append(part)
        resumed.printed.append(f"Load {part}.state_dict")


def _exists(part: str, config: Any) -> bool:
    """Whether the configuration has that part; a scaler exists with --use-amp only."""
    if part == "ema":
        return bool(getattr(config, "use_ema", True))
    return part != "lr_warmup_scheduler" or getattr(config, part, True) is not None


def _load(part: str, state: Any, config: ModelConfig) -> OfficialMatch | None:
    """Load one part; returns what became of the model's tensors where it has them."""
    if part == "ema":
        state = state["module"]
    if part in ("model", "ema"):
        shapes = {key: info.shape for key, info in model_keys(config).items()}
        return load_strictly(shapes, state, _MODULE)
    if part in _EMPTY:
        load_strictly({}, state, _EMPTY[part])
    elif part == "optimizer":
        _load_optimizer(state, config)
    elif not isinstance(state, Mapping):
        raise OfficialError("TypeError", f"'{type(state).__name__}' object is not iterable")
    return None


def _load_optimizer(state: Any, config: Any) -> None:
    """Refuse parameter groups of other sizes than the configuration's, as PyTorch does."""
    found = [len(group["params"]) for group in state["param_groups"]]
    expected = group_sizes(config)
    if expected is None or found == expected:
        state["state"]
        return
    if len(found) != len(expected):
        raise OfficialError(
            "ValueError", "loaded state dict has a different number of parameter groups"
        )
    raise OfficialError(
        "ValueError",
        "loaded state dict contains a parameter group that doesn't match the size of "
        "optimizer's group",
    )


def group_sizes(config: Any) -> list[int] | None:
    """Return the sizes of the parameter groups that the official code makes.

    A group for each pattern, an empty one too, and one for the rest if there is any. None if the
    configuration says nothing of an optimizer.
    """
    optimizer = getattr(config, "optimizer", None)
    if optimizer is None:
        return None
    names = [name for name, info in model_keys(config).items() if info.trainable]
    patterns = [group.params for group in optimizer.params]
    sizes = [sum(bool(re.findall(pattern, name)) for name in names) for pattern in patterns]
    seen = sum(any(re.findall(pattern, name) for pattern in patterns) for name in names)
    return [*sizes, len(names) - seen] if seen < len(names) else sizes
