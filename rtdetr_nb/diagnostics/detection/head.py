"""A small anchor-free detection head on reduced maps."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from rtdetr_nb.diagnostics.detection.assignment import Positions
from rtdetr_nb.diagnostics.detection.pictures import Detections

_PRIOR = 0.01  # of a class at a position, at the start; as in the paper on focal loss
_LONGEST_SIDE = 5.0  # logarithm of a distance in strides: 148 of them
_MOST_DETECTIONS = 100  # of a picture, as COCO counts them
_MOST_CANDIDATES = 400
_LOWEST_SCORE = 0.01
_SAME_BOX = 0.6  # overlap above which two boxes of a class are one


class DetectionHead(nn.Module):
    """Scores of classes and distances to the sides of a box, at each position.

    The maps are brought to one width each, a coarser one is added to the next finer one, and one
    convolution is shared by all.

    Args:
        in_channels: K of each map.
        num_classes: C.
        num_levels: L maps.
        width: channels inside.
    """

    def __init__(self, in_channels: int, num_classes: int, num_levels: int, width: int = 64):
        super().__init__()
        self.inputs = nn.ModuleList(nn.Conv2d(in_channels, width, 1) for _ in range(num_levels))
        self.shared = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.GroupNorm(8, width),
            nn.ReLU(inplace=True),
        )
        self.num_classes = num_classes
        # Logits of the classes and logarithms of the distances, by one convolution.
        self.outputs = nn.Conv2d(width, num_classes + 4, 3, padding=1)
        nn.init.normal_(self.outputs.weight, std=0.01)
        rare, two_strides = -math.log((1 - _PRIOR) / _PRIOR), math.log(2.0)
        self.outputs.bias = nn.Parameter(torch.tensor([rare] * num_classes + [two_strides] * 4))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Map L tensors (B, K, H, W), the finest first, to logits and distances.

        Returns:
            Logits (B, P, C) and distances to left, top, right, bottom (B, P, 4), in strides.
        """
        joined = [layer(x) for layer, x in zip(self.inputs, maps, strict=True)]
        for index in range(len(joined) - 2, -1, -1):
            size = joined[index].shape[-2:]
            joined[index] = joined[index] + F.interpolate(joined[index + 1], size=size)
        outputs = [self.outputs(self.shared(x)).flatten(2) for x in joined]  # (B, C + 4, H * W)
        both = torch.cat(outputs, dim=2).transpose(1, 2)
        logits, sides = both[..., : self.num_classes], both[..., self.num_classes :]
        return logits, sides.clamp(max=_LONGEST_SIDE).exp()


def to_boxes(positions: Positions, sides: Tensor) -> Tensor:
    """Boxes (..., P, 4) xyxy in pixels of distances (..., P, 4) in strides."""
    pixels = sides * positions.strides[:, None]
    centers = positions.centers_xy
    return torch.cat([centers - pixels[..., :2], centers + pixels[..., 2:]], dim=-1)


def to_detections(logits: Tensor, boxes_xyxy: Tensor, image_size: int) -> Detections:
    """The best boxes of one picture, of each class those that do not overlap much.

    Args:
        logits: (P, C).
        boxes_xyxy: (P, 4) in pixels.
        image_size: boxes are cut off at the picture's border.
    """
    scores, places = logits.sigmoid().flatten().topk(min(_MOST_CANDIDATES, logits.numel()))
    kept = scores > _LOWEST_SCORE
    scores, places = scores[kept], places[kept]
    position, labels = places // logits.shape[1], places % logits.shape[1]
    boxes = boxes_xyxy[position].clamp(0, image_size)
    best = batched_nms(boxes, scores, labels, _SAME_BOX)[:_MOST_DETECTIONS]
    return Detections(boxes[best], scores[best], labels[best])
