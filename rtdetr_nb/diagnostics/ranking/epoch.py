"""Which epoch a checkpoint is of, by its content or its name, and the natural order of names."""

from __future__ import annotations

import re
from pathlib import Path

from rtdetr_nb.checkpoint.checkpoint import Checkpoint
from rtdetr_nb.checkpoint.reading.metadata import plain_values

_KEYS = ("epoch", "last_epoch", "current_epoch", "epochs_done")
_IN_NAME = re.compile(r"(?:^|[^a-z])(?:epoch|ep|e|checkpoint|ckpt)[-_=.]?0*(\d{1,5})(?!\d)", re.I)


def epoch_of(checkpoint: Checkpoint) -> int | None:
    """The epoch that the file states, or else its name; None where neither does."""
    stated = {
        path: value
        for path, value in plain_values(checkpoint.tree).items()
        if path.rpartition(".")[2] in _KEYS and re.fullmatch(r"\d{1,7}", value)
    }
    if stated:
        return int(stated[min(stated, key=lambda path: path.count("."))])
    return epoch_in_name(checkpoint.path.name)


def epoch_in_name(name: str) -> int | None:
    """12 of "epoch_12.pth", "checkpoint0012.pth" and "epoch=12-step=900.ckpt"."""
    found = _IN_NAME.search(name)
    return int(found[1]) if found else None


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts `epoch_9` before `epoch_10`."""
    pieces = re.split(r"(\d+)", str(path).lower())
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in pieces if p]
