"""What a run that learns a few pictures by heart has come to: what its findings are made from."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.diagnostics.overfit.chosen import ChosenPicture
from rtdetr_nb.diagnostics.overfit.report import LearntPicture, Look
from rtdetr_nb.diagnostics.overfit.setting import Lesson
from rtdetr_nb.runs.records import StepRecord

STEPS_AT_EACH_END = 10  # whose losses are averaged
TEACHES = {"loss_vfl": "names", "loss_focal": "names", "loss_bbox": "boxes", "loss_giou": "boxes"}


@dataclass(frozen=True)
class Outcome:
    """What a run has recorded, and what it was to learn.

    Attributes:
        status: of the run; see `RunSnapshot`.
        error: what went wrong; empty if nothing did.
        lesson: what it was to learn.
        looks: at the pictures, in order.
        steps: its optimizer updates.
        rows: some of the pictures at the end.
        chosen: its pictures.
        split: those pictures alone, in the same order.
        config: of the run.
        is_tuned: whether it started from a tuning file.
    """

    status: str
    error: str
    lesson: Lesson
    looks: tuple[Look, ...]
    steps: tuple[StepRecord, ...]
    rows: tuple[LearntPicture, ...]
    chosen: tuple[ChosenPicture, ...]
    split: Split
    config: Config
    is_tuned: bool

    @property
    def is_learnt(self) -> bool:
        """Whether the target was reached."""
        return bool(self.looks) and self.looks[-1].ap >= self.lesson.target

    @property
    def is_whole(self) -> bool:
        """Whether all steps were made, and the target not reached."""
        return self.status == "finished" and not self.is_learnt

    @property
    def stands_still(self) -> bool:
        """Whether every learning rate is 0 at every step."""
        return bool(self.steps) and not any(any(step.get("lr", [1.0])) for step in self.steps)

    @property
    def losses_off(self) -> list[str]:
        """The losses of weight 0 that teach names or boxes."""
        weights = self.config.loss.weight_dict
        return [name for name, weight in weights.items() if weight == 0 and name in TEACHES]

    def fallen_to(self, name: str) -> float:
        """A loss at the end as a share of the same at the beginning; 1 where it is not known."""
        values = [float(step[name]) for step in self.steps if name in step]  # type: ignore[literal-required]
        if len(values) < 2 * STEPS_AT_EACH_END:
            return 1.0
        begin, end = mean(values[:STEPS_AT_EACH_END]), mean(values[-STEPS_AT_EACH_END:])
        return end / begin if begin > 0 else 1.0
