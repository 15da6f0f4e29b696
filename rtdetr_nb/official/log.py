"""What the official code prints, as the records that our own runs write.

A line of the official log sums up: each figure in it is the median over the last 20 steps, and in
parentheses the mean over the epoch. So a record made of such a line has medians for `loss` and its
parts, and `loss_epoch_mean` for the mean. Learning rates are those of the first parameter group,
printed to six digits: during the warm-up of a full training they may read 0.

Several processes write into one log, so a line may be cut short, or two lines may be mixed. Such a
line makes no record; the first one makes a finding.
"""

import ast
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtdetr_nb.coco_categories import STATISTICS
from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.records import FindingRecord, Record, as_record

_RANK = re.compile(r"^\[(?:rank|default)\d+\]: ?")
_STEP = re.compile(r"^Epoch: \[(\d+)\]  \[ *(\d+)/(\d+)\]  (.*)$")
_FIELD = re.compile(r"^(\w+): (\S+)(?: \((\S+)\))?$")
_PARAMETERS = re.compile(r"^number of trainable parameters: (\d+)$")
_LOAD = re.compile(r"^Load model\.state_dict, (.*)$")
_TUNING = re.compile(r"^tuning checkpoint from (.*)$")
_SUMMARY = re.compile(
    r"^ *Average (?:Precision|Recall) +\((A[PR])\) @\[ *IoU=(\S+) *\| *area= *(\S+) *\| "
    r"*maxDets= *(\d+) *\] = *(-?[\d.]+|nan)$"
)
_NOT_FINITE = re.compile(r"^Loss is (\S+), stopping training$")
_EXCEPTION = re.compile(r"^([A-Za-z_][\w.]*)(?:: (.*))?$")
_TRACEBACK = "Traceback (most recent call last):"
_NOT_DISTRIBUTED = "Not init distributed mode."
# What torchrun says about its workers hides what they said themselves.
_WRAPPERS = {"ChildFailedError"}
# What a damaged number, and a damaged Python literal, raise.
_DAMAGE = (ValueError, TypeError, SyntaxError, KeyError, RecursionError, MemoryError)
_SHOWN_OF_LINE = 80  # characters


@dataclass
class OfficialLogReader:
    """Takes the lines of an official log in order and returns the records that they make.

    Attributes:
        epochs: length of the training, for `total_steps`; None if it is not known.
        processes: how many the run was started with.
        facts: to add to the record `start`.
        step: optimizer updates so far, counted over the whole run.
        failure: kind and message of the exception that ended the log, if one did.
    """

    epochs: int | None = None
    processes: int = 1
    facts: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0
    failure: tuple[str, str] | None = None
    _epoch: int = 0
    _started: bool = False
    _parameters: int | None = None
    _tuning_file: str | None = None
    _statistics: dict[str, float | None] = field(default_factory=dict)
    _in_traceback: bool = False
    _damage_is_known: bool = False

    def read(self, line: str) -> list[Record]:
        """Return the records that one line completes, mostly 0 or 1. No line raises an error."""
        line = _RANK.sub("", line.rstrip("\r\n"))
        try:
            return self._records(line)
        except _DAMAGE:
            if _LOAD.match(line):
                return [_unknown_load(line)]
            known, self._damage_is_known = self._damage_is_known, True
            return [] if known else [_damaged_line(line)]

    def _records(self, line: str) -> list[Record]:
        if self._in_traceback or line == _TRACEBACK:
            self._read_traceback(line)
            return []
        if match := _STEP.match(line):
            return self._step_records(match)
        if match := _SUMMARY.match(line):
            return self._evaluation_records(match)
        if match := _LOAD.match(line):
            return self._tuning_records(match[1])
        if match := _NOT_FINITE.match(line):
            self.failure = ("NonFiniteLoss", f"The loss is {match[1]}; the training stopped.")
        elif match := _PARAMETERS.match(line):
            self._parameters = int(match[1])
        elif match := _TUNING.match(line):
            self._tuning_file = match[1]
        elif line == _NOT_DISTRIBUTED and self.processes > 1:
            return [_unconnected_processes(self.processes)]
        return []

    def _step_records(self, match: re.Match[str]) -> list[Record]:
        epoch, index, steps_per_epoch = (int(match[group]) for group in (1, 2, 3))
        figures = _step_figures(match[4])
        if index >= steps_per_epoch or "loss" not in figures:
            raise ValueError("not a whole line")
        start = [] if self._started else [self._start_record(epoch, steps_per_epoch)]
        self._started = True
        self._epoch, self.step = epoch, epoch * steps_per_epoch + index + 1
        return [*start, as_record({"step": self.step, "epoch": epoch, **figures})]

    def _start_record(self, epoch: int, steps_per_epoch: int) -> Record:
        return as_record(
            {
                "event": "start",
                "step": epoch * steps_per_epoch,
                "total_steps": None if self.epochs is None else self.epochs * steps_per_epoch,
                "steps_per_epoch": steps_per_epoch,
                "trainable_parameters": self._parameters,
                **self.facts,
            }
        )

    def _evaluation_records(self, match: re.Match[str]) -> list[Record]:
        name = _statistic(*match.groups()[:4])
        if name is None or name in self._statistics:
            return []
        value = float(match[5])
        self._statistics[name] = value if value >= 0 else None
        if len(self._statistics) < len(STATISTICS):
            return []
        statistics = {name: self._statistics[name] for name in STATISTICS}
        self._statistics = {}
        epoch = self._epoch + 1 if self._started else 0
        return [{"event": "evaluation", "step": self.step, "epoch": epoch,
                 "statistics": statistics}]  # fmt: skip

    def _tuning_records(self, literal: str) -> list[Record]:
        content = ast.literal_eval(literal)
        return [
            {
                "event": "tuning",
                "step": self.step,
                "file": self._tuning_file,
                "missed": list(map(str, content["missed"])),
                "unmatched": list(map(str, content["unmatched"])),
            }
        ]

    def _read_traceback(self, line: str) -> None:
        """Read a line of a traceback: the first one that is not indented names the exception."""
        if line == _TRACEBACK:
            self._in_traceback = True
        elif line and not line.startswith(" "):
            self._in_traceback = False
            match = _EXCEPTION.match(line)
            kind, message = (match[1], match[2] or "") if match else ("Exception", line)
            kind = kind.rpartition(".")[2]
            if kind not in _WRAPPERS or self.failure is None:
                self.failure = (kind, message)


def read_official_log(path: Path, *, steps_per_epoch: int | None = None) -> list[Record]:
    """Return the records of a finished official run, from what it printed or from its `log.txt`.

    `log.txt` has one line an epoch, with means over the epoch. It does not say how many steps an
    epoch had.

    Args:
        path: the printed log, or `log.txt` of the output folder.
        steps_per_epoch: for `log.txt`; without it `step` counts epochs.

    Raises:
        RunError: the file cannot be read or is not an official log.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise RunError(f"The log {path} cannot be read ({error.strerror}).") from error
    if any(line.startswith("{") for line in lines[:1]):
        records = _epoch_records(path, lines, steps_per_epoch or 1)
    else:
        reader = OfficialLogReader()
        records = [record for line in lines for record in reader.read(line)]
    if not records:
        raise RunError(
            f"{path} is not a log of the official code: expected what tools/train.py printed "
            "(lines that begin with `Epoch: [0]`), or the log.txt of its output folder."
        )
    return records


def _epoch_records(path: Path, lines: Iterable[str], steps_per_epoch: int) -> list[Record]:
    records: list[Record] = []
    for line in filter(str.strip, lines):
        try:
            records += _records_of_epoch(json.loads(line), steps_per_epoch)
        except (*_DAMAGE, AttributeError) as error:
            raise RunError(
                f"{path} is not a log.txt of the official code: {line[:60]!r} is not a JSON object "
                "with `epoch` and `train_loss`."
            ) from error
    return records


def _records_of_epoch(content: Mapping[str, Any], steps_per_epoch: int) -> list[Record]:
    epoch, loss = int(content["epoch"]), float(content["train_loss"])
    step = (epoch + 1) * steps_per_epoch
    parts = {
        name.removeprefix("train_"): value
        for name, value in content.items()
        if name.startswith("train_loss_")
    }
    rates = [float(content.get("train_lr", 0.0))]
    values = {"step": step, "epoch": epoch, "loss": loss, **parts, "lr": rates}
    records = [as_record(values)]
    if figures := content.get("test_coco_eval_bbox"):
        values = [value if value >= 0 else None for value in figures[: len(STATISTICS)]]
        statistics: dict[str, float | None] = dict(zip(STATISTICS, values, strict=True))
        records.append({"event": "evaluation", "step": step, "epoch": epoch + 1,
                        "statistics": statistics})  # fmt: skip
    return records


def _step_figures(text: str) -> dict[str, Any]:
    """The figures of a step's line: `loss` and its parts, `lr`, `seconds`, `data_seconds`."""
    figures: dict[str, Any] = {}
    names = {"time": "seconds", "data": "data_seconds"}
    for part in text.split("  "):
        found = _FIELD.match(part)
        if found is None or found[1] == "eta":
            continue
        name, value = names.get(found[1], found[1]), float(found[2])
        figures[name] = [value] if name == "lr" else value
        if name == "loss":
            figures["loss_epoch_mean"] = float(found[3] or found[2])
    return figures


def _statistic(kind: str, iou: str, area: str, max_detections: str) -> str | None:
    """Return our name of a line of the COCO summary; None if it is not one of the twelve."""
    if kind == "AR":
        name = f"AR_{max_detections}" if area == "all" else f"AR_{area}"
        name = name if iou == "0.50:0.95" else ""
    elif area != "all":
        name = f"AP_{area}"
    else:
        name = {"0.50:0.95": "AP", "0.50": "AP50", "0.75": "AP75"}.get(iou, "")
    return name if name in STATISTICS else None


def _unconnected_processes(processes: int) -> FindingRecord:
    return {
        "event": "finding",
        "level": "failure",
        "what": f"The {processes} processes do not know of each other.",
        "why": "Each of them trains another model, on all pictures, into the same folder.",
        "action": "Stop the run. The official code needs one GPU for each process, and NCCL.",
    }


def _damaged_line(line: str) -> FindingRecord:
    return {
        "event": "finding",
        "level": "note",
        "what": f"A line of the log cannot be read: {line[:_SHOWN_OF_LINE]!r}.",
        "why": "Processes that write at once cut each other's lines. Such lines are left out.",
    }


def _unknown_load(line: str) -> FindingRecord:
    return {
        "event": "finding",
        "level": "warning",
        "what": f"What was loaded of the tuning file is not known: {line[:_SHOWN_OF_LINE]!r}.",
        "where": "Load model.state_dict",
        "why": "The official load line is cut or mixed with another one.",
        "action": "Look at the line in train.log before you let the run go on.",
    }
