"""The records of a run as TensorBoard events, under the official names."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.history import AbandonedSteps
from rtdetr_nb.runs.records import Record, StepRecord, is_step

# Figures of a step other than losses and learning rates, and their names in TensorBoard.
_OTHERS = {
    "loss": "Loss/total",
    "grad_norm": "Gradient/norm",
    "seconds": "Time/step",
    "data_seconds": "Time/data",
}


@contextlib.contextmanager
def open_summary(
    summary_dir: str | os.PathLike[str] | None, config_yaml: str
) -> Iterator[Callable[[Record], None]]:
    """Yield a function that writes the records of a run as TensorBoard events.

    Losses and learning rates are named as by the official code (`Loss/total`, `Loss/loss_vfl`,
    `Lr/pg_0`), so that both can be laid over each other. The step counts optimizer updates.

    Args:
        summary_dir: where to write; None writes nothing.
        config_yaml: of the run, kept as text beside the figures.

    Raises:
        RunError: `tensorboard` is not installed, or the folder cannot be written.
    """
    if summary_dir is None:
        yield lambda _record: None
        return
    summary = _Summary(Path(summary_dir), _writer_class(), config_yaml)
    try:
        yield summary.add
    finally:
        summary.close()


def _writer_class() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RunError(
            "--summary-dir needs the package tensorboard, which is not installed here. Install it "
            "with `pip install tensorboard`, or leave --summary-dir out: metrics.jsonl in the "
            "output folder has the same figures."
        ) from error
    return SummaryWriter


class _Summary:
    """Events of one run; the file is opened by its first record, which says where it begins."""

    def __init__(self, folder: Path, writer_class: Any, config_yaml: str) -> None:
        self._folder = folder
        self._writer_class = writer_class
        self._config_yaml = config_yaml
        self._writer: Any = None

    def add(self, record: Record) -> None:
        """Write the figures of a record; the first one opens the file."""
        writer = self._writer or self._open(record)
        if is_step(record):
            _add_step(writer, record)
        elif "event" in record and record["event"] == "evaluation":
            for name, value in record["statistics"].items():
                if value is not None:
                    writer.add_scalar(f"Test/{name}", value, record["step"])
            writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _open(self, first: Record) -> Any:
        first_step = first.get("step", 0)
        # How far a resumed run had come is not known here: TensorBoard drops what there is.
        reached = math.inf if first_step else 0
        purge = AbandonedSteps(reached).first_abandoned_by(first)
        try:
            # Before TensorBoard does it: with TensorFlow installed, its error is not an OSError.
            self._folder.mkdir(parents=True, exist_ok=True)
            self._writer = self._writer_class(str(self._folder), purge_step=purge)
        except OSError as error:
            raise RunError(
                f"The summary folder {self._folder} cannot be written ({error.strerror}). Give "
                "another one with --summary-dir."
            ) from error
        if not first_step:
            self._writer.add_text("config", f"```yaml\n{self._config_yaml}\n```", 0)
        return self._writer


def _add_step(writer: Any, record: StepRecord) -> None:
    step = record["step"]
    for name, value in record.items():
        if name in _OTHERS or name.startswith("loss_"):
            writer.add_scalar(_OTHERS.get(name, f"Loss/{name}"), value, step)
    for group, rate in enumerate(record.get("lr", [])):
        writer.add_scalar(f"Lr/pg_{group}", rate, step)
