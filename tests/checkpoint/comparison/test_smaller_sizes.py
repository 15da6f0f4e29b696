"""A backbone of another detector's size is named, with the trainer that takes it."""

import pytest
import torch

from rtdetr_nb.architecture.smaller_sizes import SMALLER_SIZES, smaller_tables
from rtdetr_nb.checkpoint.comparison.diff import compare
from tests.checkpoint.wild import CONFIG, as_dfine, backbone, save


def small(size: str, use_lab: bool) -> dict:
    table = smaller_tables()[size]
    names = [name for name in table if use_lab or ".lab." not in name]
    return {name: torch.ones(table[name].shape) for name in names}


@pytest.mark.parametrize("use_lab", [True, False])
@pytest.mark.parametrize("size", SMALLER_SIZES)
def test_a_smaller_size_is_named(size, use_lab, tmp_path):
    diff = compare(save(as_dfine(small(size, use_lab)), tmp_path / "a.pth"), CONFIG)
    assert (diff.candidate.variant, diff.candidate.size) == (None, size)
    assert f"HGNetv2-{size}" in str(diff).splitlines()[1]
    first = diff.verdict.failures[0]
    assert first.what.startswith(f"The file holds HGNetv2-{size};")
    assert ("D-FINE-" in first.action) == (size in ("B0", "B2"))
    assert "another size" not in diff.verdict.text() and "use_lab" not in diff.verdict.text()


@pytest.mark.parametrize("variant", ["L", "X"])
def test_a_size_of_rtdetr_is_still_its_own(variant, tmp_path):
    from rtdetr_nb.config.load import load_config

    config = load_config(f"rtdetrv2_hgnetv2_{variant.lower()}", ["HGNetv2.pretrained=False"])
    diff = compare(save(backbone(variant=variant), tmp_path / "a.pth"), config)
    assert (diff.candidate.variant, diff.candidate.other_size) == (variant, None)
    assert diff.verdict == "ok"


@pytest.mark.parametrize("part", ["stages.1.downsample.", "stages.3.downsample."])
def test_a_part_that_fits_several_sizes_is_taken_for_one_of_rtdetr(part, tmp_path):
    some = {k: v for k, v in backbone().items() if k.startswith(("stages.0.blocks.0.layers", part))}
    assert compare(save(some, tmp_path / "a.pth"), CONFIG).candidate.variant == "L"


def test_an_unknown_size_stays_another_size(tmp_path):
    halves = {k: v[: max(1, len(v) // 2)] if v.ndim else v for k, v in backbone().items()}
    halves = {k: v[:, : max(1, v.shape[1] // 2)] if v.ndim == 4 else v for k, v in halves.items()}
    diff = compare(save(halves, tmp_path / "a.pth"), CONFIG)
    assert diff.candidate.size == "?" and diff.verdict == "failed"
