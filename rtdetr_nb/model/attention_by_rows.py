"""Deformable attention as one weighted sum of pixels, which takes a CPU half the time.

A bilinear sample is a weighted sum of four pixels, and attention weighs samples: together they are
one sum over the rows of a table, an embedding bag. The samples themselves are never in memory.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from rtdetr_nb.model.attention_samples import AttentionSamples


def attend_by_rows(samples: AttentionSamples) -> Tensor:
    """Sample the maps bilinearly, zeros around them; sum with the weights: (B, Q, heads * C)."""
    value, locations, weights, map_sizes_hw, num_points = samples
    B, N, heads, C = value.shape
    Q = weights.shape[1]
    pixel, share = _corners(locations, map_sizes_hw, num_points)
    # (B, Q, heads, points, 4): where the pixel of this picture and head is in the table
    picture = torch.arange(0, B * N, N, dtype=pixel.dtype).view(B, 1, 1, 1, 1)
    row = (picture + pixel) * heads + torch.arange(heads, dtype=pixel.dtype).view(heads, 1, 1)
    share = share * weights[..., None]
    # Autocast leaves values in half precision and locations in single.
    table = value.reshape(B * N * heads, C).to(share.dtype)
    bags = B * Q * heads
    attended: Any = WeightedRowSum.apply(table, row.reshape(bags, -1), share.reshape(bags, -1))
    return attended.reshape(B, Q, heads * C)


def _corners(
    locations: Tensor, map_sizes_hw: Sequence[tuple[int, int]], num_points: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """The four pixels around each location (..., points, 4) and their shares, 0 beyond the edge."""
    counts = torch.tensor(num_points)
    # int32 halves the memory of the indices, the largest tensors here.
    sizes_wh = torch.tensor([size_hw[::-1] for size_hw in map_sizes_hw], dtype=torch.int32)
    first = sizes_wh.prod(dim=1).cumsum(0, dtype=torch.int32).roll(1)  # pixel of each map
    first[0] = 0
    size_wh, first = (of_map.repeat_interleave(counts, dim=0) for of_map in (sizes_wh, first))
    width, height = size_wh.unbind(-1)
    # The roundings of `grid_sample`: at the edge of a pixel, where fresh offsets point, they decide
    # which of two slopes is taken.
    grid = 2 * locations - 1
    x, y = ((grid + 1) * (size_wh / 2) - 0.5).unbind(-1)
    columns, rows = _neighbours(x, width), _neighbours(y, height)
    pixels = [first + row * width + column for row, _ in rows for column, _ in columns]
    shares = [of_row * of_column for _, of_row in rows for _, of_column in columns]
    return torch.stack(pixels, dim=-1), torch.stack(shares, dim=-1)


def _neighbours(place: Tensor, length: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The pixels below and above a place (..., points) on one axis, and their shares."""
    low = place.detach().floor()
    fraction = place - low
    index = low.to(length.dtype)
    last = length - 1
    return [
        (below.clamp(min=0).minimum(last), share * ((below >= 0) & (below <= last)))
        for below, share in ((index, 1 - fraction), (index + 1, fraction))
    ]


class WeightedRowSum(torch.autograd.Function):
    """Sum K rows of a table for each of M outputs: an embedding bag with a quicker gradient.

    The sums are the product of a sparse matrix with the table. PyTorch's embedding bag adds up the
    gradient of each row of the table with one call for each time it was used; with the transposed
    matrix that gradient is another embedding bag, in which the outputs' gradients are the table.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        """Table (R, C), row numbers (M, K) and their weights (M, K): (M, C)."""
        ctx.save_for_backward(table, index, weight)
        return F.embedding_bag(index, table, per_sample_weights=weight, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: Tensor
    ) -> tuple[Tensor, None, Tensor]:
        """Gradients of the table and of the weights, from that of the sums (M, C)."""
        table, index, weight = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_table = _transposed_sum(gradient, index, weight, len(table))
        return of_table, None, _row_products(gradient, table, index)


def _transposed_sum(gradient: Tensor, index: Tensor, weight: Tensor, rows: int) -> Tensor:
    """For each row of the table the weighted gradients of the sums that it is part of: (R, C)."""
    from scipy.sparse import csr_array  # not needed on a GPU, and slow to import

    entries = weight.flatten().numpy(), index.flatten().numpy(), _starts(index).numpy()
    # The transposition keeps the order of the outputs, so two runs sum alike, to the last digit.
    by_row = csr_array(entries, shape=(len(index), rows)).tocsc()
    output, first, share = map(torch.from_numpy, (by_row.indices, by_row.indptr, by_row.data))
    return F.embedding_bag(
        output, gradient, first, mode="sum", per_sample_weights=share, include_last_offset=True
    )


def _row_products(gradient: Tensor, table: Tensor, index: Tensor) -> Tensor:
    """Products of each output's gradient with the rows that it sums: (M, K)."""
    outputs, count = index.shape
    owner = torch.arange(outputs, dtype=index.dtype).repeat_interleave(count)
    products = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        gradient, table, index.flatten(), _starts(index)[:-1], owner, 0
    )
    return products.view(outputs, count)


def _starts(index: Tensor) -> Tensor:
    """Where each output's entries begin among all, and their end: (M + 1,)."""
    outputs, count = index.shape
    return torch.arange(0, outputs * count + 1, count, dtype=index.dtype)
