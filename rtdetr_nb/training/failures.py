"""Failures that PyTorch reports as a bare `RuntimeError`, in sentences."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist

from rtdetr_nb.errors import TrainingError
from rtdetr_nb.runs.folder import how_to_go_on


@contextlib.contextmanager
def named_failures(folder: Path) -> Iterator[None]:
    """Turn the usual failures of a long run into `TrainingError`s; let others pass.

    Args:
        folder: of the run, whose last checkpoint the sentence names.
    """
    try:
        yield
    except RuntimeError as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise TrainingError(f"{reason} {how_to_go_on(folder)}") from error


def _reason(error: RuntimeError) -> str | None:
    """What has happened, in sentences; None for any other error."""
    text = str(error)
    first = text.splitlines()[0] if text else type(error).__name__
    if isinstance(error, torch.OutOfMemoryError):
        return (
            "The memory of the GPU is used up. Set a smaller train_dataloader.total_batch_size or "
            "smaller collate_fn.scales, or train with --use-amp."
        )
    if isinstance(error, dist.DistError) or "gloo" in text.lower():
        return (
            "Another process of this run has ended, so this one cannot go on; the last lines that "
            f"the other wrote say why. ({first[:200]})"
        )
    return None
