"""Box formats and overlaps.

A name says its format: `boxes_cxcywh` are (centre x, centre y, width, height) as fractions of the
image, in 0..1; `boxes_xyxy` are (left, top, right, bottom), in the unit of whatever they came from.
All functions take and return tensors of shape (..., 4) and keep dtype and device.
"""

import torch
from torch import Tensor


def cxcywh_to_xyxy(boxes_cxcywh: Tensor) -> Tensor:
    """Convert boxes of shape (..., 4) from centre and size to corners."""
    center, size = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:]
    return torch.cat([center - 0.5 * size, center + 0.5 * size], dim=-1)


def xyxy_to_cxcywh(boxes_xyxy: Tensor) -> Tensor:
    """Convert boxes of shape (..., 4) from corners to centre and size."""
    top_left, bottom_right = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    return torch.cat([(top_left + bottom_right) / 2, bottom_right - top_left], dim=-1)


def _area(boxes_xyxy: Tensor) -> Tensor:
    return _product(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2])


def _product(size_wh: Tensor) -> Tensor:
    # Not by `prod`: its gradient counts zeros, for which the host would wait for the device.
    return size_wh[..., 0] * size_wh[..., 1]


def iou_and_giou(boxes_xyxy: Tensor, others_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union, and its generalisation, of boxes that stand opposite each other.

    The two arguments broadcast: (N, 4) with (N, 4) gives N values, (Q, 1, 4) with (M, 4) gives a
    (Q, M) table. Two empty boxes in one point have an overlap of 0, not of NaN.

    Returns:
        IoU in 0..1 and GIoU in -1..1 (Rezatofighi et al., "Generalized Intersection over Union",
        CVPR 2019), each of the broadcast shape without the last axis.
    """
    tiny = torch.finfo(boxes_xyxy.dtype).tiny
    overlap_size = torch.minimum(boxes_xyxy[..., 2:], others_xyxy[..., 2:]) - torch.maximum(
        boxes_xyxy[..., :2], others_xyxy[..., :2]
    )
    intersection = _product(overlap_size.clamp(min=0))
    union = _area(boxes_xyxy) + _area(others_xyxy) - intersection
    iou = intersection / union.clamp(min=tiny)
    hull_size = torch.maximum(boxes_xyxy[..., 2:], others_xyxy[..., 2:]) - torch.minimum(
        boxes_xyxy[..., :2], others_xyxy[..., :2]
    )
    hull = _product(hull_size.clamp(min=0))
    return iou, iou - (hull - union) / hull.clamp(min=tiny)


def inverse_sigmoid(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Logit of values in 0..1, kept finite by clipping the odds at `eps`."""
    x = x.clamp(min=0, max=1)
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))
