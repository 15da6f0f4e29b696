"""What moved: the weights of a run against those that it began with."""

import os
import time
from pathlib import Path

from rtdetr_nb.architecture.state_dict_table import model_keys
from rtdetr_nb.checkpoint.checkpoint import Checkpoint, open_checkpoint
from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.diagnostics.movement.beginning import RAW, find_beginning, step_of, tensor_names
from rtdetr_nb.diagnostics.movement.change import by_layer, by_part, compare_tensors, role_of
from rtdetr_nb.diagnostics.movement.judge import judge_movement
from rtdetr_nb.diagnostics.movement.result import WhatMoved
from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.folder import CONFIG_FILE
from rtdetr_nb.runs.records import is_step
from rtdetr_nb.runs.run import Run, attach_run
from rtdetr_nb.text.findings import FAILURE, Finding
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted


def what_moved(
    run: Run | str | os.PathLike[str],
    *,
    start: str | os.PathLike[str] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> WhatMoved:
    """Compare the weights of a run with what it began with.

    Frozen parts are compared bit for bit, all others by the norm of what was added over the norm
    of the start. Random weights are made again from the seed of the run. Nothing in a file is run.

    Args:
        run: that has begun, or its folder.
        start: the tuning file or checkpoint that it began with, where it lies elsewhere now.
        checkpoint: which of the run's checkpoints is compared; by default `last.pth`.

    Raises:
        RunError: the run has no checkpoint, has not begun, or what it began with is not known.
        CheckpointError: a file cannot be read.
    """
    began = time.monotonic()
    run = run if isinstance(run, Run) else attach_run(run)
    config = _config_of(run)
    opened = _open_checkpoint_of(run, checkpoint)
    beginning = find_beginning(run, config, start)
    table = model_keys(config)
    changes = list(compare_tensors(opened, beginning, table))
    parts = by_part(changes)
    step = _last_step(run, opened)
    steps = None if step is None else step - beginning.step
    findings = [
        *_absent(opened, [name for name in table if role_of(name, table)]),
        *judge_movement(parts, steps, config, run.records),
    ]
    return WhatMoved(
        run=run.folder.name,
        checkpoint=opened.path.name,
        beginning=beginning.words,
        step=step,
        steps=steps,
        layers=by_layer(changes),
        part_movements=parts,
        findings=tuple(findings),
        notes=beginning.notes,
        seconds=round(time.monotonic() - began, 2),
    )


def _config_of(run: Run) -> Config:
    path = run.folder / CONFIG_FILE
    if not path.is_file():
        raise RunError(
            f"There is no {CONFIG_FILE} in {run.folder}, so what was frozen is not known. Copy the "
            "configuration that the run was trained by there."
        )
    return load_config(path)


def _open_checkpoint_of(run: Run, checkpoint: str | os.PathLike[str] | None) -> Checkpoint:
    if not run.describe().owns_records:
        raise RunError(
            f"The run in {run.folder} has not begun ({run.status}); its checkpoint is an earlier "
            "run's."
        )
    path = Path(checkpoint) if checkpoint else run.checkpoint
    path = path if path.is_file() else run.folder / path
    if not path.is_file():
        raise RunError(
            f"There is no {path.name} in {run.folder}: the run ({run.status}) has written no such "
            "checkpoint yet. One is written at the end of each epoch and when it is stopped."
        )
    opened = open_checkpoint(path)
    if not tensor_names(opened, RAW):
        raise RunError(
            f"{path} holds no weights below 'model', so it is no checkpoint of a run. Give "
            "last.pth or another one of the run's."
        )
    return opened


def _last_step(run: Run, checkpoint: Checkpoint) -> int | None:
    """Optimizer updates before the checkpoint; the official code does not write them there."""
    step = step_of(checkpoint)
    if step is not None:
        return step
    return max((record["step"] for record in run.records if is_step(record)), default=None)


def _absent(checkpoint: Checkpoint, names: list[str]) -> list[Finding]:
    held = set(tensor_names(checkpoint, RAW))
    absent = [name for name in names if name not in held]
    if not absent:
        return []
    return [
        Finding(
            FAILURE,
            f"{counted(len(absent), 'tensor')} of the model that {CONFIG_FILE} describes "
            f"{'is' if len(absent) == 1 else 'are'} not in {checkpoint.path.name}.",
            first_of(absent),
            "They are not compared.",
            f"Check that {CONFIG_FILE} is the one that the run was trained by.",
        )
    ]
