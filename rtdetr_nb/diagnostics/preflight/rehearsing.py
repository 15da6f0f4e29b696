"""The process of a rehearsal: the training itself, for two steps and all that follows them.

`python -m rtdetr_nb.diagnostics.preflight.rehearsing FOLDER`, alone or under torchrun. The folder
holds `config.yml` and `asked.json`; what happens is written to `facts.json`, after each phase, so
that a process that is killed has told how far it came.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.datasets.batches.loader import build_dataloader
from rtdetr_nb.diagnostics.preflight.shortened import ASKED_FILE, FACTS_FILE, with_pictures
from rtdetr_nb.errors import UserError
from rtdetr_nb.files.json_file import read_json, to_json
from rtdetr_nb.runs.file_names import CONFIG_FILE, LAST_FILE
from rtdetr_nb.runs.records import Record, is_step
from rtdetr_nb.training.assembly import TrainingOptions
from rtdetr_nb.training.distributed import Processes, join_processes, process_device
from rtdetr_nb.training.loop import train

STEPS = 2
# On a GPU the first steps are slow, and batches that were made before them hide the waiting.
STEPS_ON_GPU = 12
_EVALUATION = 0.35  # of a step, for as many pictures: a forward pass and the scoring


class Facts:
    """What is known so far; the first process writes it down."""

    def __init__(self, folder: Path, is_first: bool) -> None:
        self._path = folder / FACTS_FILE
        self._is_first = is_first
        self._values: dict[str, Any] = {}

    def add(self, **values: Any) -> None:
        """Note values, and write all of them."""
        self._values.update(values)
        if self._is_first:
            temporary = self._path.with_suffix(".partial")
            temporary.write_text(to_json(self._values), encoding="utf-8")
            temporary.replace(self._path)


def main(folder: Path) -> int:
    """Rehearse as `asked.json` says; 0 if it came to its end."""
    asked, config = read_json(folder / ASKED_FILE), load_config(folder / CONFIG_FILE)
    facts = Facts(folder, os.environ.get("RANK", "0") == "0")
    try:
        facts.add(phase="connecting the processes")
        with join_processes(config.device) as processes:
            try:
                _rehearse(config, folder, asked, facts, processes)
            except BaseException:
                processes.failed = True
                raise
    except UserError as error:
        _note_error(folder, str(error), "")
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - told by the process that waits for this one
        _note_error(folder, str(error), type(error).__name__)
        return 1
    return 0


def _note_error(folder: Path, message: str, kind: str) -> None:
    rank = os.environ.get("RANK", "0")
    (folder / f"error.{rank}.json").write_text(to_json({"message": message, "kind": kind}))


def _rehearse(
    config: Config, folder: Path, asked: dict[str, Any], facts: Facts, processes: Processes
) -> None:
    """Load, step, write, evaluate, read and step again."""
    facts.add(phase="making a batch")
    device = process_device(config.device, processes)
    facts.add(**_make_a_batch(config, processes))
    share = config.train_dataloader.total_batch_size or 1
    share //= processes.size
    if device.type == "cpu":
        facts.add(phase="a step with one picture")
        share = min(share, _fitting(config, folder, asked, processes))
    pictures = share * processes.size
    is_reduced = pictures < (config.train_dataloader.total_batch_size or 1)
    shortened = with_pictures(config, pictures, is_reduced)
    facts.add(phase="the first step", pictures=pictures)
    steps = STEPS_ON_GPU if device.type == "cuda" else STEPS
    before = _steps_before(shortened, asked, processes)
    options = _options(folder, asked, processes, before + steps)
    facts.add(**_measured(train(shortened, options), steps, facts))
    gc.collect()
    facts.add(**_memory(device), checkpoint_bytes=(folder / LAST_FILE).stat().st_size)
    facts.add(phase="resuming from the checkpoint")
    again = TrainingOptions(folder, resume=folder / LAST_FILE, processes=processes)
    step = _first_step(train(shortened, again))
    facts.add(phase="end", resumed_step=step["step"] - before)


def _make_a_batch(config: Config, processes: Processes) -> dict[str, Any]:
    """Make this process's share of a batch here, where it can be timed and weighed."""
    with processes.failing_together():
        loader = build_dataloader(
            config,
            "train",
            seed=config.seed or 0,
            rank=processes.rank,
            world_size=processes.size,
            num_workers=0,
        )
        places = next(iter(loader.batch_sampler))  # type: ignore[call-overload]
        began = time.perf_counter()
        images, _ = loader.collate_fn(loader.dataset.__getitems__(places))
        seconds = time.perf_counter() - began
    return {
        "batch_seconds": seconds,
        "batch_bytes": images.nbytes,
        "batch_size_hw": list(images.shape[-2:]),
        "workers": config.train_dataloader.num_workers,
        "val_workers": config.val_dataloader.num_workers,
        "cores": _cores(),
        "processes": processes.size,
    }


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _fitting(config: Config, folder: Path, asked: dict[str, Any], processes: Processes) -> int:
    """How many pictures of a process fit into the time that there is."""
    options = _options(folder, asked, processes, None)
    step = _first_step(train(with_pictures(config, processes.size, True), options))
    gc.collect()
    seconds = max(1e-3, step["seconds"] - step["data_seconds"])
    fitting = max(1, int(asked["seconds"] / (seconds * (STEPS + 1 + _EVALUATION))))
    return processes.from_first(lambda: fitting)


def _options(
    folder: Path, asked: dict[str, Any], processes: Processes, max_steps: int | None
) -> TrainingOptions:
    return TrainingOptions(
        output_dir=folder,
        tuning=Path(asked["tuning"]) if asked["tuning"] else None,
        resume=Path(asked["resume"]) if asked["resume"] else None,
        max_steps=max_steps,
        processes=processes,
    )


def _steps_before(config: Config, asked: dict[str, Any], processes: Processes) -> int:
    """Steps behind the checkpoint that is gone on with; official ones count epochs alone."""
    if not asked["resume"] or asked["resumed_steps"] is not None:
        return asked["resumed_steps"] or 0
    loader = build_dataloader(config, "train", rank=processes.rank, world_size=processes.size)
    return asked["resumed_epochs"] * len(loader)


def _first_step(records: Iterator[Record]) -> Any:
    """Train for a step, and no further: nothing is written."""
    with contextlib.closing(records):  # type: ignore[type-var]
        return next(record for record in records if is_step(record))


def _measured(records: Iterator[Record], steps: int, facts: Facts) -> dict[str, Any]:
    """Follow the training to its end; what its steps and its evaluation took."""
    seen: list[Any] = []
    measured: dict[str, Any] = {}
    written = time.perf_counter()
    for each in records:
        record: Any = each
        if is_step(each):
            seen.append(record)
            phase = "writing the checkpoint" if len(seen) == steps else f"step {len(seen) + 1}"
            facts.add(phase=phase)
        elif record["event"] == "start":
            measured |= {"device": record["device"], "precision": record["precision"]}
        elif record["event"] == "checkpoint" and record["file"] == LAST_FILE:
            written = time.perf_counter()
            facts.add(phase="the evaluation")
        elif record["event"] == "evaluation":
            measured["evaluation_seconds"] = time.perf_counter() - written
            measured["evaluated_pictures"] = record["num_images"]
    # The first step is slow: memory is taken, and the fastest algorithms are looked for.
    kept = seen[1:] if len(seen) <= STEPS else seen[len(seen) // 2 :]
    measured["step_seconds"] = [round(r["seconds"] - r["data_seconds"], 4) for r in kept]
    measured["waited_seconds"] = [r["data_seconds"] for r in kept]
    measured["losses"] = [r["loss"] for r in seen]
    return measured


def _memory(device: torch.device) -> dict[str, Any]:
    """The most that this process has held, and what there is."""
    unit = 1 if sys.platform == "darwin" else 1024
    held = {"host_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if device.type == "cuda":
        held["gpu_bytes"] = torch.cuda.max_memory_reserved(device)
        held["gpu_total"] = torch.cuda.get_device_properties(device).total_memory
    return held


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
