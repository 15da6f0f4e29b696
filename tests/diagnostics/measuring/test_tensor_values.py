"""The values of one tensor in figures."""

from pathlib import Path

import pytest
import torch

import rtdetr_nb as rt
from rtdetr_nb.checkpoint.comparison.diff import Diff


def save(path: Path, **tensors: torch.Tensor) -> rt.Checkpoint:
    torch.save(tensors, path)
    return rt.open_checkpoint(path)


def test_range_mean_spread_and_histogram(tmp_path: Path) -> None:
    ckpt = save(tmp_path / "a.pth", w=torch.tensor([[-1.0, 0.0], [0.0, 3.0]]))
    found = rt.tensor_values(ckpt, "w")
    assert (found.low, found.high, found.mean, found.zeros) == (-1.0, 3.0, 0.5, 0.5)
    assert found.std == pytest.approx(1.5, abs=1e-12)
    assert sum(found.counts) == 4 and found.counts[0] == found.counts[-1] == 1
    assert "w 2x2 float32: -1 to 3, mean 0.5, standard deviation 1.5; 50.0% are 0" in str(found)
    assert "<svg" in found._repr_html_()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.float8_e4m3fn])
def test_every_type_is_read_as_its_numbers(tmp_path: Path, dtype: torch.dtype) -> None:
    ckpt = save(tmp_path / "a.pth", w=torch.tensor([1.0, 2.0, 4.0]).to(dtype))
    found = rt.tensor_values(ckpt, "w")
    assert (found.low, found.high) == (1.0, 4.0)
    assert found.dtype == str(dtype).removeprefix("torch.")


def test_values_at_the_ends_of_what_a_number_holds(tmp_path: Path) -> None:
    wide = torch.tensor([-1.5e308, 0.0, 1.5e308], dtype=torch.float64)
    found = rt.tensor_values(save(tmp_path / "a.pth", w=wide), "w")
    assert found.counts[0] == found.counts[-1] == 1 and found.mean == 0.0
    assert found.std == pytest.approx(1.5e308 * (2 / 3) ** 0.5)
    narrow = torch.tensor([1.0, 1.0 + 2**-52], dtype=torch.float64)
    assert sum(rt.tensor_values(save(tmp_path / "b.pth", w=narrow), "w").counts) == 2
    same = rt.tensor_values(save(tmp_path / "c.pth", w=torch.full((5,), 7.0)), "w")
    assert same.counts[0] == 5 and same.std == 0.0


def test_values_that_are_no_numbers_are_counted_and_left_out(tmp_path: Path) -> None:
    ckpt = save(tmp_path / "a.pth", w=torch.tensor([1.0, float("nan"), float("inf"), 2.0]))
    found = rt.tensor_values(ckpt, "w")
    assert found.not_finite == 2 and (found.low, found.high) == (1.0, 2.0)
    assert "2 values are not finite" in str(found)
    none = rt.tensor_values(save(tmp_path / "b.pth", w=torch.full((3,), float("nan"))), "w")
    assert none.counts == () and "3 values are not finite" in str(none)
    empty = rt.tensor_values(save(tmp_path / "c.pth", w=torch.zeros(0, 4)), "w")
    assert empty.counts == () and "<svg" in empty._repr_html_()


def test_a_comparison_knows_both_names(backbone_diff: Diff) -> None:
    row = next(
        row for row in backbone_diff.rows if row.model_key == "backbone.stem.stem1.conv.weight"
    )
    assert row.checkpoint_key is not None
    by_model, by_file = (
        rt.tensor_values(backbone_diff, key) for key in (row.model_key or "", row.checkpoint_key)
    )
    assert by_model == by_file and by_model.shape == (32, 3, 3, 3)
    missing = next(row for row in backbone_diff.rows if row.checkpoint_key is None)
    with pytest.raises(rt.UserError, match="The file has nothing for"):
        rt.tensor_values(backbone_diff, missing.model_key or "")
    with pytest.raises(rt.UserError, match="has no tensor 'stem.stem1.convolution.weight'"):
        rt.tensor_values(backbone_diff, "stem.stem1.convolution.weight")
