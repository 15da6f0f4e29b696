"""What was found against what is there, by the rules of COCO's evaluation.

The evaluation of the library tells the average precision of a whole set. How much that depends on
which pictures happen to be in the set needs it for many sets, so the matching is kept, picture by
picture, and only the counting is repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torchvision.ops import box_area, box_iou

from rtdetr_nb.diagnostics.detection.pictures import Detections, Pictures

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)
_CHUNK = 64  # sets that are counted at once


@dataclass(frozen=True)
class ClassMatches:
    """The detections of one class in all pictures, the surest first.

    Attributes:
        pictures: (n,) of each detection.
        is_right: (10, n) bool, for each IoU threshold.
        is_ignored: (10, n) bool, those on a region of a crowd.
        boxes: (pictures,) number of true boxes.
    """

    pictures: np.ndarray
    is_right: np.ndarray
    is_ignored: np.ndarray
    boxes: np.ndarray


def match_detections(found: Sequence[Detections], truth: Pictures) -> dict[int, ClassMatches]:
    """Match detections with true boxes, class by class; classes without a true box are left out.

    Args:
        found: one entry a picture.
        truth: the pictures.
    """
    return {
        label: _match_class(found, truth, label)
        for label in truth.classes
        if any(bool((labels == label).any()) for labels in truth.labels)
    }


def _match_class(found: Sequence[Detections], truth: Pictures, label: int) -> ClassMatches:
    scores, pictures, right, ignored, boxes = [], [], [], [], []
    for place, detections in enumerate(found):
        own = detections.labels == label
        true = truth.boxes_xyxy[place][truth.labels[place] == label]
        crowds = truth.crowds_xyxy[place][truth.crowd_labels[place] == label]
        surest_first = np.argsort(-detections.scores[own].numpy(), kind="stable")
        candidates = detections.boxes_xyxy[own][surest_first]
        is_right, is_ignored = _match_picture(candidates, true, crowds)
        scores.append(detections.scores[own].numpy()[surest_first])
        pictures.append(np.full(len(candidates), place))
        right.append(is_right)
        ignored.append(is_ignored)
        boxes.append(len(true))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return ClassMatches(
        pictures=np.concatenate(pictures)[order],
        is_right=np.concatenate(right, axis=1)[:, order],
        is_ignored=np.concatenate(ignored, axis=1)[:, order],
        boxes=np.array(boxes),
    )


def _match_picture(
    candidates: Tensor, true: Tensor, crowds: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Each candidate, the surest first, takes the free box that it overlaps most: (10, n) twice."""
    overlaps = box_iou(candidates.double(), true.double()).numpy()
    is_on_crowd = _share_on(candidates, crowds)
    right = np.zeros((len(IOU_THRESHOLDS), len(candidates)), bool)
    ignored = np.zeros_like(right)
    for row, threshold in enumerate(IOU_THRESHOLDS):
        is_free = np.ones(len(true), bool)
        for index in range(len(candidates)):
            own = np.where(is_free, overlaps[index], -1.0)
            # Of equals COCO takes the last one.
            best = len(own) - 1 - int(own[::-1].argmax()) if len(own) else -1
            if best >= 0 and own[best] >= threshold:
                right[row, index], is_free[best] = True, False
            else:
                ignored[row, index] = is_on_crowd[index] >= threshold
    return right, ignored


def _share_on(candidates: Tensor, crowds: Tensor) -> np.ndarray:
    """The largest share of each candidate that lies on one crowd, (n,)."""
    if not len(crowds):
        return np.full(len(candidates), -1.0)
    low = candidates[:, None, :2].maximum(crowds[None, :, :2])
    high = candidates[:, None, 2:].minimum(crowds[None, :, 2:])
    covered = (high - low).clamp(min=0).prod(dim=-1)
    return (covered / box_area(candidates).clamp(min=1e-9)[:, None]).amax(dim=1).numpy()


def average_precision(
    matches: dict[int, ClassMatches], weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """AP and AP50 of sets in which each picture occurs so often.

    Args:
        matches: by class.
        weights: (sets, pictures), how often a picture occurs.

    Returns:
        AP (sets,) over all IoU thresholds and AP50 (sets,): means over the classes that have a box
        in the set; NaN where no class has one.
    """
    chunks = []
    for start in range(0, len(weights), _CHUNK):
        part = weights[start : start + _CHUNK]
        # (classes, thresholds, sets)
        tables = np.stack([_class_precision(own, part) for own in matches.values()])
        has_box = ~np.isnan(tables[0:, 0])
        count = has_box.sum(axis=0)
        total = np.where(has_box[:, None], tables, 0.0).sum(axis=0)
        chunks.append(np.where(count, total / np.maximum(count, 1), np.nan))
    mean = np.concatenate(chunks, axis=1)
    return mean.mean(axis=0), mean[0]


def _class_precision(matches: ClassMatches, weights: np.ndarray) -> np.ndarray:
    """AP of one class at each threshold in each set: (10, sets); NaN without a box."""
    boxes = weights @ matches.boxes  # (sets,)
    own = weights[:, matches.pictures]  # (sets, n)
    right = np.cumsum(matches.is_right[:, None] * own, axis=2)  # (10, sets, n)
    counted = np.cumsum(~matches.is_ignored[:, None] * own, axis=2)
    precision = right / np.maximum(counted, 1e-12)
    # The best precision at this recall or above.
    precision = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    recall = right / np.maximum(boxes, 1e-12)[None, :, None]
    reached = np.searchsorted(_RECALLS, recall.ravel(), side="right").reshape(recall.shape)
    steps = np.diff(reached, axis=2, prepend=0)
    mean = (steps * precision).sum(axis=2) / len(_RECALLS)
    return np.where(boxes[None] > 0, mean, np.nan)
