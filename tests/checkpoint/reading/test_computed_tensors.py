"""Weights in parts, or in a layout of their library: read, or named with a reason."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, _utils, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from tests.checkpoint.wild import CONFIG, backbone, save

CONV = "stem.stem1.conv.weight"
SHAPE = (32, 3, 3, 3)


def layer() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(3, 32, 3, bias=False)


def parts_of(module: nn.Module) -> dict[str, Tensor]:
    """The state of a layer, in the place of the stem's first convolution."""
    module.eval()
    return {f"stem.stem1.conv.{name}": value for name, value in module.state_dict().items()}


def with_parts(parts: Mapping[str, object], folder: Path) -> Path:
    state: dict[str, object] = dict(backbone())
    del state[CONV]
    return save({"state_dict": {**state, **parts}}, folder / "a.pth")


def pruned() -> tuple[dict[str, Tensor], Tensor]:
    module = prune.l1_unstructured(layer(), "weight", amount=0.5)
    return parts_of(module), module.weight.detach()


def weight_normed(normed: Callable[..., Any]) -> tuple[dict[str, Tensor], Tensor]:
    module = normed(layer(), "weight")
    return parts_of(module), module.weight.detach()


def spectral_normed(normed: Callable[..., Any]) -> tuple[dict[str, Tensor], Tensor]:
    module = normed(layer())
    module(torch.ones(1, 3, 8, 8))
    parts = parts_of(module)
    module(torch.ones(1, 3, 8, 8))
    return parts, module.weight.detach()


class ByArray:
    """Pickled as a tensor of an accelerator is: by a function, with the values as an array."""

    def __init__(self, value: Tensor):
        self.value = value

    def __reduce__(self) -> tuple:
        made = _utils._rebuild_device_tensor_from_numpy
        return made, (self.value.numpy(), torch.float32, "cpu", False)


@pytest.mark.parametrize(
    ("make", "note"),
    [
        (pruned, "the product of weight and mask"),
        (lambda: weight_normed(weight_norm), "weight norm"),
        (lambda: weight_normed(parametrizations.weight_norm), "weight norm"),
        (lambda: spectral_normed(spectral_norm), "spectral norm"),
        (lambda: spectral_normed(parametrizations.spectral_norm), "spectral norm"),
    ],
    ids=["pruned", "weight norm", "weight norm, new", "spectral norm", "spectral norm, new"],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_a_weight_in_parts_is_what_torch_computes(make, note: str, tmp_path: Path) -> None:
    parts, weight = make()
    diff = compare(open_checkpoint(with_parts(parts, tmp_path)), CONFIG)
    assert diff.counts["matched"] == 400 and not diff.verdict.failures
    assert any(note in finding.what for finding in diff.verdict.findings)
    read = diff.select().read()[f"backbone.{CONV}"]
    assert torch.allclose(read, weight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "store",
    [
        lambda t: t.to_sparse(),
        lambda t: ByArray(t),
        lambda t: nn.Parameter(t.to_sparse(), requires_grad=False),
    ],
    ids=["sparse", "accelerator", "sparse parameter"],
)
def test_another_layout_is_read_whole(store, tmp_path: Path) -> None:
    value = layer().weight.detach() * (torch.arange(3 * 9 * 32).reshape(SHAPE) % 3 == 0)
    diff = compare(open_checkpoint(with_parts({CONV: store(value)}, tmp_path)), CONFIG)
    assert not diff.verdict.failures
    assert torch.equal(diff.select().read()[f"backbone.{CONV}"], value)


def test_a_compressed_matrix_is_read_whole(tmp_path: Path) -> None:
    value = torch.arange(12.0).reshape(3, 4) * (torch.arange(12).reshape(3, 4) % 2)
    for layout in (value.to_sparse_csr(), value.to_sparse_csc()):
        checkpoint = open_checkpoint(save({"model": {"a": layout}}, tmp_path / "a.pth"))
        (array,) = checkpoint.read_numpy(["model.a"]).values()
        assert np.array_equal(array, value.numpy())


@pytest.mark.parametrize(
    ("store", "words", "remedy"),
    [
        (lambda t: t.to("meta"), "has no values", "after the weights were loaded"),
        (
            lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
            "quantised by torch",
            "before",
        ),
    ],
    ids=["meta", "qint8"],
)
def test_a_tensor_without_values_fails_with_its_reason(
    store, words: str, remedy: str, tmp_path: Path
) -> None:
    stored = store(layer().weight.detach())
    diff = compare(open_checkpoint(with_parts({CONV: stored}, tmp_path)), CONFIG)
    (failure,) = [f for f in diff.verdict.failures if words in f.what]
    assert remedy in failure.action


def test_whole_and_packed_numbers_fail(tmp_path: Path) -> None:
    whole = {CONV: torch.ones(SHAPE, dtype=torch.int8)}
    diff = compare(open_checkpoint(with_parts(whole, tmp_path)), CONFIG)
    assert any("stored as int8: the file is quantised" in f.what for f in diff.verdict.failures)
    packed = {"stem.stem1.conv.qweight": torch.ones(4, 3, dtype=torch.int32)}
    diff = compare(open_checkpoint(with_parts(packed, tmp_path)), CONFIG)
    assert any("packed into other tensors" in f.what for f in diff.verdict.failures)


def test_a_layer_with_an_adapter_beside_it_is_not_the_layer(tmp_path: Path) -> None:
    parts = {
        "stem.stem1.conv.base_layer.weight": layer().weight.detach(),
        "stem.stem1.conv.lora_A.default.weight": torch.ones(4, 3, 3, 3),
        "stem.stem1.conv.lora_B.default.weight": torch.ones(32, 4, 1, 1),
    }
    diff = compare(open_checkpoint(with_parts(parts, tmp_path)), CONFIG)
    (failure,) = [f for f in diff.verdict.failures if "LoRA" in f.what]
    assert "merge_and_unload" in failure.action
