"""What `explain_config` says about freezing is what training does, tensor by tensor."""

from pathlib import Path

import pytest
import torch

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.explain import explain_config
from rtdetr_nb.training.losses.criterion import build_criterion
from rtdetr_nb.training.step import train_step
from tests.small_runs import narrow_backbone, narrow_config
from tests.training.one_step import FLOAT32, make_batch, make_state

STEM_RATE_ZERO = "optimizer.params.0.params='backbone.stem'", "optimizer.params.0.lr=0"


def train(config: Config, steps: int = 2) -> tuple[dict[str, torch.Tensor], ...]:
    """The tensors of the model before and after some steps, and of the average before and after."""
    state = make_state(config)
    assert state.ema is not None
    dicts = [state.model.state_dict(), state.ema.module.state_dict()]
    before = [{name: value.clone() for name, value in tensors.items()} for tensors in dicts]
    criterion = build_criterion(config)
    for _ in range(steps):
        train_step(state, state.model, criterion, make_batch(), FLOAT32, 0.1)
    return before[0], dicts[0], before[1], dicts[1]


@pytest.mark.parametrize(
    ("freeze_at", "freeze_norm"),
    [*((at, False) for at in range(-1, 5)), (-1, True), (2, True)],
)
def test_exactly_what_is_said_to_be_trained_changes(
    shapes_folder: Path, freeze_at: int, freeze_norm: bool
) -> None:
    settings = [f"HGNetv2.freeze_at={freeze_at}", f"HGNetv2.freeze_norm={freeze_norm}"]
    check(narrow_config(shapes_folder, *settings))


def test_a_learning_rate_of_zero_freezes_parameters_but_no_statistics(shapes_folder: Path) -> None:
    check(narrow_config(shapes_folder, *STEM_RATE_ZERO, "HGNetv2.freeze_norm=False"))


def check(config: Config) -> None:
    with narrow_backbone():
        said = {row.name: row for row in explain_config(config).rows}
        before, after, average_before, average = train(config)
    trained = {name for name, row in said.items() if not row.frozen and row.lr}
    assert trained and trained <= set(before)
    for name, value in before.items():
        changed = not torch.equal(value, after[name])
        if name in said:
            assert changed == (name in trained), name
        elif name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            # The statistics of a norm that is not replaced move even where its weights are frozen.
            norm = name.rpartition(".")[0]
            assert changed == (f"{norm}.num_batches_tracked" in before), name
        else:
            assert not changed, name  # the anchors
        if value.is_floating_point():
            if changed:
                assert not torch.equal(average_before[name], average[name]), name
            else:  # the average of equal values is that value, but for rounding
                torch.testing.assert_close(average[name], value, rtol=1e-5, atol=1e-6)
