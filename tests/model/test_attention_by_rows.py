"""Deformable attention by rows against the same by maps, forward and backward."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rtdetr_nb.model import attention_by_rows
from rtdetr_nb.model.attention_by_rows import WeightedRowSum, attend_by_rows
from rtdetr_nb.model.attention_samples import AttentionSamples
from rtdetr_nb.model.deformable_attention import (
    DeformableAttention,
    Sampling,
    attend_by_maps,
    sample_bilinear,
)

SIZES_HW = [(5, 7), (3, 4), (1, 1)]
NUM_POINTS = [2, 3, 1]
by_maps = partial(attend_by_maps, sample_bilinear)


def inputs(
    sizes_hw: list[tuple[int, int]], num_points: list[int], seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Values, locations (some beyond the edge) and weights of 2 pictures, 4 queries, 3 heads."""
    torch.manual_seed(seed)
    area, points = sum(h * w for h, w in sizes_hw), sum(num_points)
    value = torch.randn(2, area, 3, 4, dtype=torch.float64)
    locations = torch.rand(2, 4, 3, points, 2, dtype=torch.float64) * 1.8 - 0.4
    weights = torch.rand(2, 4, 3, points, dtype=torch.float64)
    return value.requires_grad_(), locations.requires_grad_(), weights.requires_grad_()


def outcome(attend, tensors, sizes_hw, num_points) -> list[Tensor]:
    """What attention gives, and the gradients of all that goes in."""
    value, locations, weights = tensors
    found = attend(AttentionSamples(value, locations, weights, sizes_hw, num_points))
    direction = torch.linspace(-1, 1, found.numel(), dtype=found.dtype).view_as(found)
    return [found, *torch.autograd.grad(found, tensors, direction)]


def largest_difference(first: list[Tensor], second: list[Tensor]) -> float:
    return max(float((a - b).detach().abs().max()) for a, b in zip(first, second, strict=True))


@settings(max_examples=60, deadline=None)
@given(
    sizes_hw=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4),
    data=st.data(),
)
def test_rows_equal_maps_forward_and_backward(sizes_hw, data):
    counts = st.lists(st.integers(1, 4), min_size=len(sizes_hw), max_size=len(sizes_hw))
    num_points = data.draw(counts)
    tensors = inputs(sizes_hw, num_points, seed=data.draw(st.integers(0, 99)))
    rows, maps = (outcome(f, tensors, sizes_hw, num_points) for f in (attend_by_rows, by_maps))
    assert rows[0].shape == (2, 4, 12)
    assert largest_difference(rows, maps) < 1e-10


def test_places_on_the_edge_and_far_away_equal_maps():
    value, locations, weights = inputs(SIZES_HW, NUM_POINTS)
    # On maps of these sizes every one is a binary fraction of a pixel, which no rounding can move
    # across an edge; 1 / 8 is the centre of the first of four pixels.
    edges = torch.tensor([0.0, 1.0, 0.5, 1e6, -1e6, 1 / 8], dtype=torch.float64)
    with torch.no_grad():
        locations[0, 0] = edges[:, None]
    tensors = value, locations, weights
    rows, maps = (outcome(f, tensors, SIZES_HW, NUM_POINTS) for f in (attend_by_rows, by_maps))
    # On the very edge of a pixel the slope jumps; both take the one on the right of it.
    assert largest_difference(rows, maps) < 1e-8


@pytest.mark.parametrize("bug", ["edge", "head", "row order"])
def test_bugs_are_noticed(bug, monkeypatch):
    tensors = inputs(SIZES_HW, NUM_POINTS)
    maps = outcome(by_maps, tensors, SIZES_HW, NUM_POINTS)
    if bug == "edge":
        right = attention_by_rows._neighbours
        monkeypatch.setattr(
            attention_by_rows, "_neighbours", lambda at, length: right(at.clamp(min=0), length)
        )
    elif bug == "head":
        tensors = tensors[0].roll(1, dims=2), *tensors[1:]
    else:
        right_sum = attention_by_rows._transposed_sum
        monkeypatch.setattr(
            attention_by_rows,
            "_transposed_sum",
            lambda gradient, index, *rest: right_sum(gradient, index.flip(1), *rest),
        )
    rows = outcome(attend_by_rows, tensors, SIZES_HW, NUM_POINTS)
    assert largest_difference(rows, maps) > 1e-2


def test_the_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    table = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    index = torch.randint(0, 4, (4, 6))  # the last row is never used, others several times
    assert torch.autograd.gradcheck(lambda t, w: WeightedRowSum.apply(t, index, w), (table, weight))


def test_a_location_that_is_not_a_number_is_told_by_the_result():
    value, locations, weights = inputs(SIZES_HW, NUM_POINTS)
    with torch.no_grad():
        locations[1, 2, 0, 3] = torch.nan
    found = attend_by_rows(AttentionSamples(value, locations, weights, SIZES_HW, NUM_POINTS))
    assert found.isnan().sum() == 4  # the channels of one head of one query


def test_two_gradients_of_one_batch_are_the_same_to_the_last_digit():
    tensors = tuple(t.detach().float().requires_grad_() for t in inputs(SIZES_HW, NUM_POINTS))
    first, second = (outcome(attend_by_rows, tensors, SIZES_HW, NUM_POINTS) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_attention_in_mixed_precision_stays_near_single():
    torch.manual_seed(0)
    module = DeformableAttention(16, 4, Sampling((2, 2), "default"))
    torch.nn.init.normal_(module.sampling_offsets.weight)
    query, boxes, memory = torch.randn(2, 5, 16), torch.rand(2, 5, 4), torch.randn(2, 24 + 6, 16)
    single = module(query, boxes, memory, [(4, 6), (2, 3)])
    with torch.autocast("cpu", torch.bfloat16):
        half = module(query, boxes, memory, [(4, 6), (2, 3)])
    half.float().sum().backward()
    assert (half - single).abs().max() < 0.05 * single.abs().max()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())
