"""Whether the disk has room for the checkpoints of a run."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from rtdetr_nb.config.config import Config
from rtdetr_nb.text.findings import WARNING, Finding
from rtdetr_nb.training.state import TrainingState

_MOMENTS = 2  # AdamW keeps two numbers for each that it trains


def disk_finding(
    config: Config, state: TrainingState, folder: Path, steps_per_epoch: int, max_steps: int | None
) -> Finding | None:
    """A warning where the checkpoints that a run will write take more room than there is.

    Args:
        config: of the run.
        state: before its first step.
        folder: of the run; it need not be there yet.
        steps_per_epoch: optimizer updates of an epoch.
        max_steps: of the whole run, if it ends before its last epoch.
    """
    size = checkpoint_bytes(state)
    count = count_checkpoints(config, state.epoch, steps_per_epoch, max_steps)
    free = _free_bytes(folder)
    if free is None or count * size <= free:
        return None
    return Finding(
        WARNING,
        f"The run will write {count:,} checkpoints of {_spoken(size)}, {_spoken(count * size)} in "
        f"all; the disk has {_spoken(free)} free.",
        str(folder),
        "It would end where the disk is full.",
        f"Set a larger checkpoint_freq (now {config.checkpoint_freq}), or give another "
        "--output-dir.",
    )


def count_checkpoints(
    config: Config, epoch: int, steps_per_epoch: int, max_steps: int | None
) -> int:
    """Files that will lie there at the end, `last.pth`, `best.pth` and one that is being written.

    Args:
        config: of the run.
        epoch: that it begins in, counted from 0.
        steps_per_epoch: optimizer updates of an epoch.
        max_steps: of the whole run, or None.
    """
    last = config.epoches
    if max_steps is not None:
        last = min(last, max_steps // max(1, steps_per_epoch))
    numbered = max(last // config.checkpoint_freq - epoch // config.checkpoint_freq, 0)
    return numbered + 3


def checkpoint_bytes(state: TrainingState) -> int:
    """The size of a checkpoint once the optimizer has made a step."""
    weights = _bytes(state.model.state_dict().values())
    averaged = _bytes(state.ema.module.state_dict().values()) if state.ema else 0
    trained = [p for group in state.optimizer.param_groups for p in group["params"]]
    return weights + averaged + _MOMENTS * _bytes(trained)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(each.numel() * each.element_size() for each in tensors)


def _free_bytes(folder: Path) -> int | None:
    """Free room where the folder is or will be; None where the system does not say."""
    place = next((each for each in (folder, *folder.absolute().parents) if each.exists()), None)
    try:
        return None if place is None else shutil.disk_usage(place).free
    except OSError:
        return None


def _spoken(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.0f} MB"
