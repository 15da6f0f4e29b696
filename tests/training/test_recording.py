"""What a training says of itself in its records."""

import pytest
import torch

from rtdetr_nb.config.config import Config
from rtdetr_nb.model.build import build_model
from rtdetr_nb.training.optimizer import build_optimizer
from rtdetr_nb.training.recording import group_titles, memory_held


@pytest.mark.parametrize(
    ("entries", "titles"),
    [
        (
            [{"params": "^(?=.*backbone)(?!.*norm|bn).*$"},
             {"params": "^(?=.*(?:encoder|decoder))(?=.*(?:norm|bn)).*$"}],
            ["backbone", "encoder and decoder norms", "encoder and decoder"],
        ),
        ([], ["backbone, encoder and decoder"]),
        ([{"params": "backbone.stem"}, {"params": "backbone.stages"}],
         ["backbone, group 0", "backbone, group 1", "encoder and decoder"]),
    ],
)  # fmt: skip
def test_groups_are_called_by_what_they_train(small_config: Config, entries, titles) -> None:
    config = small_config.with_values(
        {"optimizer.params": entries, "HGNetv2.freeze_norm": True, "HGNetv2.freeze_at": -1}
    )
    model = build_model(config)
    assert group_titles(model, build_optimizer(config, model)) == titles


def test_the_memory_that_is_held_grows_with_what_is_held() -> None:
    before = memory_held(torch.device("cpu"))["memory_mb"]
    held = torch.ones(40 * 2**20)  # 160 MiB, written
    grown = memory_held(torch.device("cpu"))["memory_mb"] - before
    assert held.sum() > 0
    assert 100 < grown < 240  # room for what was free before, and for what others take
