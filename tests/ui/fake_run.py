"""A run folder as a training process would write it, without any training."""

import json
import os
import time
from pathlib import Path
from typing import Any

from rtdetr_nb.runs.file_names import LOG_FILE, METRICS_FILE, RUN_FILE
from rtdetr_nb.runs.process_identity import identity_of
from rtdetr_nb.runs.run import Run


class FakeRun:
    """Writes `run.json` and `metrics.jsonl` on behalf of this process, which is alive."""

    def __init__(self, folder: Path, total_steps: int = 20) -> None:
        self.folder = folder
        self.total_steps = total_steps
        self.run = Run(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.describe("running")
        self.append({"event": "start", "step": 0, "total_steps": total_steps})

    def describe(self, status: str, **facts: Any) -> None:
        description = {"status": status, **identity_of(os.getpid()), **facts}
        partial = self.folder / "run.json.partial"
        partial.write_text(json.dumps(description))
        partial.replace(self.folder / RUN_FILE)

    def append(self, record: dict[str, Any]) -> None:
        with open(self.folder / METRICS_FILE, "a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time.time(), **record}) + "\n")

    def step(self, step: int, loss: float | str | None = None, **values: Any) -> None:
        record = {
            "step": step,
            "epoch": 0,
            "loss": 40.0 - step if loss is None else loss,
            "loss_vfl": 1.0,
            "loss_bbox": 0.5,
            "loss_giou": 2.0 / step,
            "lr": [1e-5 * step, 1e-4],
            "seconds": 2.0,
        }
        self.append(record | values)

    def evaluate(self, step: int, average_precision: float | None) -> None:
        statistics = {"AP": average_precision, "AP50": average_precision}
        self.append({"event": "evaluation", "step": step, "statistics": statistics})

    def finish(self) -> None:
        self.describe("finished")

    def fail(self, error: str, log: str) -> None:
        (self.folder / LOG_FILE).write_text(log)
        self.describe("failed", error=error)
