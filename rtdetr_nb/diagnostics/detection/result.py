"""What a detector on frozen features has found, as data, text and HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rtdetr_nb.diagnostics.detection.pictures import Detections, Pictures
from rtdetr_nb.drawing import draw
from rtdetr_nb.text.html_pieces import shown
from rtdetr_nb.text.plain_text import counted, show_as_text
from rtdetr_nb.text.table import Table

if TYPE_CHECKING:
    import pandas

_SHOWN = 4  # pictures with boxes that are kept for the figure
_LIMITS = (
    "An untrained encoder and decoder are left out: this speaks of the features alone, not of what "
    "RT-DETRv2 will reach."
)


@dataclass(frozen=True)
class DetectionRecord:
    """How far the training of a head is.

    Attributes:
        weights: of the backbone.
        step: optimizer updates so far.
        steps: of all.
        loss: mean since the last record.
        ap: on the validation pictures, over IoU thresholds 0.50 to 0.95.
        ap50: at 0.50.
    """

    weights: str
    step: int
    steps: int
    loss: float
    ap: float
    ap50: float


@dataclass(frozen=True)
class ClassFigure:
    """One class: boxes learnt from, boxes looked for, and AP (None without any of these)."""

    name: str
    train_boxes: int
    val_boxes: int
    ap: float | None


@dataclass(frozen=True)
class DetectionScore:
    """What the head reaches on the features of one backbone.

    Attributes:
        ap: COCO's AP on the validation pictures.
        ap50: the same at an IoU threshold of 0.50.
        interval: 95 % of the AP if other pictures were drawn (bootstrap over pictures); says
            nothing of other seeds.
        classes: class by class.
        records: on the way.
        kept: share of the variance that the projection keeps, a map.
        found: boxes at the end, an entry a validation picture.
        resampled: AP of each set of pictures drawn again.
        seconds: for the features, and for the head.
    """

    ap: float
    ap50: float
    interval: tuple[float, float]
    classes: tuple[ClassFigure, ...] = field(repr=False)
    records: tuple[DetectionRecord, ...] = field(repr=False)
    kept: tuple[float, ...] = field(repr=False)
    found: tuple[Detections, ...] = field(repr=False)
    resampled: np.ndarray = field(repr=False, compare=False)
    seconds: tuple[float, float]

    def __str__(self) -> str:
        low, high = self.interval
        return f"AP {self.ap:.3f} ({low:.3f} to {high:.3f}), AP50 {self.ap50:.3f}"


@dataclass(frozen=True)
class ShownPicture:
    """A validation picture with its boxes, for the figure.

    Attributes:
        pixels: (S, S, 3) uint8.
        boxes: "true", and the surest boxes found with each kind of weights, as many as true ones:
            (n, 4) xyxy in pixels.
        names: class names of those.
        scores: of those; empty for "true".
    """

    pixels: np.ndarray
    boxes: dict[str, np.ndarray]
    names: dict[str, list[str]]
    scores: dict[str, list[float]]


@dataclass(frozen=True)
class DetectionProbe:
    """A small detector on the frozen features of a backbone.

    Attributes:
        weights: where the loaded weights come from; None if only random ones were probed.
        loaded: with those; None without any.
        random: with random weights; None if they were not asked for.
        difference: 95 % of loaded minus random AP over the same sets of pictures, or None.
        pictures: of training and validation.
        boxes: of training and validation.
        steps: optimizer updates of the head.
        image_size: height and width that pictures were resized to.
        shown: some validation pictures with boxes.
        notes: what was left out.
        seconds: that it took.
    """

    weights: str | None
    loaded: DetectionScore | None
    random: DetectionScore | None
    difference: tuple[float, float] | None
    pictures: tuple[int, int]
    boxes: tuple[int, int]
    steps: int
    image_size: int
    shown: tuple[ShownPicture, ...] = field(repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)
    seconds: float = 0.0

    @property
    def main(self) -> DetectionScore:
        """Of the loaded weights if there are any, else of the random ones."""
        score = self.loaded or self.random
        assert score is not None
        return score

    @property
    def ap(self) -> float:
        """COCO's AP with the loaded weights (without any, with random ones)."""
        return self.main.ap

    @property
    def ap50(self) -> float:
        """The same at an IoU threshold of 0.50."""
        return self.main.ap50

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of the AP if other validation pictures were drawn; says nothing of other seeds."""
        return self.main.interval

    @property
    def per_class(self) -> pandas.DataFrame:
        """One row a class, indexed by its name: boxes, and AP with loaded and random weights."""
        import pandas

        rows = {
            c.name: {"training boxes": c.train_boxes, "held-out boxes": c.val_boxes}
            for c in self.main.classes
        }
        table = pandas.DataFrame.from_dict(rows, orient="index")
        for kind, score in (("loaded", self.loaded), ("random", self.random)):
            if score is not None:
                table[kind] = pandas.Series({c.name: c.ap for c in score.classes}, dtype=float)
        return table

    @property
    def sentence(self) -> str:
        """What is found, and what that does not say."""
        held_out = f"{counted(self.boxes[1], 'held-out box', 'held-out boxes')}"
        setting = f"After {self.steps} steps on {self.pictures[0]} pictures, on {held_out}"
        parts = [f"{self.weights}: {self.loaded}"] if self.loaded else []
        parts += [f"random weights: {self.random}"] if self.random else []
        return f"{setting}: {'; '.join(parts)}. {self._comparison()}{_LIMITS}"

    def _comparison(self) -> str:
        if self.difference is None:
            return ""
        low, high = self.difference
        if low > 0:
            return "The features are better than random ones on these pictures. "
        if high < 0:
            return "The features are worse than random ones on these pictures. "
        return "So few pictures do not tell the features from random ones. "

    def figure(self) -> Any:
        """AP over the steps, and class by class (matplotlib)."""
        return draw("detection_probe", self)

    def boxes_figure(self) -> Any:
        """Validation pictures with true boxes and those that were found (matplotlib)."""
        return draw("detection_probe", self, boxes=True)

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        return "\n".join([self.sentence, self._table().text(), *self.notes])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{shown(note)}</p>" for note in self.notes)
        return f"<p>{shown(self.sentence)}</p>{self._table().html()}{notes}"

    def _table(self) -> Table:
        scores = {"loaded": self.loaded, "random": self.random}
        given = {kind: score for kind, score in scores.items() if score is not None}
        found = [{c.name: c.ap for c in score.classes} for score in given.values()]
        rows = tuple(
            (c.name, f"{c.train_boxes:,}", f"{c.val_boxes:,}", *(_figure(f[c.name]) for f in found))
            for c in self.main.classes
        )
        columns = ("training boxes", "held-out boxes", *given)
        return Table("AP by class", ("class", *columns), rows, frozenset(columns))


def _figure(ap: float | None) -> str:
    return "-" if ap is None else f"{ap:.3f}"


def shown_pictures(
    val: Pictures, loaded: DetectionScore | None, random: DetectionScore | None
) -> tuple[ShownPicture, ...]:
    """Keep the first validation pictures with several boxes, or else with one."""
    several = [i for i, labels in enumerate(val.labels) if len(labels) > 1]
    single = [i for i, labels in enumerate(val.labels) if len(labels) == 1]
    return tuple(_shown(val, i, loaded, random) for i in sorted([*several, *single][:_SHOWN]))


def _shown(
    val: Pictures, index: int, loaded: DetectionScore | None, random: DetectionScore | None
) -> ShownPicture:
    count = len(val.labels[index])
    boxes = {"true": val.boxes_xyxy[index].numpy()}
    names = {"true": [val.classes[int(label)] for label in val.labels[index]]}
    scores: dict[str, list[float]] = {"true": []}
    for kind, score in (("loaded", loaded), ("random", random)):
        if score is not None:
            found = score.found[index]
            boxes[kind] = found.boxes_xyxy[:count].numpy()
            names[kind] = [val.classes[int(label)] for label in found.labels[:count]]
            scores[kind] = found.scores[:count].tolist()
    return ShownPicture(val.images[index].permute(1, 2, 0).numpy(), boxes, names, scores)
