"""What a probe found, as data, text and HTML."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from statistics import mean
from typing import Any

ALL = "all classes"


@dataclass(frozen=True)
class ClassAccuracy:
    """One class of the held-out pictures.

    Attributes:
        name: of the category.
        train_boxes: boxes that the classifiers were fitted on.
        val_boxes: held-out boxes.
        accuracy: share of those named rightly with the loaded weights; None without any.
        random: the same with random weights, one value a seed.
    """

    name: str
    train_boxes: int
    val_boxes: int
    accuracy: float | None
    random: tuple[float, ...]


@dataclass(frozen=True)
class ProbeResult:
    """How well a linear classifier names objects by the features of a backbone.

    Attributes:
        weights: where the loaded weights come from; None if only random ones were probed.
        accuracy: share of the held-out boxes named rightly with the loaded weights, or None.
        random: the same with random weights, one value a seed.
        chance: the same for always naming the class that is most frequent in training.
        per_class: the same class by class.
        train_boxes: boxes that the classifiers were fitted on.
        val_boxes: held-out boxes.
        image_size: height and width that pictures were resized to.
        seconds: that the probe took.
        effective_rank: how many directions the features of the held-out boxes use, with the loaded
            weights; needs no labels. None without any.
        random_ranks: the same with random weights, one value a seed.
        notes: what was left out, and what else to know.
    """

    weights: str | None
    accuracy: float | None
    random: tuple[float, ...]
    chance: float
    per_class: tuple[ClassAccuracy, ...] = field(repr=False)
    train_boxes: int
    val_boxes: int
    image_size: int
    seconds: float
    effective_rank: float | None = None
    random_ranks: tuple[float, ...] = ()
    notes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def random_mean(self) -> float:
        """Mean accuracy over the random weights."""
        return mean(self.random)

    @property
    def random_low(self) -> float:
        """The lowest accuracy of the random weights."""
        return min(self.random)

    @property
    def random_high(self) -> float:
        """The highest accuracy of the random weights."""
        return max(self.random)

    def bars(self) -> tuple[dict[str, float], dict[str, tuple[float, ...]]]:
        """Accuracies by class, all classes first: of the loaded weights, and of the random ones.

        Without loaded weights the first mapping is empty.
        """
        shown = [c for c in self.per_class if c.val_boxes]
        random = {ALL: self.random} | {c.name: c.random for c in shown}
        if self.accuracy is None:
            return {}, random
        loaded = {ALL: self.accuracy} | {c.name: c.accuracy or 0.0 for c in shown}
        return loaded, random

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"random_mean": self.random_mean}

    def __str__(self) -> str:
        loaded = ""
        if self.accuracy is not None:
            loaded = f"{self.weights}: {self.accuracy:.1%} of {self.val_boxes} held-out boxes. "
        seeds = len(self.random)
        lines = [
            f"{loaded}Random weights: {self.random_mean:.1%} ({self.random_low:.1%} to "
            f"{self.random_high:.1%}, {seeds} seeds). Most frequent class: {self.chance:.1%}.",
            *(" | ".join(map(str, row.values())) for row in self._rows()),
            *self._ranks(),
            *self.notes,
        ]
        return "\n".join(lines)

    def _ranks(self) -> list[str]:
        words = [] if self.effective_rank is None else [f"{self.effective_rank:.1f} loaded"]
        words += [f"{mean(self.random_ranks):.1f} at random"] if self.random_ranks else []
        return [f"Effective rank of the features: {', '.join(words)}."] if words else []

    def _rows(self) -> list[Mapping[str, Any]]:
        return [
            {
                "class": c.name,
                "training boxes": c.train_boxes,
                "held-out boxes": c.val_boxes,
                "loaded": "-" if c.accuracy is None else f"{c.accuracy:.0%}",
                "random": f"{mean(c.random):.0%}" if c.val_boxes else "-",
            }
            for c in self.per_class
        ]

    def _repr_html_(self) -> str:
        rows = self._rows()
        head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row.values()) + "</tr>"
            for row in rows
        )
        summary = escape(str(self).splitlines()[0])
        notes = "".join(f"<p>{escape(note)}</p>" for note in (*self._ranks(), *self.notes))
        return f"<p>{summary}</p><table><tr>{head}</tr>{body}</table>{notes}"
