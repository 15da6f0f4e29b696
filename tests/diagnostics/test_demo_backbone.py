"""The shipped demo backbone is what data/README.md says."""

from pathlib import Path
from typing import Any

import pytest
import torch

from rtdetr_nb.config.load import load_config
from rtdetr_nb.config.schema import BackboneConfig
from rtdetr_nb.diagnostics.probing.probe_backbone import probe_backbone
from rtdetr_nb.model.build import make_backbone
from tests.paths import DATA

FILE = DATA / "demo_backbone_mmdet.pth"


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return torch.load(FILE, weights_only=True)


def test_it_is_a_whole_hgnetv2_l_in_half_precision(content: dict[str, Any]) -> None:
    assert FILE.stat().st_size < 30_000_000
    state = content["state_dict"]
    make_backbone(BackboneConfig()).load_state_dict(state)
    for key, value in state.items():
        if value.is_floating_point():
            assert value.dtype == torch.float16, key
            assert value.isfinite().all(), key
        if key.endswith("running_var"):
            assert (value > 0).all(), key


def test_the_adapters_fit_its_maps(content: dict[str, Any]) -> None:
    adapters = content["adapter_state_dict"]
    assert [adapters[f"{i}.weight"].shape[1] for i in range(3)] == [512, 1024, 2048]


@pytest.mark.slow
def test_it_carries_information_about_the_sample(content: dict[str, Any], tmp_path: Path) -> None:
    state = {f"backbone.{key}": value.float() for key, value in content["state_dict"].items()}
    torch.save({"model": state}, tmp_path / "tuning.pth")
    config = load_config("quick_run")
    result = probe_backbone(config, tmp_path / "tuning.pth", data=DATA / "shapes", seeds=(0,))
    assert result.accuracy is not None
    assert result.accuracy >= 0.8
    assert result.random_mean < 0.5
