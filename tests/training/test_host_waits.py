"""A step makes the host wait for the device as seldom as it can.

On a GPU each of these waits empties the queue of work. On the CPU nothing waits, but the operations
that would can be counted: values that are read out one by one, positions that are searched for, and
tensors that are brought over.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from bench.straightforward import attention_by_maps
from rtdetr_nb.config.config import Config
from rtdetr_nb.training.losses.criterion import build_criterion
from rtdetr_nb.training.precision import Precision
from rtdetr_nb.training.step import train_step
from tests.training.one_step import make_batch, make_state

# Their result, or its shape, depends on values that only the device knows.
_WAITING = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::equal",
    "aten::is_nonzero",
    "aten::repeat_interleave.Tensor",
    "aten::bincount",
}
_BRINGING_OVER = ("cpu", "tolist", "numpy")


class _CountWaits(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        name = func.name()
        indices = args[1] if name.startswith("aten::index") and "select" not in name else ()
        by_mask = isinstance(indices, Sequence) and any(
            isinstance(index, Tensor) and index.dtype is torch.bool for index in indices
        )
        if name in _WAITING or by_mask:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


def waits_of_a_step(config: Config, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What a step, after a first one that fills the caches, would wait for; its optimizer apart."""
    state, criterion = make_state(config), build_criterion(config)
    # On the CPU AdamW reads its step counts; on a GPU they stay there.
    monkeypatch.setattr(state.optimizer, "step", lambda: None)

    def step() -> None:
        with attention_by_maps():  # as on a GPU
            train_step(state, state.model, criterion, make_batch(), Precision("cpu", None), 0.1)

    step()
    brought: Counter[str] = Counter()
    for name in _BRINGING_OVER:
        original = getattr(Tensor, name)

        def counted(self: Tensor, *args: Any, _name: str = name, _original: Any = original) -> Any:
            brought[_name] += 1
            return _original(self, *args)

        monkeypatch.setattr(Tensor, name, counted)
    with _CountWaits() as waits:
        step()
    return waits.found + brought


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["RTDETRCriterionv2.share_matched_indices=True"],
        ["RTDETRTransformerv2.num_denoising=0"],
        ["RTDETRTransformerv2.query_select_method=agnostic"],
        ["RTDETRTransformerv2.cross_attn_method=discrete"],
    ],
)
def test_a_step_waits_for_the_matching_and_for_its_figures(
    small_config: Config, overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = waits_of_a_step(small_config.override(overrides), monkeypatch)
    # The costs of all layers come over once and become numpy; the figures of the step once.
    assert waits == {"cpu": 1, "numpy": 1, "tolist": 1}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["default", "discrete"])
def test_no_operation_waits_within(
    small_config: Config, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What operations call themselves, as the gradient of `prod` does, only a profile shows."""
    config = small_config.override([f"RTDETRTransformerv2.cross_attn_method={method}"])
    state, criterion = make_state(config), build_criterion(config)
    monkeypatch.setattr(state.optimizer, "step", lambda: None)

    def step() -> None:
        train_step(state, state.model, criterion, make_batch(), Precision("cpu", None), 0.1)

    with attention_by_maps():
        step()
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            step()
    assert waits_within(profiled) == 0


def waits_within(profiled: profile) -> int:
    names = ("aten::_local_scalar_dense", "aten::nonzero")
    return sum(event.count for event in profiled.key_averages() if event.key in names)


def test_waits_within_are_noticed() -> None:
    sizes = torch.rand(4, 2, requires_grad=True)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        sizes.prod(dim=-1).sum().backward()
    assert waits_within(profiled) > 0


def test_waits_are_noticed() -> None:
    values = torch.arange(4.0)
    with _CountWaits() as waits:
        values[values > 1]
        values.sum().item()
        values.nonzero()
        values[values > 1] = 0.0
        values[torch.tensor([1, 2])]
    assert sum(waits.found.values()) >= 4
    assert waits.found["aten::_local_scalar_dense"] == 1
