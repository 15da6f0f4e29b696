"""An update of several batches is that of one batch with all their pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rtdetr_nb.config.config import Config
from rtdetr_nb.errors import ConfigError
from rtdetr_nb.runs.records import Record, events, is_step
from rtdetr_nb.training import step as step_module
from rtdetr_nb.training.assembly import TrainingOptions
from rtdetr_nb.training.loop import train
from rtdetr_nb.training.losses.criterion import build_criterion
from rtdetr_nb.training.state import TrainingState
from rtdetr_nb.training.step import Batch, StepResult, train_step
from tests.small_runs import TrainServer, narrow_backbone, narrow_config
from tests.training.one_step import FLOAT32, make_batch, make_state
from tests.training.rank_results import difference, run_ranks

BOXES = (1, 5, 0, 3)  # of four pictures: batches of two have 6 and 3


@pytest.fixture
def plain_config(small_config: Config) -> Config:
    """Without denoising: how often its groups repeat depends on the pictures of a batch."""
    return small_config.override(["RTDETRTransformerv2.num_denoising=0"])


def double_state(config: Config) -> TrainingState:
    """A state in float64 whose norms are frozen."""
    state = make_state(config)
    state.model.double()
    # Fresh sampling offsets point at edges of pixels, where rounding decides which slope is taken.
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in state.model.parameters():
            parameter += 0.01 * torch.randn_like(parameter)
    for module in state.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return state


def batches_of(*sizes: int) -> list[Batch]:
    """The same pictures in float64, divided into batches."""
    images, targets = make_batch(BOXES)
    targets = [{**t, "boxes": t["boxes"].double()} for t in targets]
    batches, start = [], 0
    for size in sizes:
        places = slice(start, start + size)
        batches.append((images.double()[places], targets[places]))
        start += size
    return batches


def update(config: Config, *sizes: int) -> tuple[StepResult, dict[str, Tensor], dict[str, Tensor]]:
    """What one update of these batches does: figures, gradients, weights."""
    state = double_state(config)
    criterion = build_criterion(config)
    result = train_step(state, state.model, criterion, batches_of(*sizes), FLOAT32, 0)
    assert (state.step, state.batch) == (1, len(sizes))
    parameters = dict(state.model.named_parameters())
    gradients = {name: p.grad for name, p in parameters.items() if p.grad is not None}
    return result, gradients, {name: p.detach() for name, p in parameters.items()}


@pytest.mark.parametrize("sizes", [(2, 2), (1, 2, 1)])
def test_an_update_of_batches_is_that_of_one_batch(
    plain_config: Config, sizes: tuple[int, ...]
) -> None:
    whole, whole_gradients, whole_weights = update(plain_config, 4)
    parts, gradients, weights = update(plain_config, *sizes)
    # Measured: 2e-15 for losses, 3e-15 for gradients; sums in another order.
    assert parts.losses == pytest.approx(whole.losses, rel=1e-12)
    assert parts.grad_norm == pytest.approx(whole.grad_norm, rel=1e-12)
    assert difference(gradients, whole_gradients) < 1e-12
    assert difference(weights, whole_weights) < 1e-12


def test_each_batch_divided_by_its_own_boxes_would_be_another_update(
    plain_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, whole_gradients, _ = update(plain_config, 4)
    monkeypatch.setattr(step_module, "mean_num_boxes", lambda targets, device: None)
    parts, gradients, _ = update(plain_config, 2, 2)
    assert parts.loss > 1.1 * whole.loss
    assert difference(gradients, whole_gradients) > 0.1


def test_batches_of_an_update_have_noise_of_their_own(small_config: Config) -> None:
    drawn: list[Tensor] = []

    class Watched(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor, targets: Any) -> Any:
            drawn.append(torch.rand(4))
            return self.model(images, targets)

    state = make_state(small_config)
    batch = make_batch()
    criterion = build_criterion(small_config)
    train_step(state, Watched(state.model), criterion, [batch, batch], FLOAT32, 0)
    train_step(state, Watched(state.model), criterion, batch, FLOAT32, 0)
    first, second, alone = drawn
    assert not torch.equal(first, second) and not torch.equal(first, alone)


def test_one_batch_in_a_list_is_one_batch(small_config: Config) -> None:
    results = []
    for wrap in (list, tuple):
        state = make_state(small_config)
        batch = make_batch()
        batches: Any = [batch] if wrap is list else batch
        criterion = build_criterion(small_config)
        results.append(train_step(state, state.model, criterion, batches, FLOAT32, 0.1))
    assert results[0] == results[1]


def test_processes_with_batches_are_one_process_with_all_pictures(
    train_server: TrainServer, shapes_folder: Path, tmp_path: Path
) -> None:
    config = narrow_config(
        shapes_folder, "RTDETRTransformerv2.num_denoising=0", "clip_max_norm=0", batch_size=4
    )
    parts = config.override(["train_dataloader.total_batch_size=2", "accumulate=2"])
    results = {}
    for name, count, settings in (("two", 2, parts), ("one", 1, config)):
        folder = tmp_path / name
        folder.mkdir()
        file = folder / "config.yml"
        file.write_text(settings.to_yaml())
        results[name] = run_ranks(train_server, count, "take_steps", file, 1, output=folder)
    (one,) = results["one"]
    for rank in results["two"]:
        assert rank["losses"] == pytest.approx(one["losses"], rel=1e-5)
        # Measured: 4e-6; float32 sums in another order.
        assert difference(rank["gradients"], one["gradients"]) < 1e-4


@pytest.fixture
def train_narrow(shapes_folder: Path, tmp_path: Path) -> Callable[..., list[Record]]:
    """Trains on 8 pictures in batches of 2; returns the records."""

    def records_of(*overrides: str, name: str = "run", **options: Any) -> list[Record]:
        config = narrow_config(shapes_folder, "epoches=2", "eval_freq=9", *overrides)
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        with narrow_backbone():
            return list(train(config, TrainingOptions(folder, **options)))

    return records_of


@pytest.mark.parametrize(("drop_last", "an_epoch"), [(True, 1), (False, 2)])
def test_everything_counts_updates(
    train_narrow: Callable[..., list[Record]], drop_last: bool, an_epoch: int
) -> None:
    records = train_narrow(
        "accumulate=3",
        f"train_dataloader.drop_last={drop_last}",
        "lr_warmup_scheduler.warmup_duration=4",
        "optimizer.lr=0.4",
    )
    (start,) = events(records, "start")
    assert start.get("steps_per_epoch") == an_epoch and start.get("total_steps") == 2 * an_epoch
    steps = [record for record in records if is_step(record)]
    assert [step["step"] for step in steps] == list(range(1, 2 * an_epoch + 1))
    assert [step.get("epoch") for step in steps] == sorted([0, 1] * an_epoch)
    rates = [max(step.get("lr", [])) for step in steps]
    assert rates == pytest.approx([0.1 * step["step"] for step in steps])


def test_a_resumed_run_goes_on_with_the_next_update(
    train_narrow: Callable[..., list[Record]], tmp_path: Path
) -> None:
    settings = ("accumulate=2", "train_dataloader.drop_last=False")
    whole = [r["loss"] for r in train_narrow(*settings, name="whole") if is_step(r)]
    first = train_narrow(*settings, name="parts", max_steps=1)
    rest = train_narrow(*settings, name="parts", resume=tmp_path / "parts" / "last.pth")
    assert [r["loss"] for r in [*first, *rest] if is_step(r)] == whole and len(whole) == 4


def test_an_epoch_without_a_whole_update_is_refused(
    train_narrow: Callable[..., list[Record]],
) -> None:
    with pytest.raises(ConfigError, match=r"accumulate is 5, but an epoch has 4 batches"):
        train_narrow("accumulate=5", "train_dataloader.drop_last=True")
    records = train_narrow("accumulate=5", "train_dataloader.drop_last=False")
    assert sum(map(is_step, records)) == 2  # an epoch, a smaller update
