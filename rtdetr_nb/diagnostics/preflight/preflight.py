"""All that can be known of a training before its first step, on one page."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.diagnostics.preflight.configuration import look_at_configuration, stops_at_once
from rtdetr_nb.diagnostics.preflight.data import look_at_data
from rtdetr_nb.diagnostics.preflight.official_rehearsal import look_at_official
from rtdetr_nb.diagnostics.preflight.part import Part, look_at, part
from rtdetr_nb.diagnostics.preflight.planning import plan_training
from rtdetr_nb.diagnostics.preflight.rehearsal import look_at_rehearsal, passing_folder
from rtdetr_nb.diagnostics.preflight.rehearsal_figures import REHEARSED
from rtdetr_nb.diagnostics.preflight.report import PreflightReport
from rtdetr_nb.diagnostics.preflight.room import look_at_room
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.diagnostics.preflight.weights import look_at_weights
from rtdetr_nb.errors import RunError, UserError
from rtdetr_nb.files.pasted_path import pasted_path
from rtdetr_nb.official.command import open_official
from rtdetr_nb.progress_bar import ProgressBar, progress
from rtdetr_nb.text.findings import FAILURE, NOTE, Finding

_SECONDS = 60.0  # of a rehearsal's steps and evaluation on a CPU
PathLike = str | os.PathLike[str]

_LOOKS: dict[str, Callable[[Training], Part]] = {
    "configuration": look_at_configuration,
    "data": look_at_data,
    "weights": look_at_weights,
    "disk": look_at_room,
}
"""The parts that are looked at without a step, in that order."""


def preflight(
    config: Config | PathLike,
    tuning: PathLike | None = None,
    data: DataSource | PathLike | None = None,
    *,
    resume: PathLike | None = None,
    output_dir: PathLike | None = None,
    overrides: Sequence[str] = (),
    use_amp: bool | None = None,
    max_steps: int | None = None,
    processes: int = 1,
    official: PathLike | None = None,
    rehearse: bool = True,
    seconds: float = _SECONDS,
) -> PreflightReport:
    """Say before the first step of a training whether it can be begun, and what it will take.

    Configuration, data, weights and disk are looked at; then the training itself runs in a process,
    for two steps with the largest pictures of the configuration, one batch of an evaluation and its
    scoring, a checkpoint that is written and read, and a step after that. Nothing is left behind.

    Args:
        config: of the training, or its name or path.
        tuning: tuning file to start from.
        data: the data set, if it is not the one that the configuration names. Its paths take the
            place of those; `num_classes` stays.
        resume: checkpoint to go on from.
        output_dir: folder of the run; by default that of the configuration.
        overrides: `section.key=value` assignments.
        use_amp: mixed precision; by default as configured.
        max_steps: after which the training will be ended.
        processes: that train together; above 1 the rehearsal runs under torchrun.
        official: a checkout of the official code, which then rehearses too.
        rehearse: whether to rehearse at all.
        seconds: that steps and evaluation of the rehearsal may take on a CPU, which get fewer
            pictures for it.

    Returns:
        A report, whatever is wrong: what stands in the way is in its `findings`.

    Raises:
        RunError: `processes` is below 1.
    """
    if processes < 1:
        raise RunError(f"The number of processes is {processes}; expected at least 1.")
    began = time.monotonic()
    flags = {"use_amp": use_amp, "output_dir": output_dir and os.fspath(output_dir)}
    given = {name: value for name, value in flags.items() if value is not None}
    planned = plan_training(config, overrides, given, data)
    refused: list[Finding] = []
    parts = [planned.part]
    if planned.training is not None:
        training = replace(
            planned.training,
            tuning=_given(tuning, "-t", pasted_path, refused),
            resume=_given(resume, "-r", pasted_path, refused),
            official=_given(official, "--official", lambda p: open_official(p).folder, refused),
            processes=processes,
            max_steps=max_steps,
        )
        parts.append(part("configuration", "", refused))
        count = len(_LOOKS) + (1 + (training.official is not None) if rehearse else 0)
        with progress("Preflight", count, "part") as bar:
            parts += _look(training, bar, seconds if rehearse else None)
    return PreflightReport(
        config=config.source if isinstance(config, Config) else os.fspath(config),
        parts=_joined(parts),
        seconds=round(time.monotonic() - began, 1),
    )


def _look(training: Training, bar: ProgressBar, seconds: float | None) -> Iterator[Part]:
    """Look at one part after the other."""
    seen: dict[str, Part] = {}
    for name, look in _LOOKS.items():
        bar.say(name)
        seen[name] = look_at(name, partial(look, training))
        bar.advance()
        yield seen[name]
    if seconds is not None:
        yield from _rehearse(training, seen, bar, seconds)


def _rehearse(
    training: Training, seen: dict[str, Part], bar: ProgressBar, seconds: float
) -> Iterator[Part]:
    """Rehearse what can be; a file of weights that cannot be used is left out."""
    if training.source is None or seen["data"].verdict == "failed" or stops_at_once(training):
        yield Part("rehearsal", "What is found above would stop it.", is_left_out=True)
        return
    notes: tuple[Finding, ...] = ()
    if seen["weights"].verdict == "failed":
        training = replace(training, tuning=None, resume=None, config=training.without_download)
        notes = (Finding(NOTE, "It began with random weights: those that are given cannot be used.",
                         "rehearsal"),)  # fmt: skip
    bar.say("rehearsal")
    with passing_folder(training) as folder:
        done = look_at("rehearsal", lambda: look_at_rehearsal(training, folder, seconds))
    yield replace(done, findings=(*done.findings, *notes))
    if training.official is not None:
        bar.advance()
        bar.say("official rehearsal")
        pictures = next((f.value for f in done.figures if f.name == REHEARSED), None)
        number = int(pictures or training.processes)
        with passing_folder(training) as folder:
            yield look_at("official rehearsal", lambda: look_at_official(training, folder, number))


def _joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Parts of one name as one, and each finding once."""
    joined: dict[str, Part] = {}
    told: set[Finding] = set()
    for each in parts:
        new = tuple(finding for finding in each.findings if finding not in told)
        told.update(new)
        before = joined.get(each.name, Part(each.name))
        joined[each.name] = replace(
            each,
            sentence=each.sentence or before.sentence,
            findings=(*before.findings, *new),
            figures=(*before.figures, *each.figures),
            seconds=before.seconds + each.seconds,
        )
    return tuple(joined.values())


def _given(
    path: PathLike | None, flag: str, read: Callable[[PathLike], Path], refused: list[Finding]
) -> Path | None:
    """A path that is given; None where there is none, or where it cannot be one."""
    if path is None or not os.fspath(path):
        return None
    try:
        return read(path)
    except UserError as error:
        refused.append(Finding(FAILURE, str(error), flag))
        return None
