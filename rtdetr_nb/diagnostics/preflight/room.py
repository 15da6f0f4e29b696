"""The part on the folder of the run: whether it can be written, and has room to the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rtdetr_nb.architecture.state_dict_table import model_keys
from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.config.config import Config
from rtdetr_nb.diagnostics.preflight.part import Figure, Part, part
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.diagnostics.preflight.weights import resumed_epochs
from rtdetr_nb.errors import UserError
from rtdetr_nb.runs.run import Run
from rtdetr_nb.text.byte_counts import spoken_bytes
from rtdetr_nb.text.findings import FAILURE, NOTE, Finding
from rtdetr_nb.text.plain_text import counted
from rtdetr_nb.training.start.disk_room import count_checkpoints

_BYTES = 4  # of a number
_MOST = 10**9  # a checkpoint_freq that no training reaches


def look_at_room(training: Training) -> Part:
    """Look whether the folder of the run can be written, and holds all checkpoints."""
    folder = training.output_dir
    findings = list(_what_lies_there(training))
    there = _nearest(folder)
    refusal = _refusal(there)
    if refusal:
        return part(
            "disk", f"{folder} cannot be written.", [*findings, _unwritable(folder, refusal)]
        )
    free = shutil.disk_usage(there).free
    size, number = checkpoint_bytes(training.config), checkpoints(training)
    needed = size * number
    if needed > free:
        findings.append(_too_little(training, size, needed, free))
    figures = [
        Figure("size of a checkpoint", size, spoken_bytes(size), "by the tensors in it"),
        Figure("size of all checkpoints", needed, spoken_bytes(needed), f"{number:,} files"),
        Figure("free on the disk", free, spoken_bytes(free)),
    ]
    sentence = (
        f"{counted(number, 'checkpoint')} of {spoken_bytes(size)} are {spoken_bytes(needed)}; "
        f"{spoken_bytes(free)} are free."
    )
    return part("disk", sentence, findings, figures)


def checkpoint_bytes(config: Config) -> int:
    """Bytes of a checkpoint: model, its average, and two numbers a trainable parameter."""
    keys = model_keys(config).values()
    values = sum(key.num_elements for key in keys)
    trained = sum(key.num_elements for key in keys if key.kind == "parameter" and key.trainable)
    return _BYTES * (values * (2 if config.use_ema else 1) + 2 * trained)


def checkpoints(training: Training, freq: int | None = None) -> int:
    """Files that a training has still to write, and those that it writes anew each time."""
    config = (
        training.config if freq is None else training.config.with_values({"checkpoint_freq": freq})
    )
    steps = training.steps_per_epoch or 1
    return count_checkpoints(config, _epochs_behind(training), steps, training.max_steps)


def _epochs_behind(training: Training) -> int:
    """Epochs whose checkpoints are written already."""
    try:
        return (training.resume and resumed_epochs(open_checkpoint(training.resume))) or 0
    except UserError:  # told where weights are looked at
        return 0


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that there is."""
    return next((each for each in (folder, *folder.parents) if os.path.lexists(each)), folder)


def _refusal(there: Path) -> str:
    """Why nothing can be written there; empty where it can. Nothing is left behind."""
    try:
        # A file without a name, where the system has those.
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError as error:
        return f"{there}: {error.strerror or error}"


def _unwritable(folder: Path, refusal: str) -> Finding:
    return Finding(
        FAILURE,
        f"The folder of the run cannot be written ({refusal}).",
        str(folder),
        "The training would end where it writes its first file.",
        "Give another --output-dir.",
    )


def _what_lies_there(training: Training) -> Iterator[Finding]:
    """A run that is in the folder already."""
    folder = training.output_dir
    if not folder.is_dir():
        return
    seen = Run(folder).describe()
    if seen.description and not seen.is_over:
        yield Finding(
            FAILURE,
            f"A run is still going on in the folder ({seen.status}).",
            str(folder),
            action="Stop it, or give another --output-dir.",
        )
    elif seen.description and not _goes_on(training):
        yield Finding(
            NOTE,
            f"The folder holds a run that has {seen.status}.",
            str(folder),
            "It is kept, in the folder `previous` there.",
        )


def _goes_on(training: Training) -> bool:
    resume = training.resume
    return resume is not None and resume.resolve().parent == training.output_dir.resolve()


def _too_little(training: Training, size: int, needed: int, free: int) -> Finding:
    room = free // size - checkpoints(training, _MOST)  # for those that are kept beside
    freq = training.epochs // (room + 1) + 1 if room >= 0 else None
    enough = (
        f"Make room, or set checkpoint_freq={freq}."
        if freq is not None and freq <= training.epochs
        else "Make room, or give an --output-dir on another disk."
    )
    return Finding(
        FAILURE,
        f"The checkpoints need {spoken_bytes(needed)} ({checkpoints(training):,} of "
        f"{spoken_bytes(size)}), and {spoken_bytes(free)} are free.",
        f"checkpoint_freq: {training.config.checkpoint_freq}",
        "The training would end when the disk is full.",
        enough,
    )
