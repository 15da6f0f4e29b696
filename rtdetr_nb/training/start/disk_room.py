"""Whether the disk has room for the checkpoints of a run."""

import logging
import shutil
from pathlib import Path

from rtdetr_nb.config.config import Config
from rtdetr_nb.text.byte_counts import spoken_bytes
from rtdetr_nb.text.findings import WARNING, Finding

logger = logging.getLogger(__name__)

_BESIDE = 3  # `last.pth`, `best.pth` and one that is being written


def tell_room(
    config: Config, folder: Path, size: int, epoch: int, steps_per_epoch: int, max_steps: int | None
) -> None:
    """Warn where the disk has no room for the checkpoints; arguments as in `disk_finding`."""
    count = count_checkpoints(config, epoch, steps_per_epoch, max_steps)
    found = disk_finding(folder, count, size, config.checkpoint_freq)
    if found is not None:
        logger.warning("%s", found)


def disk_finding(folder: Path, count: int, size: int, checkpoint_freq: int) -> Finding | None:
    """A warning where the checkpoints that a run will write take more room than there is.

    Args:
        folder: of the run; it need not be there yet.
        count: of the checkpoints.
        size: of each, in bytes.
        checkpoint_freq: as configured.
    """
    free = _free_bytes(folder)
    if free is None or count * size <= free:
        return None
    return Finding(
        WARNING,
        f"The run will write {count:,} checkpoints of {spoken_bytes(size)}, "
        f"{spoken_bytes(count * size)} in all; the disk has {spoken_bytes(free)} free.",
        str(folder),
        "It would end where the disk is full.",
        f"Set a larger checkpoint_freq (now {checkpoint_freq}), or give another --output-dir.",
    )


def count_checkpoints(
    config: Config, epoch: int, steps_per_epoch: int, max_steps: int | None
) -> int:
    """Files that a run writes, one after the other and kept.

    Args:
        config: of the run.
        epoch: that it begins in, counted from 0.
        steps_per_epoch: optimizer updates of an epoch.
        max_steps: of the whole run, if it ends before its last epoch.
    """
    last = config.epoches
    if max_steps is not None:
        last = min(last, max_steps // max(1, steps_per_epoch))
    numbered = max(last // config.checkpoint_freq - epoch // config.checkpoint_freq, 0)
    return numbered + _BESIDE


def _free_bytes(folder: Path) -> int | None:
    """Free room where the folder is or will be; None where the system does not say."""
    place = next((each for each in (folder, *folder.absolute().parents) if each.exists()), None)
    try:
        return None if place is None else shutil.disk_usage(place).free
    except OSError:
        return None
