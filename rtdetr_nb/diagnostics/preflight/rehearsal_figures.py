"""What a rehearsal's measurements say of the whole training."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rtdetr_nb.diagnostics.preflight.part import Figure, Part, part
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.text.byte_counts import spoken_bytes
from rtdetr_nb.text.durations import duration
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Check, Words, check
from rtdetr_nb.text.plain_text import counted

REHEARSED = "rehearsed pictures in a step"
_SHARED_MEMORY = Path("/dev/shm")
_PREFETCHED = 2  # batches of a worker that wait to be used
_MUCH_WAITING = 0.2  # share of a step
_NEARLY_ALL = 0.92  # of the memory


@dataclass(frozen=True)
class Rehearsed:
    """What was measured, and what follows for the training as configured.

    Attributes:
        training: that was rehearsed.
        facts: as the process has written them.
    """

    training: Training
    facts: Mapping[str, Any]

    @property
    def pictures(self) -> int:
        """Pictures of a rehearsed step, over all processes."""
        return self.facts["pictures"]

    @property
    def is_reduced(self) -> bool:
        """Whether a step had fewer pictures than configured."""
        return self.pictures < self.training.batch_size

    @property
    def step_seconds(self) -> float:
        """Seconds that a whole step computes, with pictures of the mean size."""
        whole = self.training.batch_size / self.pictures
        return median(self.facts["step_seconds"]) * whole * self.share_of_area

    @property
    def share_of_area(self) -> float:
        """Pixels of a picture in the mean, over those of the largest."""
        mean, largest = self.training.mean_area, self.training.largest_hw
        return 1.0 if mean is None or largest is None else mean / math.prod(largest)

    @property
    def loading_seconds(self) -> float:
        """Seconds in which the data of a step are made, by as many workers as have a core."""
        facts = self.facts
        cores = max(1, facts["cores"] // facts["processes"])
        return facts["batch_seconds"] / max(1, min(facts["workers"], cores))

    @property
    def whole_step_seconds(self) -> float:
        """Seconds from step to step: workers make the data meanwhile, if there are any."""
        if self.facts["workers"] == 0:
            return self.step_seconds + self.loading_seconds
        return max(self.step_seconds, self.loading_seconds)

    @property
    def waiting(self) -> float:
        """Share of a step that waits for data."""
        return 1 - self.step_seconds / self.whole_step_seconds

    @property
    def evaluation_seconds(self) -> float:
        """Seconds of an evaluation; a picture costs no more in it than in a step."""
        facts = self.facts
        most = self.whole_step_seconds / self.training.batch_size
        each = facts["evaluation_seconds"] / max(1, facts["evaluated_pictures"])
        return min(each, most) * self.training.evaluated_pictures

    @property
    def total_seconds(self) -> float | None:
        """Seconds of all that is left to train; None where that is not known."""
        steps = self.training.total_steps
        if steps is None:
            return None
        evaluating = self.evaluation_seconds * self.training.evaluations
        left = 1 - self.facts["resumed_epochs"] / self.training.config.epoches
        return (steps * self.whole_step_seconds + evaluating) * max(0.0, left)

    @property
    def shared_memory(self) -> int:
        """Bytes of the batches that lie in shared memory at the same time."""
        facts, height_width = self.facts, self.training.config.eval_spatial_size
        train = _in_flight(facts["workers"]) * facts["batch_bytes"] * facts["processes"]
        loader = self.training.config.val_dataloader
        pictures = loader.total_batch_size or (loader.batch_size or 1) * facts["processes"]
        each = 3 * math.prod(height_width) if height_width else 0
        return train + _in_flight(facts["val_workers"]) * pictures * each


def judge_rehearsal(training: Training, facts: Mapping[str, Any]) -> Part:
    """Judge what a rehearsal has measured."""
    seen = Rehearsed(training, facts)
    findings = [found for each in REHEARSAL_CHECKS for found in each(seen)]
    taken = f"{counted(seen.pictures, 'picture')} a step"
    if seen.is_reduced:
        taken += f" (of {training.batch_size}, as many as fit into the time on a CPU)"
    where = facts["device"] + (
        f", {facts['processes']} processes" if training.processes > 1 else ""
    )
    sentence = (
        f"On {where} in {facts['precision']}: {len(facts['losses'])} steps of {taken}, an "
        f"evaluation of {counted(facts['evaluated_pictures'], 'picture')}, a checkpoint written "
        "and read, and a step after that."
    )
    return part("rehearsal", sentence, findings, _figures(seen))


def _figures(seen: Rehearsed) -> list[Figure]:
    training, facts = seen.training, seen.facts
    how = "computed from fewer pictures" if seen.is_reduced else ""
    if seen.share_of_area < 1:
        how = ", ".join(filter(None, (how, "scaled to the mean picture size")))
    step = seen.whole_step_seconds
    speed = training.batch_size / step
    figures = [
        Figure(REHEARSED, seen.pictures, f"{seen.pictures:,}"),
        Figure("time of a step", _digits(step), _seconds(step), how),
        Figure("pictures a second", _digits(speed), f"{speed:,.3g}"),
        Figure("waiting for data", round(seen.waiting, 3), f"{seen.waiting:.0%}",
               f"{counted(facts['workers'], 'worker')}, {counted(facts['cores'], 'core')}"),
    ]  # fmt: skip
    if seen.total_seconds is not None:
        seconds = seen.total_seconds
        evaluations = counted(training.evaluations, "evaluation")
        figures.append(Figure("time of the whole training", round(seconds), duration(seconds),
                              f"{training.total_steps:,} steps, {evaluations}"))  # fmt: skip
    if "gpu_bytes" in facts:
        of = f"of {spoken_bytes(facts['gpu_total'])}"
        figures.append(_bytes("peak memory of the GPU", facts["gpu_bytes"], of))
    of = f"with {counted(seen.pictures, 'picture')} a step" if seen.is_reduced else ""
    figures.append(_bytes("peak memory of a process", facts["host_bytes"], of))
    figures.append(_bytes("size of the written checkpoint", facts["checkpoint_bytes"]))
    if seen.shared_memory:
        figures.append(_bytes("batches in shared memory", seen.shared_memory, _free()))
    return figures


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def _bytes(name: str, count: int, note: str = "") -> Figure:
    return Figure(name, count, spoken_bytes(count), note)


def _seconds(value: float) -> str:
    return f"{value:.2g} s" if value < 10 else duration(value)


def _free() -> str:
    if not _SHARED_MEMORY.is_dir():
        return ""
    return f"{spoken_bytes(shutil.disk_usage(_SHARED_MEMORY).free)} are free"


def _in_flight(workers: int) -> int:
    """Batches that lie between workers and the training at the same time."""
    return workers * _PREFETCHED + 1 if workers else 0


@check(FAILURE)
def too_little_shared_memory(seen: Rehearsed) -> Iterator[Words]:
    """The batches that workers have ready do not fit into shared memory."""
    free = shutil.disk_usage(_SHARED_MEMORY).free if _SHARED_MEMORY.is_dir() else None
    if free is not None and seen.shared_memory > free:
        yield Words(
            f"The batches of the data workers need {spoken_bytes(seen.shared_memory)} of shared "
            f"memory, and {spoken_bytes(free)} are free.",
            "train_dataloader.num_workers",
            "A worker is killed when it is full.",
            "Give the container more (`--shm-size`), or set a smaller num_workers.",
        )


@check(WARNING)
def waits_for_data(seen: Rehearsed) -> Iterator[Words]:
    """The steps wait for data, and there are cores for more workers."""
    facts = seen.facts
    if seen.waiting > _MUCH_WAITING:
        cores = max(1, facts["cores"] // facts["processes"])
        action = f"Set train_dataloader.num_workers={cores}: so many cores there are a process."
        if facts["workers"] >= cores:
            action = "There are no more cores for workers; smaller pictures or files would help."
        yield Words(
            f"{seen.waiting:.0%} of the time the training would wait for data.",
            f"train_dataloader.num_workers: {facts['workers']}",
            f"A batch takes {_seconds(facts['batch_seconds'])} to make and "
            f"{_seconds(seen.step_seconds)} to train on.",
            action,
        )


@check(WARNING)
def memory_nearly_full(seen: Rehearsed) -> Iterator[Words]:
    """The largest pictures nearly fill the memory of the GPU."""
    facts = seen.facts
    if "gpu_bytes" in facts and facts["gpu_bytes"] > _NEARLY_ALL * facts["gpu_total"]:
        yield Words(
            f"The largest pictures take {spoken_bytes(facts['gpu_bytes'])} of the GPU's "
            f"{spoken_bytes(facts['gpu_total'])}.",
            "train_dataloader.total_batch_size",
            "A batch with more boxes than those of the rehearsal may not fit.",
            "Set a smaller total_batch_size, or smaller scales.",
        )


@check(NOTE)
def rehearsed_on_a_cpu(seen: Rehearsed) -> Iterator[Words]:
    """There is no GPU here, so times and memory hold for this CPU."""
    if seen.facts["device"] == "cpu" and seen.is_reduced:
        yield Words(
            f"There was time for {counted(seen.pictures, 'picture')} of "
            f"{seen.training.batch_size} a step on this CPU.",
            "rehearsal",
            "Times hold for this CPU, and the memory of the whole step is not known.",
            "Run it where the training will run.",
        )


@check(NOTE)
def not_in_mixed_precision(seen: Rehearsed) -> Iterator[Words]:
    """Mixed precision is asked for, and this machine does not have it."""
    if seen.training.config.use_amp and seen.facts["precision"] == "float32":
        yield Words(
            "Mixed precision is asked for, and this CPU computes in float32.",
            "use_amp",
            "It has no instructions for bfloat16.",
        )


@check(NOTE)
def not_compiled(seen: Rehearsed) -> Iterator[Words]:
    """The training will be compiled; the rehearsal was not."""
    if seen.training.config.compile:
        yield Words("The rehearsal was not compiled; the training will be.", "compile: True")


REHEARSAL_CHECKS: tuple[Check[Rehearsed], ...] = (
    too_little_shared_memory,
    waits_for_data,
    memory_nearly_full,
    rehearsed_on_a_cpu,
    not_in_mixed_precision,
    not_compiled,
)
"""All findings on a rehearsal, in the order in which they are told."""
