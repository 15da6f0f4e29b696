"""Four training steps of HGNetv2-L at 320x320 in float64 against recorded figures.

Measured: total loss and gradient norm agree to 2e-16, the last digit that a float64 has. The
tolerance leaves room for another order of sums; a gradient that leaks through the reference boxes
changes no more than 8e-5, so 1e-3 would be too lax.
"""

import pytest
import torch

from rtdetr_nb.model.decoder import RTDETRTransformerv2
from rtdetr_nb.training.losses.criterion import build_criterion
from rtdetr_nb.training.optimizer import build_optimizer
from tests.golden import golden_images, golden_targets, load_reference
from tests.golden_model import build_golden_model, golden_config

TOLERANCE, NOTICED = 1e-9, 1e-5
TRAJECTORY = load_reference("numerics/l_320.json")["trajectory"]


def train(steps: int, *overrides: str) -> list[tuple[float, float]]:
    """Total loss, and norm of the gradient before clipping, of each step."""
    config = golden_config().override(overrides)
    model = build_golden_model().train()
    criterion, optimizer = build_criterion(config), build_optimizer(config, model)
    images, targets = golden_images().double(), golden_targets()
    seen = []
    for _ in range(steps):
        total = torch.stack(list(criterion(model(images, targets), targets).values())).sum()
        optimizer.zero_grad()
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_max_norm)
        optimizer.step()
        seen.append((total.item(), norm.item()))
    return seen


def misses(found: list[tuple[float, float]]) -> list[float]:
    """Of each step, the larger relative difference of the two figures."""
    return [
        max(abs(total / step["total"] - 1), abs(norm / step["grad_norm"] - 1))
        for (total, norm), step in zip(found, TRAJECTORY, strict=False)
    ]


@pytest.mark.slow
def test_trajectory_is_the_recorded_one():
    found = misses(train(len(TRAJECTORY)))
    assert len(found) == 4
    assert max(found) < TOLERANCE


@pytest.mark.slow
def test_an_undetached_reference_changes_the_gradient(monkeypatch: pytest.MonkeyPatch):
    right = RTDETRTransformerv2.decode

    def undetached(self: RTDETRTransformerv2, *args):
        with monkeypatch.context() as patched:
            patched.setattr(torch.Tensor, "detach", lambda tensor: tensor)
            return right(self, *args)

    monkeypatch.setattr(RTDETRTransformerv2, "decode", undetached)
    ((total, norm),) = train(1)
    assert abs(total / TRAJECTORY[0]["total"] - 1) < TOLERANCE  # the loss itself does not tell
    assert abs(norm / TRAJECTORY[0]["grad_norm"] - 1) > NOTICED


@pytest.mark.slow
def test_another_learning_rate_of_the_backbone_is_noticed():
    first, second = misses(train(2, "optimizer.params.0.lr=1e-5"))
    assert first < TOLERANCE and second > NOTICED
