"""Box formats and overlaps against torchvision and against formulas."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_convert, box_iou, generalized_box_iou

from rtdetr_nb.boxes import cxcywh_to_xyxy, inverse_sigmoid, iou_and_giou, xyxy_to_cxcywh


def boxes_xyxy(count: int, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    corner = torch.rand(count, 2, dtype=torch.float64)
    return torch.cat([corner, corner + 0.05 + torch.rand(count, 2, dtype=torch.float64)], dim=1)


def test_formats():
    boxes = torch.tensor([[[0.5, 0.4, 0.2, 0.6]]])
    assert torch.allclose(cxcywh_to_xyxy(boxes), torch.tensor([[[0.4, 0.1, 0.6, 0.7]]]))
    many = boxes_xyxy(20)
    assert torch.allclose(xyxy_to_cxcywh(many), box_convert(many, "xyxy", "cxcywh"))
    assert torch.allclose(cxcywh_to_xyxy(xyxy_to_cxcywh(many)), many)
    assert not torch.allclose(cxcywh_to_xyxy(many), many)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 6), columns=st.integers(1, 6))
def test_overlaps_of_all_pairs(seed, rows, columns):
    boxes, others = boxes_xyxy(rows, seed), boxes_xyxy(columns, seed + 1)
    iou, giou = iou_and_giou(boxes[:, None], others)
    assert torch.allclose(iou, box_iou(boxes, others), rtol=1e-12, atol=1e-12)
    assert torch.allclose(giou, generalized_box_iou(boxes, others), rtol=1e-12, atol=1e-12)


def test_overlaps_of_boxes_opposite_each_other():
    boxes, others = boxes_xyxy(8, 0), boxes_xyxy(8, 1)
    iou, giou = iou_and_giou(boxes, others)
    assert torch.allclose(iou, box_iou(boxes, others).diag())
    assert torch.allclose(giou, generalized_box_iou(boxes, others).diag())
    assert (iou - giou).max() > 0.1  # else a swap of the two would not show


@pytest.mark.parametrize(
    ("box", "other", "iou", "giou"),
    [
        ([0, 0, 2, 2], [0, 0, 2, 2], 1.0, 1.0),
        ([0, 0, 2, 2], [1, 1, 3, 3], 1 / 7, 1 / 7 - 2 / 9),
        ([0, 0, 1, 1], [3, 0, 4, 1], 0.0, -0.5),
        ([0, 0, 4, 4], [1, 1, 2, 2], 1 / 16, 1 / 16),
        ([1, 1, 1, 1], [1, 1, 1, 1], 0.0, 0.0),
        ([1, 1, 1, 1], [0, 0, 2, 2], 0.0, 0.0),
    ],
)
def test_overlaps_by_hand(box, other, iou, giou):
    found = iou_and_giou(torch.tensor(box).double(), torch.tensor(other).double())
    assert [value.item() for value in found] == pytest.approx([iou, giou])


def test_gradients_of_empty_boxes_are_finite():
    boxes = torch.zeros(3, 4, requires_grad=True)
    iou, giou = iou_and_giou(boxes, torch.zeros(3, 4))
    (iou + giou).sum().backward()
    assert boxes.grad is not None and boxes.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    boxes = boxes_xyxy(2).to(dtype)
    assert {x.dtype for x in (*iou_and_giou(boxes, boxes), xyxy_to_cxcywh(boxes))} == {dtype}


def test_inverse_sigmoid():
    x = torch.linspace(-8, 8, 50, dtype=torch.float64)
    assert torch.allclose(inverse_sigmoid(x.sigmoid()), x, atol=1e-9)
    outside = inverse_sigmoid(torch.tensor([-1.0, 0.0, 1.0, 2.0]))
    limit = torch.tensor(1e-5).log()
    assert torch.allclose(outside, torch.stack([limit, limit, -limit, -limit]))
    assert inverse_sigmoid(torch.tensor(0.0), eps=1e-2).item() == pytest.approx(-4.60517)
