"""The part in which the official code rehearses: the same steps and the same evaluation."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.diagnostics.preflight.part import Figure, Part, part
from rtdetr_nb.diagnostics.preflight.shortened import rehearsed_config, with_pictures
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.errors import RunError
from rtdetr_nb.official.runs import official_verdict, start_official_run
from rtdetr_nb.runs.process import is_alive
from rtdetr_nb.runs.records import is_step
from rtdetr_nb.runs.run import Run
from rtdetr_nb.text.findings import FAILURE, NOTE, Finding
from rtdetr_nb.text.plain_text import counted
from rtdetr_nb.text.printable import printable

_STEPS = 2
_LIMIT = 300.0  # seconds
_PATIENCE = 60.0  # seconds for the process to be gone


def look_at_official(training: Training, folder: Path, pictures: int) -> Part:
    """Train two steps and evaluate a batch by the official code, on a few of the pictures.

    Args:
        training: with its checkout.
        folder: empty, for everything that is written.
        pictures: of a step.
    """
    assert training.official is not None and training.source is not None
    config = with_pictures(rehearsed_config(training), pictures, pictures < training.batch_size)
    few = _few_pictures(training.source, config, folder / "data")
    run = start_official_run(
        training.official,
        _on_few_pictures(config, few, training),
        output_dir=folder / "run",
        tuning=training.tuning,
        resume=training.resume,
        use_amp=config.use_amp,
        processes=_processes(training),
    )
    try:
        run.wait(_LIMIT)
        return _judge(run, training, len(few.val))
    except RunError as error:
        return part("official rehearsal", "It was ended.", [Finding(FAILURE, str(error))])
    finally:
        _await_end(run)


def _processes(training: Training) -> int:
    """As many as configured, where each has a GPU: on a CPU the official code trains alone."""
    import torch

    return training.processes if torch.cuda.device_count() >= training.processes else 1


def _few_pictures(source: DataSource, config: Config, folder: Path) -> DataSource:
    """The pictures of two steps and of one batch of the evaluation, written for that code."""
    steps = _STEPS * (config.train_dataloader.total_batch_size or 1)
    val = config.val_dataloader.total_batch_size or 1
    few = replace(source, train=source.train.evenly(steps), val=source.val.evenly(val))
    return few.write_coco(folder)


def _on_few_pictures(config: Config, few: DataSource, training: Training) -> Config:
    from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
    from rtdetr_nb.diagnostics.preflight.weights import resumed_epochs

    done = resumed_epochs(open_checkpoint(training.resume)) if training.resume else 0
    kept = {key: value for key, value in few.settings.items() if key != "num_classes"}
    plan = {"data": None, "epoches": (done or 0) + 1, "checkpoint_freq": 1, "print_freq": 1}
    return config.with_values({**kept, **plan, "HGNetv2.pretrained": False})


def _judge(run: Run, training: Training, val_pictures: int) -> Part:
    findings = list(official_verdict(run).findings)
    steps = [record for record in run.records if is_step(record)]
    evaluated = bool(run.evaluations)
    if run.status != "finished":
        findings.append(_failure(run, len(steps), evaluated))
    elif not evaluated:
        findings.append(Finding(FAILURE, "The official code ended without an evaluation."))
    if _processes(training) < training.processes:
        what = f"It trained in one process, not in {training.processes}: that takes a GPU each."
        findings.append(Finding(NOTE, what, "official rehearsal"))
    sentence = f"{counted(len(steps), 'step')} by the official code"
    sentence += f", and an evaluation of {counted(val_pictures, 'picture')}." if evaluated else "."
    figures = []
    seconds = steps[-1].get("seconds") if steps else None
    if seconds is not None:
        note = "its last step, with as many pictures as were rehearsed"
        figures.append(
            Figure("time of a step of the official code", seconds, f"{seconds:.2g} s", note)
        )
    return part("official rehearsal", sentence, findings, figures)


def _failure(run: Run, steps: int, evaluated: bool) -> Finding:
    """What ended the official code, and where in its way."""
    where = "its evaluation" if steps >= _STEPS and not evaluated else f"step {steps + 1}"
    reason = printable(run.error.partition("\n")[0]) or run.status
    return Finding(
        FAILURE,
        f"The official code ended in {where}: {reason.rstrip('.')}.",
        "official rehearsal",
        "The training by that code would end there too.",
    )


def _await_end(run: Run) -> None:
    """Leave no process behind, and none that still writes."""
    run.stop()
    deadline = time.monotonic() + _PATIENCE
    while is_alive(run.description) and time.monotonic() < deadline:
        time.sleep(0.1)
