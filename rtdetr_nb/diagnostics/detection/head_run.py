"""What a head does on one backbone's features, as arrays that can be kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rtdetr_nb.diagnostics.detection.pictures import Detections
from rtdetr_nb.diagnostics.detection.result import DetectionRecord


@dataclass(frozen=True)
class HeadRun:
    """The training of a head and what it finds in the end.

    Attributes:
        records: on the way.
        found: boxes at the end, an entry a validation picture.
        kept: share of the variance that the projection keeps, a map.
        seconds: for the features, and for the head.
    """

    records: tuple[DetectionRecord, ...]
    found: tuple[Detections, ...]
    kept: tuple[float, ...]
    seconds: tuple[float, float]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All of it as plain arrays."""
        figures = [(r.step, r.steps, r.loss, r.ap, r.ap50) for r in self.records]
        return {
            "records": np.array(figures, float).reshape(-1, 5),
            "counts": np.array([len(each.scores) for each in self.found]),
            "boxes": _joined([each.boxes_xyxy for each in self.found]),
            "scores": _joined([each.scores for each in self.found]),
            "labels": _joined([each.labels for each in self.found]),
            "kept": np.array(self.kept),
            "seconds": np.array(self.seconds),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], weights: str) -> HeadRun:
        """The same again; `weights` names those of the backbone."""
        records = [
            DetectionRecord(weights, int(step), int(steps), loss, ap, ap50)
            for step, steps, loss, ap, ap50 in arrays["records"].tolist()
        ]
        sizes = arrays["counts"].tolist()
        parts = (torch.from_numpy(arrays[n]).split(sizes) for n in ("boxes", "scores", "labels"))
        found = tuple(Detections(*each) for each in zip(*parts, strict=True))
        features, head = arrays["seconds"].tolist()
        return cls(tuple(records), found, tuple(arrays["kept"].tolist()), (features, head))


def _joined(tensors: Sequence[Tensor]) -> np.ndarray:
    return torch.cat(list(tensors)).numpy()
