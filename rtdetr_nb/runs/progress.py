"""Following a run: its records as numbers to plot, and as one line to read.

A `RunProgress` is made once for a run and given to all that show the run. Each `update` reads what
has come since the last one, so that a long run costs no more than a short one.
"""

import math
import statistics
import time
from bisect import bisect_left, bisect_right
from html import escape

from rtdetr_nb.errors import UserError
from rtdetr_nb.runs.file_names import METRICS_FILE
from rtdetr_nb.runs.history import AbandonedSteps, is_kept
from rtdetr_nb.runs.record_file import RecordReader
from rtdetr_nb.runs.records import (
    EvaluatingRecord,
    EvaluationRecord,
    PredictionsRecord,
    Record,
    StepRecord,
    is_step,
)
from rtdetr_nb.runs.run import UNDER_WAY, Run
from rtdetr_nb.text.durations import duration
from rtdetr_nb.text.html_pieces import error_html

LOSS = "loss"
MAIN_PARTS = ("loss_vfl", "loss_bbox", "loss_giou")
_STEPS_FOR_MEAN = 9  # as the plot smooths
_STEPS_FOR_PACE = 20
_QUIET_RECORDS = 10  # a run is called quiet if it records nothing for as long as these took
_LEAST_QUIET_SECONDS = 30


class RunProgress:
    """The steps, learning rates, evaluations and predictions of one run, kept up to date.

    Of a run's many losses only the total and the chosen parts are kept. Nothing is read before the
    first `update`.

    Args:
        run: to follow.
        label: what to call it; by default the name of its folder.
        parts: official names of the losses to keep beside the total.

    Attributes:
        status: of the run, as of the last `update`; see `RunSnapshot`.
        steps: of the records so far, growing; a step that was trained twice has its last record.
        losses: name -> values, one a step.
        learning_rates: for each step, one value a parameter group.
        seconds: of each step.
        waited: of them, waiting for data.
        memory: in MiB, at each step; see `StepRecord`.
        lr_groups: what each parameter group trains; empty where the run does not say it.
        pictures_per_step: of all processes together; None where the run does not say it.
        evaluations: records of evaluations, in order.
        predictions: records of predictions, in order.
        total_steps: of the whole run; None before it is known.
        problem: a sentence if the records cannot be read, else empty.
    """

    def __init__(self, run: Run, label: str = "", parts: tuple[str, ...] = MAIN_PARTS) -> None:
        self.run = run
        self.label = label or run.folder.name
        self.parts = parts
        self.problem = ""
        self.status = "starting"
        self._reader = RecordReader(run.folder / METRICS_FILE)
        self._clear()

    def _clear(self) -> None:
        self.steps: list[int] = []
        self.losses: dict[str, list[float]] = {name: [] for name in (LOSS, *self.parts)}
        self.learning_rates: list[list[float]] = []
        self.seconds: list[float] = []
        self.waited: list[float] = []
        self.memory: list[float] = []
        self.lr_groups: list[str] = []
        self.pictures_per_step: int | None = None
        self.evaluations: list[EvaluationRecord] = []
        self.predictions: list[PredictionsRecord] = []
        self.total_steps: int | None = None
        self._abandoned = AbandonedSteps()
        self._evaluating: EvaluatingRecord | None = None
        self._last_time: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come, as of the last `update`."""
        return bool(self.problem) or self.status not in UNDER_WAY

    def update(self) -> bool:
        """Read what has come since the last call.

        Returns:
            Whether anything changed: new records, or the end of the run.
        """
        was_over = self.is_over
        # Before the records: if the run is over now, no record can come after they are read.
        seen = self.run.describe()
        self.status = seen.status
        if not seen.owns_records:
            had_some = self._last_time is not None
            self._reader = RecordReader(self._reader.path)
            self._clear()
            return had_some or self.is_over != was_over
        try:
            records = self._reader.read()
        except UserError as error:
            self.problem = str(error)
            return True
        if self._reader.restarted:
            self._clear()
        for record in records:
            self._take(record)
        return bool(records) or self._reader.restarted or self.is_over != was_over

    def _take(self, record: Record) -> None:
        self._last_time = record.get("time", self._last_time)
        first = self._abandoned.first_abandoned_by(record)
        if first is not None:
            self._drop_from(first)
        if is_step(record):
            self._take_step(record)
        elif "event" not in record:
            return
        elif record["event"] == "start":
            self._evaluating = None
            self.total_steps = record.get("total_steps")
            self.lr_groups = record.get("lr_groups", [])
            self.pictures_per_step = record.get("pictures_per_step")
        elif record["event"] == "evaluating":
            self._evaluating = record
        elif record["event"] == "evaluation":
            self._evaluating = None
            self.evaluations.append(record)
        elif record["event"] == "predictions":
            self.predictions.append(record)

    def _drop_from(self, first: int) -> None:
        """Drop the steps from `first` on, and what happened at them."""
        known = bisect_left(self.steps, first)
        numbers = (self.seconds, self.waited, self.memory, *self.losses.values())
        for column in (self.steps, self.learning_rates, *numbers):
            del column[known:]
        self.evaluations = [record for record in self.evaluations if is_kept(record, first)]
        self.predictions = [record for record in self.predictions if is_kept(record, first)]

    def _take_step(self, record: StepRecord) -> None:
        self._evaluating = None
        self.steps.append(record["step"])
        self.learning_rates.append(record.get("lr", []))
        self.seconds.append(record.get("seconds", math.nan))
        self.waited.append(record.get("data_seconds", math.nan))
        self.memory.append(record.get("memory_mb", math.nan))
        for name, values in self.losses.items():
            values.append(float(record.get(name, math.nan)))

    @property
    def mean_loss(self) -> float | None:
        """Mean total loss over the last steps; None before the first."""
        if not self.steps:
            return None
        last = self.losses[LOSS][bisect_right(self.steps, self.steps[-1] - _STEPS_FOR_MEAN) :]
        return sum(last) / len(last)

    @property
    def seconds_per_step(self) -> float | None:
        """Median over the last steps, which a single slow one does not move; None if unknown."""
        last = [value for value in self.seconds[-_STEPS_FOR_PACE:] if math.isfinite(value)]
        return statistics.median(last) if last else None

    @property
    def _steps_per_record(self) -> float:
        """Steps between two records: 1, except for the official log."""
        last = self.steps[-_STEPS_FOR_PACE:]
        return (last[-1] - last[0]) / (len(last) - 1) if len(last) > 1 else 1.0

    @property
    def seconds_left(self) -> float | None:
        """Time for the steps that are left; None if that is not known or no step is left."""
        if self.is_over or not self.steps or not self.total_steps:
            return None
        steps_left = self.total_steps - self.steps[-1]
        pace = self.seconds_per_step
        return steps_left * pace if pace is not None and steps_left > 0 else None

    @property
    def seconds_quiet(self) -> float:
        """How long a running run has recorded nothing."""
        if self.status != "running" or self._last_time is None:
            return 0.0
        return max(0.0, time.time() - self._last_time)

    @property
    def average_precision(self) -> float | None:
        """AP of the last evaluation; None before the first, or if there is no true box."""
        return self.evaluations[-1]["statistics"]["AP"] if self.evaluations else None

    def rate_title(self, group: int) -> str:
        """What a parameter group trains; its number where the run does not say it."""
        return self.lr_groups[group] if group < len(self.lr_groups) else f"group {group}"

    def facts(self) -> list[str]:
        """How the run stands, as short phrases."""
        if self.problem:
            return ["unreadable"]
        if self.status == "queued":
            return ["waiting in the queue of SLURM"]
        if self.status == "starting":
            return ["starting"]
        facts = [self.status, *self._step_facts()]
        if self.average_precision is not None:
            facts.append(f"AP {self.average_precision:.3f}")
        usual = self._steps_per_record * (self.seconds_per_step or 0.0)
        if self.seconds_quiet > max(_LEAST_QUIET_SECONDS, _QUIET_RECORDS * usual):
            facts.append(f"nothing recorded for {duration(self.seconds_quiet)}")
        return facts

    def _step_facts(self) -> list[str]:
        if not self.steps:
            return ["no step yet"]
        of_all = f" of {self.total_steps}" if self.total_steps else ""
        facts = [f"step {self.steps[-1]}{of_all}", f"loss {self.mean_loss:.2f}"]
        if self.status == "running":
            if self.seconds_per_step is not None:
                facts.append(f"{self.seconds_per_step:.2g} s a step")
            if self._evaluating is not None:
                facts.append(
                    f"evaluating {self._evaluating['done']} of {self._evaluating['of']} pictures"
                )
            elif self.seconds_left is not None:
                facts.append(f"about {duration(self.seconds_left)} left")
            elif self.steps[-1] == self.total_steps:
                facts.append("evaluating")
        return facts

    def error(self) -> tuple[str, str]:
        """What went wrong, as a sentence, and the last lines of the log; both may be empty."""
        if self.problem:
            return self.problem, ""
        sentence, _, log = self.run.error.partition("\n")
        return sentence, log

    def text(self) -> str:
        """The status for a terminal."""
        line = f"{self.label}: {', '.join(self.facts())}"
        sentence, log = self.error() if self.is_over else ("", "")
        return "\n".join(part for part in (line, sentence, log) if part)

    def html(self, color: str) -> str:
        """The status for a page, after a swatch in the colour of the run's line."""
        swatch = (
            f'<span aria-hidden="true" style="display:inline-block;width:1.6em;height:0;'
            f'border-top:3px solid {color};vertical-align:middle;margin-right:.5em"></span>'
        )
        facts = " &middot; ".join(map(escape, self.facts()))
        line = f"<div>{swatch}<b>{escape(self.label)}</b> {facts}</div>"
        return line + (error_html(*self.error()) if self.is_over else "")
