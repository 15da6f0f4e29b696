"""Self-attention of queries against PyTorch's own with a mask for all of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.straightforward import hidden_from_all
from rtdetr_nb.model.decoder_layer import QueryAttention

DIM, HEADS = 16, 4


def both(dropout: float = 0.0) -> tuple[QueryAttention, nn.MultiheadAttention]:
    """Ours and PyTorch's, with the same weights, all drawn."""
    torch.manual_seed(0)
    ours = QueryAttention(DIM, HEADS, dropout).double()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn_like(parameter))
    theirs = nn.MultiheadAttention(DIM, HEADS, dropout, batch_first=True).double()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def queries_and_values(count: int) -> tuple[Tensor, Tensor]:
    query, value = torch.randn(2, 2, count, DIM, dtype=torch.float64).unbind()
    return query.requires_grad_(), value.requires_grad_()


def mask_of(num_denoising: int, num_own: int) -> Tensor:
    """Some queries of each row hidden, but never all: a query sees itself."""
    mask = torch.rand(num_denoising, num_denoising + num_own) < 0.5
    return mask | torch.eye(*mask.shape, dtype=torch.bool)


@settings(max_examples=40, deadline=None)
@given(num_denoising=st.integers(0, 6), num_own=st.integers(1, 5), seed=st.integers(0, 99))
def test_it_is_attention_with_a_mask_for_all(num_denoising, num_own, seed):
    ours, theirs = both()
    torch.manual_seed(seed)
    query, value = queries_and_values(num_denoising + num_own)
    mask = mask_of(num_denoising, num_own)
    found = ours(query, value, mask if num_denoising else None)
    hidden = hidden_from_all(mask)
    expected, _ = theirs(query, query, value, attn_mask=hidden, need_weights=False)
    assert (found - expected).abs().max() < 1e-12
    direction = torch.randn_like(expected)
    inputs = query, value
    for inner, outer in zip(
        torch.autograd.grad(found, (*inputs, *ours.parameters()), direction),
        torch.autograd.grad(expected, (*inputs, *theirs.parameters()), direction),
        strict=True,
    ):
        assert (inner - outer).abs().max() < 1e-10


@pytest.mark.parametrize("bug", ["positions in the values", "own see all", "mask inverted"])
def test_bugs_are_noticed(bug):
    ours, theirs = both()
    query, value = queries_and_values(8)
    mask = mask_of(3, 5)
    expected, _ = theirs(query, query, value, attn_mask=hidden_from_all(mask), need_weights=False)
    if bug == "positions in the values":
        found = ours(query, query, mask)
    elif bug == "own see all":
        found = ours(query, value, torch.cat([mask, torch.ones(5, 8, dtype=torch.bool)]))
    else:
        found = ours(query, value, ~mask)
    assert not (found - expected).abs().max() < 1e-2  # nobody to look at: not a number


def test_dropout_is_pytorchs_own_and_for_training_alone():
    ours, theirs = both(dropout=0.5)
    query, value = queries_and_values(6)
    outputs = []
    for attend in (
        lambda: ours(query, value, None),
        lambda: theirs(query, query, value, need_weights=False)[0],
    ):
        torch.manual_seed(1)
        outputs.append(attend())
    assert torch.allclose(*outputs, rtol=0, atol=1e-12)
    mask = mask_of(2, 4)
    assert not torch.equal(ours(query, value, mask), ours(query, value, mask))
    ours.eval()
    assert torch.equal(ours(query, value, mask), ours(query, value, mask))


def test_mixed_precision_stays_near_single():
    ours = both()[0].float()
    query, value = (x.detach().float().requires_grad_() for x in queries_and_values(8))
    mask = mask_of(3, 5)
    single = ours(query, value, mask)
    with torch.autocast("cpu", torch.bfloat16):
        half = ours(query, value, mask)
    half.float().sum().backward()
    assert half.dtype == torch.bfloat16
    assert (half - single).abs().max() < 0.05 * single.abs().max()
    gradients = [query.grad, value.grad, *(p.grad for p in ours.parameters())]
    assert all(g is not None and g.isfinite().all() for g in gradients)
