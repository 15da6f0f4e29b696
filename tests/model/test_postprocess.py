"""From raw outputs to detections."""

from typing import Any

import pytest
import torch

from rtdetr_nb.coco_categories import COCO_CATEGORY_IDS
from rtdetr_nb.config.schema import PostProcessorConfig
from rtdetr_nb.model.build import make_postprocessor
from rtdetr_nb.model.postprocess import RTDETRPostProcessor


def outputs(num_classes: int = 3) -> dict[str, torch.Tensor]:
    """Two images with four queries each."""
    torch.manual_seed(0)
    return {
        "pred_logits": torch.randn(2, 4, num_classes),
        "pred_boxes": torch.rand(2, 4, 4) * 0.4 + 0.2,
    }


def postprocessor(**options: Any) -> RTDETRPostProcessor:
    return make_postprocessor(PostProcessorConfig(**options))


SIZES_WH = torch.tensor([[640, 480], [100, 200]])


def test_best_pairs_of_query_and_class_by_hand():
    out = outputs()
    results = postprocessor(num_classes=3, num_top_queries=5)(out, SIZES_WH)
    for image, result in enumerate(results):
        pairs = [
            (out["pred_logits"][image, query, label].sigmoid().item(), query, label)
            for query in range(4)
            for label in range(3)
        ]
        best = sorted(pairs, reverse=True)[:5]
        assert result["scores"].tolist() == pytest.approx([score for score, _, _ in best])
        assert result["labels"].tolist() == [label for _, _, label in best]
        width, height = SIZES_WH[image].tolist()
        for box, (_, query, _) in zip(result["boxes"].tolist(), best, strict=True):
            x, y, w, h = out["pred_boxes"][image, query].tolist()
            expected = [(x - w / 2) * width, (y - h / 2) * height]
            expected += [(x + w / 2) * width, (y + h / 2) * height]
            assert box == pytest.approx(expected, abs=1e-3)


def test_a_query_may_be_detected_under_two_classes():
    logits = torch.full((1, 2, 3), -5.0)
    logits[0, 1] = torch.tensor([2.0, -5.0, 1.0])
    boxes = torch.tensor([[[0.2, 0.2, 0.1, 0.1], [0.5, 0.5, 0.2, 0.2]]])
    post = postprocessor(num_classes=3, num_top_queries=2)
    (result,) = post({"pred_logits": logits, "pred_boxes": boxes}, torch.tensor([[10, 10]]))
    assert result["labels"].tolist() == [0, 2]
    assert torch.equal(result["boxes"][0], result["boxes"][1])


def test_fewer_pairs_than_wanted_gives_all():
    results = postprocessor(num_classes=3, num_top_queries=300)(outputs(), SIZES_WH)
    assert [len(result["scores"]) for result in results] == [12, 12]


def test_softmax_ignores_the_last_class():
    out = outputs(num_classes=4)
    post = postprocessor(num_classes=4, num_top_queries=4, use_focal_loss=False)
    probability = out["pred_logits"].softmax(-1)[..., :3]
    for image, result in enumerate(post(out, SIZES_WH)):
        scores, labels = probability[image].max(dim=-1)
        order = scores.argsort(descending=True)
        assert torch.equal(result["scores"], scores[order])
        assert torch.equal(result["labels"], labels[order])


def test_coco_categories():
    assert len(COCO_CATEGORY_IDS) == 80
    assert (COCO_CATEGORY_IDS[0], COCO_CATEGORY_IDS[79]) == (1, 90)
    assert COCO_CATEGORY_IDS[11] == 13  # category 12 is not used
    post = postprocessor(num_top_queries=7, remap_mscoco_category=True)
    plain = postprocessor(num_top_queries=7)
    out = outputs(num_classes=80)
    for ours, labels in zip(post(out, SIZES_WH), plain(out, SIZES_WH), strict=True):
        assert ours["labels"].tolist() == [COCO_CATEGORY_IDS[i] for i in labels["labels"].tolist()]


def test_no_gradient_is_kept():
    out = {name: x.requires_grad_() for name, x in outputs().items()}
    results = postprocessor(num_classes=3, num_top_queries=5)(out, SIZES_WH)
    assert not any(x.requires_grad for result in results for x in result.values())
