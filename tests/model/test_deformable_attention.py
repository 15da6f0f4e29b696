"""Deformable attention against loops that follow its formulas."""

import math

import pytest
import torch
from torch import Tensor

from rtdetr_nb.model import deformable_attention
from rtdetr_nb.model.attention_samples import AttentionSamples
from rtdetr_nb.model.deformable_attention import (
    DeformableAttention,
    Sampling,
    attend_by_maps,
    sample_bilinear,
    sample_discrete,
)

SIZES_HW = [(5, 7), (3, 4), (2, 2)]


def pixel(value: Tensor, row: int, column: int) -> Tensor:
    """The values (C,) of a pixel; zeros outside the map."""
    height, width = value.shape[-2:]
    inside = 0 <= row < height and 0 <= column < width
    return value[:, row, column] if inside else torch.zeros_like(value[:, 0, 0])


def bilinear_by_hand(value: Tensor, x: float, y: float) -> Tensor:
    """`value` (C, H, W) at x, y in 0..1; pixel centres are at (column + 0.5) / W."""
    height, width = value.shape[-2:]
    column, row = x * width - 0.5, y * height - 0.5
    left, top = math.floor(column), math.floor(row)
    right_share, bottom_share = column - left, row - top
    return (
        (1 - right_share) * (1 - bottom_share) * pixel(value, top, left)
        + right_share * (1 - bottom_share) * pixel(value, top, left + 1)
        + (1 - right_share) * bottom_share * pixel(value, top + 1, left)
        + right_share * bottom_share * pixel(value, top + 1, left + 1)
    )


def discrete_by_hand(value: Tensor, x: float, y: float) -> Tensor:
    """The pixel nearest to the given place, counted as round-half-up of x*W and y*H."""
    height, width = value.shape[-2:]
    column = min(max(math.trunc(x * width + 0.5), 0), width - 1)
    row = min(max(math.trunc(y * height + 0.5), 0), height - 1)
    return value[:, row, column]


BY_HAND = {"default": bilinear_by_hand, "discrete": discrete_by_hand}
SAMPLERS = {"default": sample_bilinear, "discrete": sample_discrete}


def attention(num_points: list[int], method: str) -> DeformableAttention:
    """Two heads of three channels, with weights drawn so that offsets reach over the maps."""
    torch.manual_seed(0)
    module = DeformableAttention(6, 2, Sampling(tuple(num_points), method)).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.7)
    return module


def attend_by_hand(
    module: DeformableAttention, query: Tensor, boxes: Tensor, memory: Tensor
) -> Tensor:
    """The sum of section 4.1, head by head, level by level, point by point."""
    heads, points = module.num_heads, module.num_points
    B, Q, C = query.shape
    value = module.value_proj(memory).reshape(B, -1, heads, C // heads)
    offsets = module.sampling_offsets(query).reshape(B, Q, heads, sum(points), 2)
    weights = module.attention_weights(query).reshape(B, Q, heads, sum(points)).softmax(-1)
    result = torch.zeros(B, Q, heads, C // heads, dtype=query.dtype)
    for b in range(B):
        for q in range(Q):
            for head in range(heads):
                start, point = 0, 0
                for (height, width), count in zip(SIZES_HW, points, strict=True):
                    level = value[b, start : start + height * width, head].T
                    level = level.reshape(-1, height, width)
                    start += height * width
                    for _ in range(count):
                        shift = offsets[b, q, head, point] / count * boxes[b, q, 2:] / 2
                        x, y = (boxes[b, q, :2] + shift).tolist()
                        sampled = BY_HAND[module.method](level, x, y)
                        result[b, q, head] += weights[b, q, head, point] * sampled
                        point += 1
    return module.output_proj(result.flatten(2))


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    query = torch.randn(2, 4, 6, dtype=torch.float64)
    boxes = torch.rand(2, 4, 4, dtype=torch.float64)
    memory = torch.randn(2, sum(h * w for h, w in SIZES_HW), 6, dtype=torch.float64)
    return query, boxes, memory


@pytest.mark.parametrize("method", ["default", "discrete"])
@pytest.mark.parametrize("num_points", [[2, 2, 2], [1, 3, 2]])
def test_attention_equals_the_sum_by_hand(method, num_points):
    module = attention(num_points, method)
    query, boxes, memory = inputs()
    with torch.no_grad():
        found = module(query, boxes, memory, SIZES_HW)
        expected = attend_by_hand(module, query, boxes, memory)
    # The shares 1 / num_points are a buffer that was rounded to float32.
    assert (found - expected).abs().max() < 1e-6


@pytest.mark.parametrize("bug", ["offset scale", "share of points", "x and y", "heads"])
def test_bugs_in_attention_are_noticed(bug, monkeypatch):
    module = attention([1, 3, 2], "default")
    query, boxes, memory = inputs()
    with torch.no_grad():
        expected = attend_by_hand(module, query, boxes, memory)
        if bug == "offset scale":
            monkeypatch.setattr(deformable_attention, "_OFFSET_SCALE", 1.0)
        elif bug == "share of points":
            module.num_points_scale.fill_(1 / 2)
        elif bug == "x and y":
            right = deformable_attention.attend_by_rows
            monkeypatch.setattr(
                deformable_attention,
                "attend_by_rows",
                lambda samples: right(samples._replace(locations=samples.locations.flip(-1))),
            )
        else:
            module.value_proj.weight.copy_(module.value_proj.weight.roll(3, dims=0))
        found = module(query, boxes, memory, SIZES_HW)
    assert (found - expected).abs().max() > 1e-2


@pytest.mark.parametrize("size_hw", [(4, 9), (9, 4), (1, 5), (6, 6)])
@pytest.mark.parametrize("method", ["default", "discrete"])
def test_sampling_on_any_shape_of_map(method, size_hw):
    torch.manual_seed(0)
    value = torch.randn(2, 3, *size_hw, dtype=torch.float64)
    locations = torch.rand(2, 50, 2, 2, dtype=torch.float64) * 1.6 - 0.3  # some lie outside
    found = SAMPLERS[method](value, locations)
    assert found.shape == (2, 3, 50, 2)
    for n in range(2):
        for q in range(50):
            for p in range(2):
                x, y = locations[n, q, p].tolist()
                expected = BY_HAND[method](value[n], x, y)
                assert torch.allclose(found[n, :, q, p], expected, rtol=1e-10, atol=1e-10)


def test_discrete_sampling_clamps_x_by_the_width():
    value = torch.arange(12.0).reshape(1, 1, 2, 6)
    right_end = torch.tensor([[[[0.99, 0.1]]]])
    assert sample_discrete(value, right_end).item() == 5.0
    far_outside = torch.tensor([[[[7.0, 7.0]]], [[[-7.0, -7.0]]]])
    found = sample_discrete(value.expand(2, -1, -1, -1), far_outside)
    assert found.flatten().tolist() == [11.0, 0.0]


def test_discrete_attention_keeps_its_offsets():
    module = DeformableAttention(8, 4, Sampling((2, 2), "discrete"))
    assert not any(p.requires_grad for p in module.sampling_offsets.parameters())
    query, boxes = torch.randn(1, 3, 8), torch.rand(1, 3, 4)
    memory = torch.randn(1, 6 * 4 + 3 * 2, 8, requires_grad=True)
    module(query, boxes, memory, [(6, 4), (3, 2)]).sum().backward()
    assert memory.grad is not None and memory.grad.abs().sum() > 0
    assert module.sampling_offsets.weight.grad is None


def test_heads_start_in_directions_around_the_circle():
    module = DeformableAttention(8, 4, Sampling((2, 1), "default"))
    offsets = module.sampling_offsets.bias.detach().reshape(4, 3, 2)
    right, down, left, up = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]
    first = torch.tensor([right, down, left, up])
    assert torch.allclose(offsets[:, 0], first, atol=1e-6)
    assert torch.allclose(offsets[:, 1], 2 * first, atol=1e-6)  # the second point is further out
    assert torch.allclose(offsets[:, 2], first, atol=1e-6)  # each level counts anew
    assert module.num_points_scale.tolist() == [0.5, 0.5, 1.0]
    weights = module.attention_weights(torch.randn(5, 8))
    assert torch.equal(weights, torch.zeros_like(weights))


@pytest.mark.parametrize("method", ["default", "discrete"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_values_in_half_precision_leave_locations_as_they_are(method, dtype):
    """As autocast gives them on a GPU: the locations of 80 pixels need more than 8 or 11 bits."""
    torch.manual_seed(0)
    value = torch.randn(1, 80 * 80, 2, 4).to(dtype)
    locations, weights = torch.rand(1, 30, 2, 3, 2), torch.rand(1, 30, 2, 3)
    samples = AttentionSamples(value, locations, weights, [(80, 80)], [3])
    found, expected = (
        attend_by_maps(SAMPLERS[method], samples._replace(value=values))
        for values in (value, value.float())
    )
    assert torch.equal(found, expected)
