"""Names boxes by the features of one backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from rtdetr_nb.config.config import Config
from rtdetr_nb.diagnostics.measuring.backbones import describe_random_backbone, random_backbone
from rtdetr_nb.diagnostics.measuring.effective_rank import effective_rank
from rtdetr_nb.diagnostics.measuring.kept_results import compute_once
from rtdetr_nb.diagnostics.probing.named_boxes import NamedBoxes, ProbeData
from rtdetr_nb.diagnostics.probing.ridge import fit_ridge
from rtdetr_nb.errors import TuningError
from rtdetr_nb.progress_bar import Bar

_BATCH = 8
_FEATURES = 0.95  # share of the time that the features take
_CODE = (
    __name__,
    *(f"rtdetr_nb.diagnostics.{name}" for name in ("probing.ridge", "measuring.effective_rank")),
    *(f"rtdetr_nb.model.{name}" for name in ("hgnetv2", "layers")),
)


@dataclass(frozen=True)
class Naming:
    """What one backbone's features name.

    Attributes:
        is_right: (boxes,) bool, for every held-out box in the order of the pictures.
        effective_rank: how many directions the features of these boxes use.
    """

    is_right: np.ndarray
    effective_rank: float

    @property
    def accuracy(self) -> float:
        """Share of the held-out boxes that are named rightly."""
        return float(self.is_right.mean())

    def count_right(self, data: ProbeData) -> np.ndarray:
        """Boxes of each class that are named rightly, (classes,)."""
        labels = data.val.labels[self.is_right]
        return np.bincount(labels, minlength=len(data.train.names))


def name_boxes(
    backbone: nn.Module,
    data: ProbeData,
    bins: int,
    place: torch.device,
    bar: Bar,
) -> Naming:
    """Fit a linear classifier on the training boxes, and name the held-out ones.

    Args:
        backbone: is moved to `place` and set to evaluation.
        data: the boxes.
        bins: a box is pooled to so many rows and columns.
        place: where the backbone runs.
        bar: goes on by one.

    Raises:
        TuningError: the backbone's output is not finite.
    """
    backbone = backbone.to(place).eval()
    begun = bar.done
    pictures = len(data.train.images) + len(data.val.images)

    def advance(count: int) -> None:
        bar.advance(_FEATURES * count / pictures)

    known, asked = (_features(backbone, split, bins, advance) for split in (data.train, data.val))
    for fitted, other in zip(known, asked, strict=True):
        mean, spread = fitted.mean(dim=0), fitted.std(dim=0).clamp(min=1e-6)
        # Every stage weighs the same, however many channels it has.
        weight = fitted.shape[1] ** -0.5
        for features in (fitted, other):
            features.sub_(mean).div_(spread).mul_(weight)
    labels = torch.from_numpy(data.train.labels)
    classifier = fit_ridge(torch.cat(known, dim=1), labels, len(data.train.names))
    features = torch.cat(asked, dim=1).double()
    found = classifier.predict(features).numpy()
    bar.to(begun + 1)
    return Naming(found == data.val.labels, effective_rank(features))


def name_boxes_at_random(
    config: Config,
    seed: int,
    data: ProbeData,
    bins: int,
    place: torch.device,
    bar: Bar,
) -> Naming:
    """The same with random weights: computed once for these pictures, settings and seed."""
    begun = bar.done

    def compute() -> dict[str, np.ndarray]:
        naming = name_boxes(random_backbone(config, seed), data, bins, place, bar)
        return {"is_right": naming.is_right, "rank": np.array(naming.effective_rank)}

    inputs = (data.fingerprint, bins, place.type, describe_random_backbone(config, seed))
    kept = compute_once("probe", inputs, _CODE, compute)
    bar.to(begun + 1)
    return Naming(kept["is_right"], float(kept["rank"]))


@torch.no_grad()
def _features(
    backbone: nn.Module, split: NamedBoxes, bins: int, advance: Callable[[int], None]
) -> list[Tensor]:
    """For each map of the backbone its means over the boxes, (boxes, channels * bins * bins)."""
    place = next(backbone.parameters()).device
    pooled: list[list[Tensor]] = []
    for start in range(0, len(split.images), _BATCH):
        images = torch.stack(split.images[start : start + _BATCH]).to(place).float() / 255.0
        boxes = [rows.to(place) for rows in split.boxes_xyxy[start : start + _BATCH]]
        maps = backbone(images.contiguous(memory_format=torch.channels_last))
        stages = []
        for x in maps:
            scale = x.shape[-1] / images.shape[-1]
            rows = roi_align(x.contiguous(), boxes, bins, scale, sampling_ratio=2, aligned=True)
            stages.append(rows.flatten(1).double().cpu())
        pooled.append(stages)
        advance(len(images))
    joined = [torch.cat(stage) for stage in zip(*pooled, strict=True)]
    if not all(bool(stage.isfinite().all()) for stage in joined):
        raise TuningError(
            "With these weights the backbone's output is not finite, so there is nothing to probe. "
            "`rtdetr-nb diff` shows which tensors of the file are unsound."
        )
    return joined
