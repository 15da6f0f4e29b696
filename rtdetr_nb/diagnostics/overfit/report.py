"""What learning a few pictures by heart has shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rtdetr_nb.drawing import draw
from rtdetr_nb.runs.records import PredictionsRecord
from rtdetr_nb.text.findings import Finding, Verdict
from rtdetr_nb.text.html_pieces import shown
from rtdetr_nb.text.plain_text import counted, show_as_text
from rtdetr_nb.text.table import Table

if TYPE_CHECKING:
    import pandas

_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_LIMITS = (
    "It does not show that the boxes are right: wrong ones that are always the same can be learnt "
    "by heart too. Look at .figure()."
)


@dataclass(frozen=True)
class Look:
    """What the pictures were like at one look.

    Attributes:
        step: optimizer updates before it.
        ap: on the pictures that are learnt.
        ap50: the same at an IoU threshold of 0.50.
        loss: mean total loss of the steps since the look before.
    """

    step: int
    ap: float
    ap50: float
    loss: float


@dataclass(frozen=True)
class LearntPicture:
    """One of the pictures at the end: of as many best detections as it has boxes.

    Attributes:
        file: its name.
        boxes: true ones.
        known: with a detection of the same name and an IoU of 0.5 or more.
        other_name: with such a detection, but of another name only.
        missed: without one.
    """

    file: str
    boxes: int
    known: int
    other_name: int
    missed: int


@dataclass(frozen=True)
class OverfitReport:
    """Whether a few pictures were learnt by heart.

    Attributes:
        folder: of the run.
        learnt: whether the AP on them has reached the target.
        target: that AP.
        looks: on the way, the last one at the end.
        pictures: number of pictures that were learnt.
        boxes: on them.
        table_rows: some of the pictures as they are at the end.
        findings: what is wrong or worth knowing.
        predictions: on these pictures at the end; None if the run did not come so far.
        seconds: that the steps took.
    """

    folder: str
    learnt: bool
    target: float
    looks: tuple[Look, ...] = field(repr=False)
    pictures: int
    boxes: int
    table_rows: tuple[LearntPicture, ...] = field(repr=False)
    findings: tuple[Finding, ...] = field(repr=False)
    predictions: PredictionsRecord | None = field(default=None, repr=False)
    seconds: float = 0.0

    @cached_property
    def verdict(self) -> Verdict:
        """ "ok", "warnings" or "failed", with the findings that led to it."""
        return Verdict(self.findings)

    @property
    def ap(self) -> float:
        """COCO's AP on the pictures at the last look; 0 before the first."""
        return self.looks[-1].ap if self.looks else 0.0

    @property
    def steps(self) -> int:
        """Optimizer updates before the last look."""
        return self.looks[-1].step if self.looks else 0

    @property
    def sentence(self) -> str:
        """What was found, and what that does not say."""
        what = f"{self._these()} by heart"
        if self.learnt:
            return (
                f"It learns {what} (AP {self.ap:.2f} after {self.steps} steps): data, labels, "
                f"losses and optimizer work together. {_LIMITS}"
            )
        after = f"AP {self.ap:.2f} after {self.steps} steps" if self.looks else "no look at them"
        return f"It does not learn {what} ({after}; {self.target:.2f} is wanted)."

    def _these(self) -> str:
        known = self.pictures <= len(_NUMBERS)
        number = _NUMBERS[self.pictures - 1] if known else f"{self.pictures:,}"
        return "this one picture" if self.pictures == 1 else f"these {number}"

    @property
    def table(self) -> pandas.DataFrame:
        """One row a picture, up to four: its boxes at the end."""
        import pandas

        columns = ["file", "boxes", "known", "other_name", "missed"]
        return pandas.DataFrame([vars(row) for row in self.table_rows], columns=columns)

    def figure(self) -> Any:
        """AP and loss over the steps, and the pictures with true boxes and detections."""
        return draw("overfit", self)

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        boxes = counted(self.boxes, "box", "boxes")
        time = f"{counted(self.pictures, 'picture')}, {boxes}, {self.seconds:.0f} s; {self.folder}"
        return "\n".join([self.sentence, time, self.verdict.text(), self._table().text()])

    def _repr_html_(self) -> str:
        head = f"<p>{shown(self.sentence)}</p>"
        return head + self.verdict._repr_html_() + self._table().html()

    def _table(self) -> Table:
        columns = ("boxes", "known", "other name", "missed")
        rows = tuple(
            (row.file, *map(str, (row.boxes, row.known, row.other_name, row.missed)))
            for row in self.table_rows
        )
        return Table("Boxes at the end", ("picture", *columns), rows, frozenset(columns))
