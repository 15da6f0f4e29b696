"""The moving average of the weights."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from rtdetr_nb.training.ema import ModelEMA


def make_model() -> nn.Module:
    """Parameters, floating-point buffers, and an integer and a boolean buffer."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model.register_buffer("mask", torch.tensor([True, False]))
    return model.double()


def shake(model: nn.Module) -> None:
    """Change every floating-point tensor, and the counter."""
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.randn_like(tensor))
            elif tensor.dtype == torch.int64:
                tensor.add_(1)


def averages_by_hand(states: list[dict[str, Tensor]], decay: float, warmups: int):
    """Float tensors after following the states, the first of which is the start."""
    average = {k: v.clone() for k, v in states[0].items() if v.is_floating_point()}
    for update, state in enumerate(states[1:], start=1):
        d = decay * (1 - math.exp(-update / warmups))
        average = {k: d * v + (1 - d) * state[k] for k, v in average.items()}
    return average


@pytest.fixture
def followed() -> tuple[ModelEMA, list[dict[str, Tensor]]]:
    """An average after five updates, and the states that it saw."""
    model = make_model()
    ema = ModelEMA(model, decay=0.9, warmups=3)
    states = [copy.deepcopy(model.state_dict())]
    for _ in range(5):
        shake(model)
        ema.update(model)
        states.append(copy.deepcopy(model.state_dict()))
    return ema, states


def worst(ema: ModelEMA, expected: dict[str, Tensor]) -> float:
    state = ema.module.state_dict()
    return max((state[name] - value).abs().max().item() for name, value in expected.items())


def test_infinite_anchors_stay_as_they_are():
    model = make_model()
    anchors = torch.tensor([[math.inf, 0.5]])
    model.register_buffer("anchors", anchors.clone())
    ema = ModelEMA(model, decay=0.9, warmups=3)
    ema.update(model)
    assert torch.equal(ema.module.get_buffer("anchors"), anchors)


def test_average_by_hand(followed):
    ema, states = followed
    assert ema.updates == 5
    expected = averages_by_hand(states, decay=0.9, warmups=3)
    assert {"1.running_mean", "1.running_var", "0.weight"} <= expected.keys()
    assert worst(ema, expected) < 1e-12


def test_bugs_in_the_average_are_noticed(followed):
    ema, states = followed
    assert worst(ema, averages_by_hand(states, 0.9, warmups=4)) > 1e-3
    assert worst(ema, averages_by_hand(states, 0.99, warmups=3)) > 1e-3
    assert worst(ema, averages_by_hand(states, 0.9, warmups=1)) > 1e-3
    assert worst(ema, averages_by_hand(states[1:], 0.9, warmups=3)) > 1e-3  # one update lost
    buffers_left_alone = {k: v for k, v in states[0].items() if "running" in k}
    buffers_copied = {k: v for k, v in states[-1].items() if "running" in k}
    assert worst(ema, buffers_left_alone) > 1e-3
    assert worst(ema, buffers_copied) > 1e-3


def test_integers_and_booleans_stay_as_they_were(followed):
    ema, states = followed
    state = ema.module.state_dict()
    assert states[-1]["1.num_batches_tracked"].item() == 5
    assert state["1.num_batches_tracked"].item() == 0
    assert state["mask"].tolist() == [True, False]


def test_first_update_is_nearly_a_copy():
    model = make_model()
    ema = ModelEMA(model, decay=0.9999, warmups=2000)
    shake(model)
    ema.update(model)
    expected = {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
    assert 0 < worst(ema, expected) < 3 * 0.9999 / 2000


def test_the_average_is_a_copy_for_evaluation():
    model = make_model().train()
    ema = ModelEMA(model, decay=0.9999, warmups=2000)
    assert not ema.module.training and model.training
    assert not any(parameter.requires_grad for parameter in ema.module.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    before = copy.deepcopy(ema.module.state_dict())
    shake(model)
    assert all(torch.equal(before[key], x) for key, x in ema.module.state_dict().items())


def test_following_leaves_the_model_alone():
    model = make_model()
    ema = ModelEMA(model, decay=0.9, warmups=3)
    shake(model)
    before = copy.deepcopy(model.state_dict())
    ema.update(model)
    assert all(torch.equal(before[key], x) for key, x in model.state_dict().items())


def test_state_goes_round(followed):
    ema, _ = followed
    state = copy.deepcopy(ema.state_dict())
    assert state.keys() == {"module", "updates"}
    resumed = ModelEMA(make_model(), decay=0.9, warmups=3)
    resumed.load_state_dict(state)
    model = make_model()
    ema.update(model)
    resumed.update(model)
    assert resumed.updates == ema.updates == 6
    for key, value in ema.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[key], value)


def test_a_state_without_updates_keeps_the_count(followed):
    ema, _ = followed
    ema.load_state_dict({"module": ema.module.state_dict()})
    assert ema.updates == 5
