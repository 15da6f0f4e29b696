"""Short runs for the best few of a ranking: several seeds each, and their spread decides."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rtdetr_nb.checkpoint.tuning.write import write_tuning_file
from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.quick_run import quick_run_config
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.diagnostics.ranking.contestant import Contestant
from rtdetr_nb.diagnostics.ranking.result import RankedFile
from rtdetr_nb.errors import UserError
from rtdetr_nb.launchers.slurm import Slurm
from rtdetr_nb.progress_bar import ProgressBar, progress
from rtdetr_nb.runs.conclusion import RARE, last_loss, order_of_ends
from rtdetr_nb.runs.file_names import METRICS_FILE
from rtdetr_nb.runs.find_or_start import ensure_run
from rtdetr_nb.runs.record_file import read_last_step
from rtdetr_nb.runs.run import Run
from rtdetr_nb.text.suggestion import suggest

_LOOK = 0.5  # seconds between two looks at the runs


@dataclass(frozen=True)
class ShortRuns:
    """The short runs that a ranking adds.

    Attributes:
        steps: optimizer updates of each run.
        seeds: runs of each file, with the seeds 0, 1, ...
        files: how many of the best files have runs; copies do not count.
        image_size: height and width of the pictures, a multiple of 32.
        batch_size: pictures of a step.
        output_dir: each run has a folder below it. A run of the same that is there is found again.
        launcher: `rt.Slurm(...)` submits every run as a job, all at once; the queue orders them.
    """

    steps: int = 60
    seeds: int = 3
    files: int = 3
    image_size: int = 160
    batch_size: int = 4
    output_dir: str = "runs/rank"
    launcher: Slurm | None = None

    @classmethod
    def asked(cls, asked: Mapping[str, Any]) -> ShortRuns:
        """Of `fine_tune=dict(...)`.

        Raises:
            UserError: an unknown name, or a number that is too small.
        """
        known = [each.name for each in dataclasses.fields(cls)]
        for name in asked:
            if name not in known:
                hint = suggest(name, known) or f"It takes {', '.join(known)}."
                raise UserError(f"fine_tune has no {name!r}. {hint}")
        runs = cls(**asked)
        for name, least in (("steps", 1), ("seeds", 1), ("files", 2), ("batch_size", 1)):
            value = getattr(runs, name)
            if not isinstance(value, int) or value < least:
                raise UserError(f"fine_tune's {name} is {value!r}; it takes {least} or more.")
        if not isinstance(runs.launcher, Slurm | None):
            raise UserError(f"fine_tune's launcher is {runs.launcher!r}; it takes rt.Slurm(...).")
        return runs


@dataclass(frozen=True)
class FineTuned:
    """What the short runs of the best few have shown.

    Attributes:
        losses: of each file, by its name, the loss at the end of each run.
        conclusion: what they allow to say.
        best: name of the file that they speak for; empty if they decide nothing.
        failures: what a run that did not finish says, in a sentence each.
    """

    losses: dict[str, tuple[float, ...]]
    conclusion: str
    best: str = ""
    failures: tuple[str, ...] = ()


def fine_tune(
    ranked: Sequence[RankedFile],
    contestants: Mapping[str, Contestant],
    config: Config,
    data: DataSource | str | os.PathLike[str],
    runs: ShortRuns,
    devices: Sequence[str],
) -> FineTuned:
    """Train the best few for a short time and say what the spread of the seeds allows.

    Args:
        ranked: the best first.
        contestants: what was probed, by the names of the files.
        config: of the training to come; the short runs have its backbone.
        data: what they train on.
        runs: how many and how long.
        devices: as many runs go on at once as there are devices, one on each.

    Raises:
        UserError: the data cannot be trained on, or a run cannot be started.
    """
    chosen = _without_copies(ranked, contestants)[: runs.files]
    jobs = [
        _Job(file.name, seed, contestants[file.name])
        for seed in range(runs.seeds)
        for file in chosen
    ]
    quick = quick_run_config(
        data,
        steps=runs.steps,
        image_size=runs.image_size,
        batch_size=runs.batch_size,
        backbone_of=config,
    )
    with progress("Short runs", len(jobs) * runs.steps, "step") as bar:
        # On a cluster the queue says when a run begins, and its node has the device.
        places = [""] * len(jobs) if runs.launcher else devices
        ended = _run_all(jobs, quick, runs, places, bar)
    failures = tuple(
        f"{run.folder}: {run.reason or f'the run is {run.status}.'}"
        for _, run in ended
        if run.status != "finished"
    )
    losses = {file.name: _losses(file.name, ended) for file in chosen}
    complete = {name: each for name, each in losses.items() if len(each) == runs.seeds}
    return replace(conclude_runs(complete, runs.steps), losses=losses, failures=failures)


def conclude_runs(losses: Mapping[str, tuple[float, ...]], steps: int) -> FineTuned:
    """What the losses at the end allow to say, by the rule of `rt.conclude`.

    Args:
        losses: of each file, of as many seeds each.
        steps: of each run.
    """
    if len(losses) < 2:
        return FineTuned({}, "Fewer than two files have finished their short runs.")
    lead, *others = sorted(losses, key=lambda name: sum(losses[name]) / len(losses[name]))
    told = f"After {steps} steps the loss of {lead} is {_range(losses[lead])}"
    ends = {other: order_of_ends(losses[lead], losses[other]) for other in others}
    apart = [other for other, (order, orders) in ends.items() if order and 1 / orders <= RARE]
    close = [f"{other} ({_range(losses[other])})" for other in others if other not in apart]
    if close:
        few = "" if len(losses[lead]) >= 3 else " Fewer than three seeds decide nothing."
        return FineTuned({}, f"{told}; the short runs do not tell it from {', '.join(close)}.{few}")
    orders = ends[others[0]][1]
    return FineTuned(
        {},
        f"{told}, and every run of it ended below every run of the others; for two equal files "
        f"that happens once in {orders} times.",
        best=lead,
    )


@dataclass(frozen=True)
class _Job:
    name: str
    seed: int
    contestant: Contestant

    def start(self, quick: Config, runs: ShortRuns, device: str) -> Run:
        """Find or start the run."""
        contestant = self.contestant
        mended = "" if contestant.mended is None else f"_{contestant.mended.name}"
        folder = Path(runs.output_dir) / f"{contestant.path.stem}_{contestant.digest[:8]}{mended}"
        tuning = folder / "tuning.pth"
        if not tuning.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            write_tuning_file(contestant.selection, tuning, input_format=contestant.mended)
        where = {"device": device} if device else {}
        config = quick.with_values({"seed": self.seed, **where})
        return ensure_run(
            config,
            output_dir=folder / f"seed_{self.seed}",
            tuning=tuning,
            max_steps=runs.steps,
            launcher=runs.launcher,
        )


def _run_all(
    jobs: Iterable[_Job], quick: Config, runs: ShortRuns, devices: Sequence[str], bar: ProgressBar
) -> list[tuple[_Job, Run]]:
    """Run all, one after the other on each device; after a failure none is started any more."""
    waiting, ended = list(jobs), []
    going: list[tuple[str, _Job, Run]] = []
    free = list(devices)
    while waiting or going:
        while waiting and free:
            job, device = waiting.pop(0), free.pop(0)
            bar.say(f"{job.name}, seed {job.seed}")
            going.append((device, job, job.start(quick, runs, device)))
        still_going = []
        for device, job, run in going:
            if not run.is_over:
                still_going.append((device, job, run))
                continue
            ended.append((job, run))
            waiting = waiting if run.status == "finished" else []
            free.append(device)
        going = still_going
        steps = [read_last_step(run.folder / METRICS_FILE) or 0 for _, _, run in going]
        bar.to(len(ended) * runs.steps + sum(steps))
        if going and not (waiting and free):
            time.sleep(_LOOK)
    return ended


def _without_copies(
    ranked: Sequence[RankedFile], contestants: Mapping[str, Contestant]
) -> list[RankedFile]:
    seen: set[str] = set()
    unlike = []
    for file in ranked:
        digest = contestants[file.name].digest
        if digest not in seen:
            unlike.append(file)
        seen.add(digest)
    return unlike


def _losses(name: str, ended: Iterable[tuple[_Job, Run]]) -> tuple[float, ...]:
    mine = sorted((job.seed, run) for job, run in ended if job.name == name)
    return tuple(last_loss(run) for _, run in mine if run.status == "finished")


def _range(losses: Sequence[float]) -> str:
    mean = sum(losses) / len(losses)
    return f"{mean:.2f} ({min(losses):.2f} to {max(losses):.2f}, {len(losses)} seeds)"
