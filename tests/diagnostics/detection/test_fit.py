"""The losses of the head, against plain loops, and the order of its pictures and rates."""

import math

import pytest
import torch
from torchvision.ops import box_iou, generalized_box_iou

from rtdetr_nb.diagnostics.detection.assignment import NO_BOX, lay_out
from rtdetr_nb.diagnostics.detection.fit import FitOptions, _batches, detection_loss, rate_at
from rtdetr_nb.diagnostics.detection.head import DetectionHead, to_boxes, to_detections


def random_outputs() -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 80, 3, generator=generator, dtype=torch.float64)
    sides = torch.rand(2, 80, 4, generator=generator, dtype=torch.float64) * 3 + 0.2
    labels = torch.full((2, 80), NO_BOX)
    labels[0, 5], labels[0, 40], labels[1, 70] = 2, 0, 1
    corners = torch.rand(2, 80, 2, generator=generator, dtype=torch.float64) * 40
    boxes = torch.cat([corners, corners + 20], dim=-1)
    return logits, sides, labels, boxes


def test_losses_are_the_formulas_of_the_papers() -> None:
    logits, sides, labels, boxes = random_outputs()
    positions = lay_out([8, 16], 64)
    assert len(positions.strides) == 80
    focal = box_loss = 0.0
    for picture in range(2):
        for place in range(80):
            label = int(labels[picture, place])
            for number in range(3):
                p = 1 / (1 + math.exp(-float(logits[picture, place, number])))
                is_right = number == label
                weight, share = (0.25, p) if is_right else (0.75, 1 - p)
                focal += -weight * (1 - share) ** 2 * math.log(share)
            if label != NO_BOX:
                x, y = positions.centers_xy[place].tolist()
                left, top, right, bottom = (
                    float(positions.strides[place]) * sides[picture, place]
                ).tolist()
                own = torch.tensor([[x - left, y - top, x + right, y + bottom]]).double()
                box_loss += 1 - float(generalized_box_iou(own, boxes[picture, place][None]))
    expected = (focal + 2 * box_loss) / 3
    found = detection_loss(logits, sides, positions, labels, boxes)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_without_boxes_the_loss_is_that_of_the_background() -> None:
    logits, sides, labels, boxes = random_outputs()
    positions = lay_out([8, 16], 64)
    loss = detection_loss(logits, sides, positions, torch.full_like(labels, NO_BOX), boxes)
    surer = detection_loss(logits - 3, sides, positions, torch.full_like(labels, NO_BOX), boxes)
    assert 0 < float(surer) < float(loss)


def test_each_picture_comes_once_in_a_round() -> None:
    options = FitOptions(6, 64, (0, 1), seed=3, device=torch.device("cpu"))
    batches = list(_batches(12, options))
    assert [len(batch) for batch in batches] == [8] * 6
    order = torch.cat(batches).tolist()
    for start in range(0, 48, 12):
        assert sorted(order[start : start + 12]) == list(range(12))
    assert order[:12] != order[12:24]
    assert torch.cat(list(_batches(12, options))).tolist() == order
    assert [batch.tolist() for batch in _batches(1, options)] == [[0]] * 6


def test_rates_grow_and_then_fall_to_zero() -> None:
    rates = [rate_at(step, 100) for step in range(1, 101)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == 1.0 and rates[-1] == pytest.approx(0)
    assert rates[:10] == sorted(rates[:10]) and rates[9:] == sorted(rates[9:], reverse=True)
    assert rate_at(1, 1) == 1.0


def test_the_head_has_an_answer_for_each_position() -> None:
    torch.manual_seed(0)
    head = DetectionHead(16, 5, 2, width=16)
    logits, sides = head([torch.randn(2, 16, 8, 8), torch.randn(2, 16, 4, 4)])
    assert logits.shape == (2, 80, 5) and sides.shape == (2, 80, 4)
    assert 0.005 < float(logits.detach().sigmoid().mean()) < 0.02, "classes are rare at first"
    assert float(sides.detach().median()) == pytest.approx(2.0, rel=0.1)


def test_a_finer_map_hears_from_the_coarser_ones() -> None:
    torch.manual_seed(0)
    head = DetectionHead(8, 2, 2, width=16)
    fine, coarse = torch.randn(1, 8, 8, 8), torch.randn(1, 8, 4, 4)
    logits, _ = head([fine, coarse])
    from_coarse, _ = head([fine, -coarse])
    from_fine, _ = head([-fine, coarse])
    assert not torch.equal(logits[:, :64], from_coarse[:, :64])
    torch.testing.assert_close(logits[:, 64:], from_fine[:, 64:])
    assert not torch.equal(logits[:, 64:], from_coarse[:, 64:])


def test_detections_are_the_surest_ones_and_differ() -> None:
    positions = lay_out([8], 64)
    logits = torch.full((64, 2), -9.0)
    logits[9, 0], logits[10, 0], logits[9, 1], logits[63, 1] = 3.0, 2.0, 1.0, 0.0
    sides = torch.ones(64, 4)
    sides[10] = torch.tensor([2.0, 1, 0.01, 1])  # nearly the box of position 9
    boxes = to_boxes(positions, sides)
    found = to_detections(logits, boxes, 64)
    assert found.labels.tolist() == [0, 1, 1]
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert found.boxes_xyxy[0].tolist() == [4.0, 4.0, 20.0, 20.0]
    assert found.boxes_xyxy[2].tolist() == [52.0, 52.0, 64.0, 64.0], "cut off at the border"
    assert float(box_iou(boxes[9:10], boxes[10:11])) > 0.6
