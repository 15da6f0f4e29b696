"""What the features of the shipped demo backbone are worth."""

from pathlib import Path

import pytest
import torch

from rtdetr_nb.config.load import load_config
from rtdetr_nb.diagnostics.detection.probe_detection import probe_detection
from tests.paths import DATA


@pytest.mark.slow
def test_the_demo_backbone_is_worth_more_than_random_weights(tmp_path: Path) -> None:
    """Measured: 0.35 and 0.03, the difference 0.26 or more over the pictures."""
    content = torch.load(DATA / "demo_backbone_mmdet.pth", weights_only=True)["state_dict"]
    state = {f"backbone.{key}": value.float() for key, value in content.items()}
    torch.save({"model": state}, tmp_path / "tuning.pth")
    config = load_config("quick_run")
    result = probe_detection(config, tmp_path / "tuning.pth", DATA / "shapes")
    assert result.random and result.difference
    assert 0.28 < result.ap < 0.42 and 0.55 < result.ap50 < 0.75
    assert result.random.ap < 0.08 and result.difference[0] > 0.15
    assert "better than random ones" in result.sentence
