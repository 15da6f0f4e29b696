"""A detector on frozen features: what a backbone's maps are worth, in half a minute.

Encoder and decoder start at random and hide for thousands of steps what the backbone knows. Here
they are left out: the maps of all pictures are computed once and reduced, and only a small
anchor-free head learns, from the same seed for every backbone.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from rtdetr_nb.config.config import Config
from rtdetr_nb.diagnostics.detection.features import compute_features
from rtdetr_nb.diagnostics.detection.fit import FitOptions, Look, fit_head
from rtdetr_nb.diagnostics.detection.matching import average_precision, match_detections
from rtdetr_nb.diagnostics.detection.pictures import Detections, Pictures, read_pictures
from rtdetr_nb.diagnostics.detection.result import (
    ClassFigure,
    DetectionProbe,
    DetectionRecord,
    DetectionScore,
    shown_pictures,
)
from rtdetr_nb.diagnostics.measuring.backbones import loaded_backbone, random_backbone
from rtdetr_nb.diagnostics.measuring.resampling import resampled_weights
from rtdetr_nb.errors import ConfigError, DatasetError
from rtdetr_nb.progress_bar import ProgressBar, progress

RANDOM = "random weights"

_SETS = 300  # of pictures drawn again, for the interval
_PERCENT_OUTSIDE = 2.5  # on each side of an interval
_FEATURES = 0.2  # share of the time that the features take
_MULTIPLE = 32  # the coarsest map has this stride


def probe_detection(
    config: Config,
    tuning: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    *,
    random: bool = True,
    steps: int = 200,
    image_size: int = 256,
    max_pictures: int = 256,
    channels: int = 64,
    seed: int = 0,
    device: str | torch.device | None = None,
    on_record: Callable[[DetectionRecord], None] = lambda record: None,
) -> DetectionProbe:
    """Train a small detector on the frozen features of a backbone, and of random weights.

    Norms use the statistics they have, as in `probe_backbone`.

    Args:
        config: names the backbone and, unless `data` is given, the data.
        tuning: file with the weights. None probes those of `HGNetv2.pretrained`, if that names a
            file, or else random weights alone.
        data: a folder with `images/{train,val}` and COCO-format `annotations/{train,val}.json`.
        random: whether random weights are probed beside those of the file.
        steps: optimizer updates of the head.
        image_size: height and width that pictures are resized to, a multiple of 32.
        max_pictures: of each split; a larger split is thinned out evenly.
        channels: that each map is reduced to.
        seed: of the head, the order of pictures, the random weights and the sets for the interval.
        device: where it runs; by default a GPU if there is one.
        on_record: called now and then with how far a training is and the AP that it has reached.

    Raises:
        DatasetError: data that cannot be read, or without boxes.
        ConfigError: a number that cannot be used.
        UserError: a tuning file that cannot be used.
    """
    started = time.monotonic()
    _check_numbers(steps, image_size, channels)
    train, val = (
        read_pictures(config, data, split, image_size, max_pictures) for split in ("train", "val")
    )
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    fit = FitOptions(steps, image_size, _labels(train, val), seed, place)
    backbone = loaded_backbone(config, tuning)
    weights = None if backbone is None else str(tuning or config.backbone.pretrained)
    is_compared = random or backbone is None
    with progress("Detector", (backbone is not None) + is_compared, "backbone") as bar:
        job = _Job(train, val, channels, fit, on_record, bar)
        loaded = None if backbone is None else job.score(backbone, weights or "")
        by_chance = job.score(random_backbone(config, seed), RANDOM) if is_compared else None
    return DetectionProbe(
        weights=weights,
        loaded=loaded,
        random=by_chance,
        difference=_difference(loaded, by_chance),
        pictures=(len(train), len(val)),
        boxes=(train.num_boxes, val.num_boxes),
        steps=steps,
        image_size=image_size,
        shown=shown_pictures(val, loaded, by_chance),
        notes=(*(p.note for p in (train, val) if p.note), *_absent_classes(fit.labels, val)),
        seconds=round(time.monotonic() - started, 2),
    )


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


@dataclass(frozen=True)
class _Job:
    """What is the same for every backbone."""

    train: Pictures
    val: Pictures
    channels: int
    fit: FitOptions
    on_record: Callable[[DetectionRecord], None]
    bar: ProgressBar

    def score(self, backbone: nn.Module, weights: str) -> DetectionScore:
        """Train a head on one backbone's features, and evaluate it."""
        started = time.monotonic()
        backbone = backbone.to(self.fit.device).eval()
        images = self.train.images, self.val.images
        begun = self.bar.done
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
            self.on_record(records[-1])
            self.bar.say(f"AP {records[-1].ap:.3f} with {weights}")
        self.bar.to(begun + 1)
        evaluation = self.val.evaluate(found)
        # The same sets for every backbone, so that they can be compared in pairs.
        sets = resampled_weights(len(self.val), _SETS, self.fit.seed)
        resampled, _ = average_precision(match_detections(found, self.val), sets)
        return DetectionScore(
            ap=evaluation.ap,
            ap50=evaluation.statistics["AP50"] or 0.0,
            interval=_interval(resampled, evaluation.ap),
            classes=self._classes(evaluation.per_class),
            records=tuple(records),
            kept=kept,
            found=tuple(found),
            resampled=resampled,
            seconds=(round(featured - started, 2), round(time.monotonic() - featured, 2)),
        )

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


def _difference(
    first: DetectionScore | None, second: DetectionScore | None
) -> tuple[float, float] | None:
    """Interval of the difference, set by set."""
    if first is None or second is None:
        return None
    return _interval(first.resampled - second.resampled, first.ap - second.ap)


def _interval(resampled: np.ndarray, value: float) -> tuple[float, float]:
    """The middle 95 % of what other sets would give, moved to lie around `value`.

    A set drawn with replacement has fewer different pictures, and its AP is higher by about a
    hundredth than that of as many different ones: this bias is taken off.
    """
    low, high = np.nanpercentile(resampled, [_PERCENT_OUTSIDE, 100 - _PERCENT_OUTSIDE])
    bias = float(np.nanmean(resampled)) - value
    return float(low) - bias, float(high) - bias
