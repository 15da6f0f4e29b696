"""Files that tell the doors apart, beside those of `tests/checkpoint/wild_cases.py`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.checkpoint.wild import as_dfine, backbone, detector, prefixed, save

_FIRST = "stem.stem1.bn.bias"


def _both(**others: Any) -> dict:
    return {"model": detector(), "ema": {"module": detector(), "updates": 5}, **others}


def _groups(*sizes: int) -> dict:
    return {"state": {}, "param_groups": [{"params": list(range(size))} for size in sizes]}


CONTENTS: dict[str, Callable[[], Any]] = {
    "bare, live norms": lambda: backbone(live=True),
    "model and ema": _both,
    "model, ema, last_epoch": lambda: _both(last_epoch=3),
    "all epochs done": lambda: _both(last_epoch=71),
    "one parameter group": lambda: _both(optimizer=_groups(2)),
    "three parameter groups of one": lambda: _both(optimizer=_groups(1, 1, 1)),
    "criterion of others": lambda: {"model": detector(), "criterion": {"x": torch.zeros(2)}},
    "model: None": lambda: {"model": None},
    "ema: None": lambda: {"ema": None},
    "a list": lambda: [torch.zeros(2)],
    "bare, a class head": lambda: {**backbone(), "fc.weight": torch.zeros(3)},
    "bare, affine blocks": lambda: backbone(use_lab=True),
    "bare, a number for a tensor": lambda: {**backbone(), _FIRST: 3},
    "bare, another shape": lambda: {**backbone(), _FIRST: torch.zeros(3)},
    "bare, one missing": lambda: {k: v for k, v in backbone().items() if k != _FIRST},
    "every part": lambda: _both(
        last_epoch=0,
        criterion={},
        postprocessor={},
        lr_scheduler={"last_epoch": 1},
        lr_warmup_scheduler={"last_step": 4},
    ),
    "ema: D-FINE": lambda: {"ema": {"module": prefixed("backbone.", as_dfine(backbone()))}},
    "pickle protocol 4": lambda: {"model": detector()},
}


def write(name: str, folder: Path) -> Path:
    """The file of that name."""
    options = {"pickle_protocol": 4} if name == "pickle protocol 4" else {}
    return save(CONTENTS[name](), folder / "a.pth", **options)
