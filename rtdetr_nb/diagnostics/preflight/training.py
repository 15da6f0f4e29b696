"""The training that is looked at, as it would begin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.picture_sizes import resized_to
from rtdetr_nb.datasets.source import DataSource


@dataclass(frozen=True)
class Training:
    """A training before its first step.

    Attributes:
        config: as the training would read it, flags and data included.
        tuning: weights to start from.
        resume: checkpoint to go on from.
        output_dir: of the run.
        processes: that train together.
        max_steps: after which it ends; None where epochs alone count.
        official: checkout of the official code, if that trains.
        source: the data; None where they cannot be opened.
    """

    config: Config
    tuning: Path | None
    resume: Path | None
    output_dir: Path
    processes: int = 1
    max_steps: int | None = None
    official: Path | None = None
    source: DataSource | None = None

    @property
    def without_download(self) -> Config:
        """The configuration, with random weights where it asks for others from the network."""
        if self.config.backbone.pretrained is True:
            return self.config.with_values({"HGNetv2.pretrained": False})
        return self.config

    @property
    def batch_size(self) -> int:
        """Pictures of a step, over all processes."""
        loader = self.config.train_dataloader
        return loader.total_batch_size or (loader.batch_size or 1) * self.processes

    @property
    def steps_per_epoch(self) -> int | None:
        """Steps of an epoch; None where the data are not known, 0 where a batch is not filled."""
        if self.source is None:
            return None
        each = math.ceil(len(self.source.train) / self.processes)
        batch = max(1, self.batch_size // self.processes)
        drop_last = self.config.train_dataloader.drop_last
        return each // batch if drop_last else math.ceil(each / batch)

    @property
    def total_steps(self) -> int | None:
        """Steps from beginning to end; None where that is not known, or no step is filled."""
        if not self.steps_per_epoch:
            return self.max_steps
        steps = self.steps_per_epoch * self.config.epoches
        return min(steps, self.max_steps) if self.max_steps else steps

    @property
    def epochs(self) -> int:
        """Epochs that end before the training does."""
        if self.max_steps is None or not self.steps_per_epoch:
            return self.config.epoches
        return min(self.config.epoches, self.max_steps // self.steps_per_epoch)

    @property
    def evaluations(self) -> int:
        """Evaluations, the one at the end included."""
        between = self.config.eval_freq * (self.steps_per_epoch or 1)
        steps = self.total_steps if self.steps_per_epoch else self.epochs
        return math.ceil((steps or 0) / between)

    @property
    def evaluated_pictures(self) -> int:
        """Pictures of one evaluation."""
        pictures = 0 if self.source is None else len(self.source.val)
        most = self.config.eval_pictures
        return pictures if most is None else min(pictures, most)

    @property
    def scales(self) -> tuple[int, ...]:
        """Sides of the pictures of a batch where they are drawn, else none."""
        collate = self.config.train_dataloader.collate_fn
        return () if collate.stop_epoch == 0 else tuple(collate.scales or ())

    @property
    def resized_hw(self) -> tuple[int, int] | None:
        """Height and width that the operations leave; None where they leave different ones."""
        resized = resized_to(self.config, "train")
        return resized.size_hw if resized else None

    @property
    def largest_hw(self) -> tuple[int, int] | None:
        """The largest height and width that a step has; None where it is not known."""
        sizes = [(side, side) for side in self.scales]
        stop = self.config.train_dataloader.collate_fn.stop_epoch
        without_scales = not sizes or (stop is not None and stop < self.config.epoches)
        if self.resized_hw is not None and without_scales:
            sizes.append(self.resized_hw)
        return max(sizes, key=math.prod) if sizes else None

    @property
    def mean_area(self) -> float | None:
        """Pixels of a picture in the mean over the training; None where it is not known."""
        drawn = [side * side for side in self.scales]
        resized = math.prod(self.resized_hw) if self.resized_hw else None
        if not drawn:
            return resized
        stop = self.config.train_dataloader.collate_fn.stop_epoch
        share = 1.0 if stop is None else min(1.0, stop / self.config.epoches)
        if resized is None and share < 1:
            return None
        return share * sum(drawn) / len(drawn) + (1 - share) * (resized or 0)
