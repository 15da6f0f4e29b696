"""All that was counted in a data set, for the findings to judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rtdetr_nb.datasets.checks.box_counts import BoxCounts, ClassCount
from rtdetr_nb.datasets.checks.decoding import BrokenPicture
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.datasets.split import Split


@dataclass(frozen=True)
class Looked:
    """All that was counted in a data set.

    Attributes:
        source: the data set.
        num_queries, num_denoising: of the decoder that is to be trained.
        classes: by split, what each label has.
        odd: by split, the boxes that deserve a look.
        broken: pictures that cannot be decoded.
        twins: groups of picture files with the same bytes.
    """

    source: DataSource
    num_queries: int
    num_denoising: int
    classes: dict[str, dict[int, ClassCount]]
    odd: dict[str, BoxCounts]
    broken: Sequence[BrokenPicture]
    twins: Sequence[Sequence[Path]]

    @property
    def splits(self) -> tuple[Split, Split]:
        """Train and val."""
        return self.source.train, self.source.val

    @property
    def names(self) -> dict[int, str]:
        """Name of each label of either split."""
        return {**self.source.val.classes, **self.source.train.classes}

    def num_boxes(self, split: str) -> dict[int, int]:
        """Usable boxes of each label."""
        return {label: count.boxes for label, count in self.classes[split].items()}
