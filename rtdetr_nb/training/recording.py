"""What a training records of itself: see `rtdetr_nb.runs.records`."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rtdetr_nb.checkpoint.tuning.report import TuningReport
from rtdetr_nb.config.explain import group_title
from rtdetr_nb.runs.records import Record, StartRecord, as_record
from rtdetr_nb.training.assembly import Assembly
from rtdetr_nb.training.distributed import Processes
from rtdetr_nb.training.state import TrainingState
from rtdetr_nb.training.step import StepResult

logger = logging.getLogger(__name__)

_MEBIBYTE = 2**20


def start_record(
    parts: Assembly, processes: Processes, total_steps: int, accumulate: int
) -> StartRecord:
    """What the run is, before its first step."""
    loader = parts.train_loader
    state, precision = parts.state, parts.precision
    trainable = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
    logger.info("number of trainable parameters: %d", trainable)
    if precision.note:
        logger.warning(precision.note)
    dtype = precision.dtype
    return {
        "event": "start",
        "step": state.step,
        "total_steps": total_steps,
        "steps_per_epoch": parts.steps_per_epoch,
        "device": str(parts.device),
        "processes": processes.size,
        "precision": str(dtype).removeprefix("torch.") if dtype else "float32",
        "seed": state.seed,
        "trainable_parameters": trainable,
        "lr_groups": group_titles(state.model, state.optimizer),
        "pictures_per_step": loader.images_per_batch * processes.size * accumulate,
        "train_pictures": len(loader.dataset),
        "val_pictures": len(parts.val_loader.dataset),
    }


def step_record(
    state: TrainingState,
    result: StepResult,
    rates: Sequence[float],
    waited: float,
    spent: float,
    device: torch.device,
) -> Record:
    """One update that `state` has just made.

    Args:
        state: after it.
        result: of the update.
        rates: learning rate of each parameter group, as used.
        waited: seconds until its data were there.
        spent: seconds of all of it.
        device: that the model is on.
    """
    return as_record(
        {
            "step": state.step,
            "epoch": state.epoch,
            "loss": result.loss,
            **result.losses,
            "lr": list(rates),
            "grad_norm": result.grad_norm,
            "seconds": round(spent, 4),
            "data_seconds": round(waited, 4),
            **memory_held(device),
        }
    )


def tuning_facts(report: TuningReport) -> dict[str, Any]:
    """What a tuning file did, for the record: names in full, except of what was loaded."""
    return {
        "file": str(report.path),
        "source": report.source,
        "loaded": len(report.loaded),
        "missed": list(report.missed),
        "unmatched": list(report.unmatched),
        "unused": list(report.unused),
    }


def group_titles(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """What each parameter group trains, such as "backbone" and "encoder and decoder norms"."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    titles = [
        group_title([names[id(p)] for p in group["params"] if id(p) in names])
        for group in optimizer.param_groups
    ]
    taken = Counter(titles)
    return [
        f"{title}, group {place}" if taken[title] > 1 else title
        for place, title in enumerate(titles)
    ]


def memory_held(device: torch.device) -> dict[str, float]:
    """`memory_mb` of a step: on a GPU the most so far, else what the process holds now.

    It is left out where the system does not say it.
    """
    if device.type == "cuda":
        return {"memory_mb": round(torch.cuda.max_memory_allocated(device) / _MEBIBYTE, 1)}
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return {}
    return {"memory_mb": round(pages * os.sysconf("SC_PAGE_SIZE") / _MEBIBYTE, 1)}
