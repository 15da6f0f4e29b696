"""Which position answers for which box, against plain loops over positions and boxes."""

import pytest
import torch
from torch import Tensor

from rtdetr_nb.diagnostics.detection.assignment import NO_BOX, assign, lay_out


def straightforward(strides: list[int], size: int, boxes: Tensor) -> list[int]:
    """One position after the other, one box after the other."""
    found = []
    reach = {8: (0, 40), 16: (40, 80), 32: (80, float("inf"))}
    for stride in strides:
        for row in range(size // stride):
            for column in range(size // stride):
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                best, best_area = NO_BOX, float("inf")
                for index, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
                    sides = (x - x1, y - y1, x2 - x, y2 - y)
                    low, high = reach[stride]
                    near = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2)) < 1.5 * stride
                    area = (x2 - x1) * (y2 - y1)
                    if min(sides) > 0 and low < max(sides) <= high and near and area < best_area:
                        best, best_area = index, area
                found.append(best)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_it_is_as_plain_loops_have_it(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(7, 2, generator=generator) * 200
    sizes = torch.rand(7, 2, generator=generator) ** 2 * 220 + 6
    boxes = torch.cat([corners, (corners + sizes).clamp(max=256)], dim=1)
    found = assign(lay_out([8, 16, 32], 256), boxes)
    assert found.tolist() == straightforward([8, 16, 32], 256, boxes)
    assert (found != NO_BOX).sum() > 5


def test_maps_of_all_sizes_are_used() -> None:
    positions = lay_out([8, 16, 32], 256)
    boxes = torch.tensor([[10.0, 10, 40, 40], [70, 70, 170, 170], [20, 20, 250, 250]])
    found = assign(positions, boxes)
    for index, stride in enumerate((8, 16, 32)):
        assert float(stride) in positions.strides[found == index].tolist()
    assert set(positions.strides[found == 0].tolist()) == {8.0}
    assert set(positions.strides[found == 2].tolist()) == {32.0}


def test_a_picture_without_boxes_has_no_answers() -> None:
    assert (assign(lay_out([8, 16], 64), torch.empty(0, 4)) == NO_BOX).all()
