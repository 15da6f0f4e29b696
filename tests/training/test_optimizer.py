"""Parameter groups, warm-up and schedule."""

import copy
from functools import cache

import pytest
import torch
from torch import nn

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import ConfigError
from rtdetr_nb.training.optimizer import (
    LinearWarmup,
    build_lr_scheduler,
    build_optimizer,
    group_names,
)
from tests.golden import load_reference
from tests.golden_model import build_golden_model, golden_config


@cache
def official_config() -> Config:
    return load_config("rtdetrv2_hgnetv2_l")


def config_with(*overrides: str) -> Config:
    return official_config().override(overrides) if overrides else official_config()


@pytest.fixture(scope="module")
def golden_model() -> nn.Module:
    return build_golden_model(torch.float32)


@pytest.fixture
def tiny() -> nn.Module:
    """Parameters whose names every official pattern has an opinion about."""
    names = {"backbone": ["conv", "bn"], "encoder": ["linear", "norm"], "decoder": ["linear"]}
    return nn.ModuleDict(
        {part: nn.ModuleDict({name: nn.Linear(2, 2) for name in names[part]}) for part in names}
    )


# --- groups ---------------------------------------------------------------------------------------


def groups_of(config: Config, model: nn.Module) -> list[tuple[float, float, list[str]]]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [
        (group["lr"], group["weight_decay"], [names[p] for p in group["params"]])
        for group in build_optimizer(config, model).param_groups
    ]


def recorded_groups() -> list[tuple[float, float, list[str]]]:
    recorded = load_reference("numerics/l_320.json")["param_groups"]
    return [(group["lr"], group["weight_decay"], group["params"]) for group in recorded]


def test_groups_are_the_recorded_ones(golden_model):
    assert groups_of(golden_config(), golden_model) == recorded_groups()


def test_frozen_parameters_are_the_recorded_ones(golden_model):
    frozen = [name for name, p in golden_model.named_parameters() if not p.requires_grad]
    assert frozen == load_reference("numerics/l_320.json")["frozen"]


@pytest.mark.parametrize(
    "override",
    [
        "optimizer.params.0.params='^(?=.*backbone)(?=.*norm).*$'",
        "optimizer.params.1.params='^(?=.*encoder)(?=.*(?:norm|bn)).*$'",
        "optimizer.params.0.lr=1e-5",
        "optimizer.params.1.weight_decay=1e-4",
        "optimizer.lr=2e-4",
        "optimizer.weight_decay=1e-2",
    ],
)
def test_other_groups_are_noticed(golden_model, override):
    assert groups_of(golden_config().override([override]), golden_model) != recorded_groups()


def test_every_trainable_parameter_is_in_one_group(golden_model):
    for config in (golden_config(), config_with("optimizer.params=[]")):
        grouped = [name for _, _, names in groups_of(config, golden_model) for name in names]
        trainable = [name for name, p in golden_model.named_parameters() if p.requires_grad]
        assert sorted(grouped) == sorted(trainable)


def test_the_official_pattern_does_not_exclude_bn():
    """`.*norm|bn` means "(anything with norm) or (starts with bn)"."""
    names = ["backbone.stem.stem1.bn.weight", "backbone.norm.weight", "encoder.norm.bias", "other"]
    assert group_names(config_with(), names) == [
        names[:1],
        names[2:3],
        ["backbone.norm.weight", "other"],
    ]


def test_no_rest_means_no_group_for_it():
    config = config_with("optimizer.params=[{params: '.*', lr: 0.5}]")
    assert group_names(config, ["a", "b"]) == [["a", "b"]]


def test_a_pattern_may_catch_nothing(tiny):
    config = config_with("optimizer.params=[{params: nowhere, lr: 0.5}]")
    (lr, _, names), (_, _, rest) = groups_of(config, tiny)
    assert (lr, names) == (0.5, []) and len(rest) == 10


def test_two_patterns_for_one_parameter_are_an_error():
    config = config_with("optimizer.params=[{params: encoder, lr: 0.1}, {params: norm, lr: 0.2}]")
    with pytest.raises(ConfigError, match=r"'encoder' and 'norm', both match encoder\.norm\.bias"):
        group_names(config, ["decoder.weight", "encoder.norm.bias"])


def test_a_pattern_that_is_not_a_regular_expression_is_an_error():
    config = config_with("optimizer.params=[{params: '(unclosed', lr: 0.1}]")
    with pytest.raises(ConfigError, match=r"'\(unclosed' .* is not a regular expression"):
        group_names(config, ["a"])


def test_nothing_trainable_is_an_error(tiny):
    with pytest.raises(ConfigError, match="No parameter of the model is trainable"):
        build_optimizer(config_with(), tiny.requires_grad_(False))


def test_optimizer_settings(tiny):
    optimizer = build_optimizer(
        config_with("optimizer.betas=[0.8,0.99]", "optimizer.eps=1e-7"), tiny
    )
    assert isinstance(optimizer, torch.optim.AdamW)
    assert all(tuple(group["betas"]) == (0.8, 0.99) for group in optimizer.param_groups)
    assert all(group["eps"] == 1e-7 for group in optimizer.param_groups)


# --- warm-up and schedule -------------------------------------------------------------------------


def sgd(*rates: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates], lr=1.0
    )


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def test_warmup_values():
    optimizer = sgd(1.0, 0.1)
    warmup = LinearWarmup(optimizer, warmup_duration=4)
    seen = []
    for _ in range(6):
        seen.append((rates(optimizer)[0], warmup.finished))
        assert rates(optimizer)[1] == pytest.approx(0.1 * rates(optimizer)[0])
        warmup.step()
    expected = [(0.25, False), (0.5, False), (0.75, False), (1.0, False), (1.0, True), (1.0, True)]
    assert seen == expected


def test_official_warmup_of_2000_steps():
    optimizer = sgd(1e-4)
    warmup = LinearWarmup(optimizer, 2000)
    found = {}
    for step in range(2004):
        found[step] = rates(optimizer)[0]
        warmup.step()
    expected = {0: 5e-8, 1: 1e-7, 59: 3e-6, 1998: 9.995e-5, 1999: 1e-4, 2000: 1e-4, 2002: 1e-4}
    assert {step: found[step] for step in expected} == pytest.approx(expected)
    off_by_one = {step: found[step + 1] for step in expected}
    assert off_by_one != pytest.approx(expected)


@pytest.mark.parametrize("duration", [0, 1])
def test_no_warmup_trains_at_the_whole_rate(duration):
    optimizer = sgd(0.5)
    warmup = LinearWarmup(optimizer, duration)
    assert rates(optimizer) == [0.5]
    warmup.step()
    assert warmup.finished and rates(optimizer) == [0.5]


def train(epochs: int, steps: int, warmup_duration: int, milestones: list[int]) -> list[float]:
    """The rate of each step, by the official order of calls."""
    config = config_with(f"lr_scheduler.milestones={milestones}", "lr_scheduler.gamma=0.1")
    optimizer = sgd(1.0)
    scheduler = build_lr_scheduler(config, optimizer)
    warmup = LinearWarmup(optimizer, warmup_duration)
    seen = []
    for _ in range(epochs):
        for _ in range(steps):
            seen.append(rates(optimizer)[0])
            optimizer.step()
            warmup.step()
        if warmup.finished:
            scheduler.step()
    return seen


def test_schedule_counts_epochs_from_the_end_of_the_warmup():
    # The warm-up of 5 steps ends within the second epoch; the schedule first moves at its end, so
    # that milestone 2 is the end of the third epoch.
    found = train(epochs=5, steps=3, warmup_duration=5, milestones=[2])
    expected = [0.2, 0.4, 0.6, 0.8, 1.0, 1.0] + [1.0] * 3 + [0.1] * 6
    assert found == pytest.approx(expected)


def test_schedule_without_warmup_counts_all_epochs():
    found = train(epochs=4, steps=1, warmup_duration=0, milestones=[1, 3])
    assert found == pytest.approx([1.0, 0.1, 0.1, 0.01])


def test_warmup_that_ends_with_an_epoch():
    found = train(epochs=4, steps=2, warmup_duration=2, milestones=[1])
    assert found == pytest.approx([0.5, 1.0] + [0.1] * 6)


def test_warmup_goes_on_from_a_saved_state():
    optimizer = sgd(1.0)
    warmup = LinearWarmup(optimizer, 10)
    for _ in range(3):
        warmup.step()
    state = copy.deepcopy(warmup.state_dict())
    assert state == {"warmup_end_values": [1.0], "last_step": 3, "warmup_duration": 10}

    resumed_optimizer = sgd(rates(optimizer)[0])  # its rates come back with its own state
    resumed = LinearWarmup(resumed_optimizer, 10)
    resumed.load_state_dict(state)
    for _ in range(9):
        warmup.step()
        resumed.step()
        assert rates(resumed_optimizer) == rates(optimizer)
    assert resumed.finished and rates(optimizer) == [1.0]


def test_schedule_goes_on_from_a_saved_state():
    config = config_with("lr_scheduler.milestones=[2]")
    optimizer = sgd(1.0)
    scheduler = build_lr_scheduler(config, optimizer)
    optimizer.step()
    scheduler.step()
    resumed_optimizer = sgd(1.0)
    resumed = build_lr_scheduler(config, resumed_optimizer)
    resumed.load_state_dict(scheduler.state_dict())
    resumed_optimizer.step()
    resumed.step()
    assert rates(resumed_optimizer) == pytest.approx([0.1])


def test_optimizer_state_goes_round(tiny):
    config = config_with()
    optimizer = build_optimizer(config, tiny)
    for parameter in tiny.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    twin = copy.deepcopy(tiny)
    resumed = build_optimizer(config, twin)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for model, opt in ((tiny, optimizer), (twin, resumed)):
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, -0.5)
        opt.step()
    for a, b in zip(tiny.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)
