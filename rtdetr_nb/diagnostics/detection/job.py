"""What is the same for every backbone that a detector is trained on: pictures, head, sets."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.diagnostics.detection.features import compute_features
from rtdetr_nb.diagnostics.detection.fit import FitOptions, Look, fit_head
from rtdetr_nb.diagnostics.detection.head_run import HeadRun
from rtdetr_nb.diagnostics.detection.matching import average_precision, match_detections
from rtdetr_nb.diagnostics.detection.pictures import Detections, Pictures, read_pictures
from rtdetr_nb.diagnostics.detection.result import ClassFigure, DetectionRecord, DetectionScore
from rtdetr_nb.diagnostics.measuring.backbones import describe_random_backbone, random_backbone
from rtdetr_nb.diagnostics.measuring.kept_results import compute_once, digest
from rtdetr_nb.diagnostics.measuring.resampling import resampled_weights
from rtdetr_nb.errors import ConfigError, DatasetError
from rtdetr_nb.progress_bar import Bar

RANDOM = "random weights"

_SETS = 300  # of pictures drawn again, for the interval
_PERCENT_OUTSIDE = 2.5  # on each side of an interval
_FEATURES = 0.2  # share of the time that the features take
_MULTIPLE = 32  # the coarsest map has this stride
_CODE = (
    __name__,
    *(f"rtdetr_nb.diagnostics.detection.{name}"
      for name in ("assignment", "features", "fit", "head", "matching", "pictures")),
    *(f"rtdetr_nb.model.{name}" for name in ("hgnetv2", "layers")),
)  # fmt: skip


@dataclass(frozen=True)
class DetectionJob:
    """The pictures, and how a head is trained on them.

    Attributes:
        train, val: pictures, read once.
        channels: that each map is reduced to.
        fit: how a head is trained.
        on_record: called now and then with how far a training is.
        bar: goes on by one for each backbone.
    """

    train: Pictures
    val: Pictures
    channels: int
    fit: FitOptions
    on_record: Callable[[DetectionRecord], None]
    bar: Bar

    def run(self, backbone: nn.Module, weights: str) -> HeadRun:
        """Train a head on one backbone's features; `weights` names these.

        Raises:
            TuningError: the backbone's output is not finite.
        """
        started, begun = time.monotonic(), self.bar.done
        backbone = backbone.to(self.fit.device).eval()
        images = self.train.images, self.val.images
        train, val, kept = compute_features(
            backbone, *images, self.channels, lambda share: self.bar.advance(_FEATURES * share)
        )
        featured = time.monotonic()
        records: list[DetectionRecord] = []
        found: list[Detections] = []
        each = (1 - _FEATURES) / self.fit.steps
        for look in fit_head(train, val, self.train, self.fit, lambda: self.bar.advance(each)):
            found = look.found
            records.append(self._record(look, weights))
            self._tell(records[-1])
        self.bar.to(begun + 1)
        seconds = round(featured - started, 2), round(time.monotonic() - featured, 2)
        return HeadRun(tuple(records), tuple(found), kept, seconds)

    def run_at_random(self, config: Config, seed: int) -> HeadRun:
        """The same with random weights: computed once for these pictures, settings and seed."""
        begun, is_new = self.bar.done, False

        def compute() -> dict[str, np.ndarray]:
            nonlocal is_new
            is_new = True
            return self.run(random_backbone(config, seed), RANDOM).to_arrays()

        inputs = (
            self._fingerprint,
            self.channels,
            self.fit,
            describe_random_backbone(config, seed),
        )
        run = HeadRun.from_arrays(compute_once("detector", inputs, _CODE, compute), RANDOM)
        if not is_new:
            for record in run.records:
                self._tell(record)
        self.bar.to(begun + 1)
        return run

    def score(self, run: HeadRun) -> DetectionScore:
        """Evaluate what a head has found."""
        found = list(run.found)
        evaluation = self.val.evaluate(found)
        # The same sets for every backbone, so that they can be compared in pairs.
        sets = resampled_weights(len(self.val), _SETS, self.fit.seed)
        resampled, _ = average_precision(match_detections(found, self.val), sets)
        return DetectionScore(
            ap=evaluation.ap,
            ap50=evaluation.statistics["AP50"] or 0.0,
            interval=percentile_interval(resampled, evaluation.ap),
            classes=self._classes(evaluation.per_class),
            records=run.records,
            kept=run.kept,
            found=run.found,
            resampled=resampled,
            seconds=run.seconds,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        thinned = (p.note for p in (self.train, self.val) if p.note)
        return (*thinned, *_absent_classes(self.fit.labels, self.val))

    @cached_property
    def _fingerprint(self) -> str:
        parts: list[object] = []
        for pictures in (self.train, self.val):
            parts.append(pictures.images.numpy())
            each = (
                pictures.boxes_xyxy,
                pictures.labels,
                pictures.crowds_xyxy,
                pictures.crowd_labels,
            )
            parts += [tensor.numpy() for tensors in each for tensor in tensors]
        return digest(parts)

    def _tell(self, record: DetectionRecord) -> None:
        self.on_record(record)
        note = f"AP {record.ap:.3f} with {record.weights}"
        self.bar.point(f"AP of {record.weights}", record.step / record.steps, record.ap, note)

    def _record(self, look: Look, weights: str) -> DetectionRecord:
        once = np.ones((1, len(self.val)))
        ap, ap50 = average_precision(match_detections(look.found, self.val), once)
        steps = self.fit.steps
        return DetectionRecord(weights, look.step, steps, look.loss, float(ap[0]), float(ap50[0]))

    def _classes(self, per_class: dict[str, float | None]) -> tuple[ClassFigure, ...]:
        rows = []
        for label, name in self.val.classes.items():
            boxes = [sum(int((own == label).sum()) for own in pictures.labels)
                     for pictures in (self.train, self.val)]  # fmt: skip
            if any(boxes):
                rows.append(ClassFigure(name, boxes[0], boxes[1], per_class.get(name)))
        return tuple(rows)


def prepare_job(
    config: Config,
    data: DataSource | str | os.PathLike[str] | None,
    bar: Bar,
    *,
    steps: int,
    image_size: int,
    max_pictures: int,
    channels: int,
    seed: int,
    device: torch.device,
    on_record: Callable[[DetectionRecord], None] = lambda record: None,
) -> DetectionJob:
    """Read the pictures and check the numbers; arguments as in `probe_detection`.

    Raises:
        DatasetError: data that cannot be read, or without boxes.
        ConfigError: a number that cannot be used.
    """
    _check_numbers(steps, image_size, channels)
    train, val = (
        read_pictures(config, data, split, image_size, max_pictures) for split in ("train", "val")
    )
    fit = FitOptions(steps, image_size, _labels(train, val), seed, device)
    return DetectionJob(train, val, channels, fit, on_record, bar)


def _check_numbers(steps: int, image_size: int, channels: int) -> None:
    if image_size <= 0 or image_size % _MULTIPLE:
        raise ConfigError(f"image_size is {image_size}; give a positive multiple of {_MULTIPLE}.")
    for name, value in (("steps", steps), ("channels", channels)):
        if value < 1:
            raise ConfigError(f"{name} is {value}; give a positive number.")


def _labels(train: Pictures, val: Pictures) -> tuple[int, ...]:
    """Labels with a box in training, which alone can be learnt."""
    learnt = sorted({int(label) for labels in train.labels for label in labels})
    if not any(int(label) in learnt for labels in val.labels for label in labels):
        raise DatasetError(
            "No class has boxes in both the training and the validation pictures, so nothing that "
            "is learnt can be tested. Check that both annotation files number classes alike."
        )
    return tuple(learnt)


def _absent_classes(labels: tuple[int, ...], val: Pictures) -> list[str]:
    asked = sorted({int(label) for own in val.labels for label in own} - set(labels))
    if not asked:
        return []
    names = ", ".join(val.classes[label] for label in asked)
    return [f"No training boxes of: {names}. Their AP is 0."]


def percentile_interval(resampled: np.ndarray, value: float) -> tuple[float, float]:
    """The middle 95 % of what other sets would give, moved to lie around `value`.

    A set drawn with replacement has fewer different pictures, and its AP is higher by about a
    hundredth than that of as many different ones: this bias is taken off.
    """
    low, high = np.nanpercentile(resampled, [_PERCENT_OUTSIDE, 100 - _PERCENT_OUTSIDE])
    bias = float(np.nanmean(resampled)) - value
    return float(low) - bias, float(high) - bias
