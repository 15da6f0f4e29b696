"""From raw outputs to detections in pixels."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rtdetr_nb.boxes import cxcywh_to_xyxy
from rtdetr_nb.coco_categories import COCO_CATEGORY_IDS


class RTDETRPostProcessor(nn.Module):
    """Takes the best pairs of query and class and scales their boxes to the original picture.

    Args:
        num_classes: size of the class head.
        num_top_queries: detections to return for each image.
        use_focal_loss: classes were trained with independent sigmoids (else a softmax whose last
            class is "nothing").
        remap_mscoco_category: return COCO category ids (1..90) instead of labels (0..79).
    """

    def __init__(
        self,
        *,
        num_classes: int,
        num_top_queries: int,
        use_focal_loss: bool,
        remap_mscoco_category: bool,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_top_queries = num_top_queries
        self.use_focal_loss = use_focal_loss
        self.remap_mscoco_category = remap_mscoco_category

    @torch.no_grad()
    def forward(
        self, outputs: Mapping[str, Tensor], original_sizes_wh: Tensor
    ) -> list[dict[str, Tensor]]:
        """Turn `pred_logits` (B, Q, C) and `pred_boxes` (B, Q, 4) into detections.

        Args:
            outputs: of the model in evaluation mode.
            original_sizes_wh: (B, 2), width and height of each original picture in pixels.

        Returns:
            For each image `labels` (N,) int64, `boxes` (N, 4) xyxy in pixels, and `scores` (N,) in
            0..1, best first; N is `num_top_queries`, or all pairs where there are fewer.
        """
        logits, boxes = outputs["pred_logits"], cxcywh_to_xyxy(outputs["pred_boxes"])
        boxes = boxes * original_sizes_wh.repeat(1, 2)[:, None, :]
        if self.use_focal_loss:
            pairs = logits.sigmoid().flatten(1)
            scores, pair = pairs.topk(min(self.num_top_queries, pairs.shape[1]), dim=1)
            labels, query = pair % self.num_classes, pair // self.num_classes
        else:
            best, best_label = logits.softmax(dim=-1)[..., :-1].max(dim=-1)
            scores, query = best.topk(min(self.num_top_queries, best.shape[1]), dim=1)
            labels = best_label.gather(1, query)
        boxes = boxes.gather(1, query[..., None].expand(-1, -1, 4))
        if self.remap_mscoco_category:
            labels = torch.tensor(COCO_CATEGORY_IDS, device=labels.device)[labels]
        return [
            {"labels": label, "boxes": box, "scores": score}
            for label, box, score in zip(labels, boxes, scores, strict=True)
        ]
