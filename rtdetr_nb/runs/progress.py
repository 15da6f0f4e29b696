"""How a run stands, as numbers to plot and as one line to read; reads only what came since."""

import math
import statistics
import time
from bisect import bisect_left, bisect_right
from html import escape

from rtdetr_nb.errors import UserError
from rtdetr_nb.runs.folder import METRICS_FILE
from rtdetr_nb.runs.records import Record, RecordReader, is_step
from rtdetr_nb.runs.run import Run

LOSS = "loss"
MAIN_PARTS = ("loss_vfl", "loss_bbox", "loss_giou")
_STEPS_FOR_MEAN = 9  # as the plot smooths
_STEPS_FOR_PACE = 20
_QUIET_RECORDS = 10  # a run without a word for as long as so many took is called quiet
_LEAST_QUIET_SECONDS = 30


class RunProgress:
    """The steps, learning rates, evaluations and predictions of one run, kept up to date.

    Of a run's many losses only the total and the chosen parts are kept.

    Args:
        run: to follow.
        label: what to call it.
        parts: official names of the losses to keep beside the total.

    Attributes:
        steps: of the records so far, growing; a step that was trained twice has its last record.
        losses: name -> values, one a step.
        learning_rates: for each step, one value a parameter group.
        evaluations: records of evaluations, in order.
        predictions: records of predictions, in order.
        total_steps: of the whole run; None before it is known.
        problem: a sentence if the records cannot be read, else empty.
    """

    def __init__(self, run: Run, label: str, parts: tuple[str, ...] = MAIN_PARTS) -> None:
        self.run = run
        self.label = label
        self.names = (LOSS, *parts)
        self.problem = ""
        self.status = run.status
        self._forget()

    def _forget(self) -> None:
        self._reader = RecordReader(self.run.folder / METRICS_FILE)
        self._clear()

    def _clear(self) -> None:
        self.steps: list[int] = []
        self.losses: dict[str, list[float]] = {name: [] for name in self.names}
        self.learning_rates: list[list[float]] = []
        self.seconds: list[float] = []
        self.evaluations: list[Record] = []
        self.predictions: list[Record] = []
        self.total_steps: int | None = None
        self._last_time: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come, as of the last `update`."""
        return bool(self.problem) or self.status not in ("starting", "running")

    def update(self) -> bool:
        """Take in what has happened since, also if it is only the end; whether anything has."""
        was_over = self.is_over
        # First the status: a run that is over then has no records that this reading misses.
        self.status = self.run.status
        if self.status == "starting":
            return False  # the records in the folder may be those of an earlier run
        if not self.run.owns_records:
            had_some = self._last_time is not None
            self._forget()
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
        kind = record.get("event")
        if is_step(record):
            self._take_step(record)
        elif kind == "start":
            self.total_steps = record.get("total_steps")
        elif kind == "evaluation":
            self.evaluations.append(record)
        elif kind == "predictions":
            self.predictions.append(record)

    def _take_step(self, record: Record) -> None:
        known = bisect_left(self.steps, record["step"])
        if known < len(self.steps):  # it was resumed from before what it had already done
            for column in (self.steps, self.learning_rates, self.seconds, *self.losses.values()):
                del column[known:]
            for kept in (self.evaluations, self.predictions):
                kept[:] = [earlier for earlier in kept if earlier["step"] < record["step"]]
        self.steps.append(record["step"])
        self.learning_rates.append([float(rate) for rate in record.get("lr", [])])
        self.seconds.append(float(record.get("seconds", "nan")))
        for name, values in self.losses.items():
            values.append(float(record.get(name, "nan")))

    @property
    def mean_loss(self) -> float | None:
        """Mean total loss of what the last steps have told; None before the first."""
        if not self.steps:
            return None
        last = self.losses[LOSS][bisect_right(self.steps, self.steps[-1] - _STEPS_FOR_MEAN) :]
        return sum(last) / len(last)

    @property
    def seconds_per_step(self) -> float | None:
        """Median over the last steps, which an odd slow one does not move."""
        last = [value for value in self.seconds[-_STEPS_FOR_PACE:] if math.isfinite(value)]
        return statistics.median(last) if last else None

    @property
    def _steps_per_record(self) -> float:
        """How many steps go by between two that are recorded: 1, but in the official log."""
        last = self.steps[-_STEPS_FOR_PACE:]
        return (last[-1] - last[0]) / (len(last) - 1) if len(last) > 1 else 1.0

    @property
    def seconds_left(self) -> float | None:
        """For the steps that are left; None where that is not known or nothing is left."""
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
        """AP of the last evaluation; None before one, or where no box was to be found."""
        return self.evaluations[-1]["statistics"]["AP"] if self.evaluations else None

    def facts(self) -> list[str]:
        """How the run stands, as short phrases."""
        if self.problem:
            return ["unreadable"]
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
            if self.seconds_left is not None:
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


def error_html(sentence: str, log: str = "") -> str:
    """A sentence about an error, and log lines below it, escaped; empty without a sentence."""
    if not sentence:
        return ""
    lines = ""
    if log:
        lines = (
            '<details open><summary>the last lines of the log</summary><pre style="margin:.3em 0;'
            f'white-space:pre-wrap;font-size:.9em">{escape(log)}</pre></details>'
        )
    return (
        '<div role="alert" style="border-left:4px solid #d55e00;padding:.2em .6em;margin:.3em 0">'
        f"{escape(sentence)}{lines}</div>"
    )


def duration(seconds: float) -> str:
    """Seconds in words: "8 s", "2 min 05 s", "3 h 20 min", "2 d 4 h"."""
    seconds = max(0, round(seconds))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60:02} min"
    if minutes:
        return f"{minutes} min {seconds % 60:02} s"
    return f"{seconds} s"
