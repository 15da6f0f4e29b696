import copy
import math
from typing import Any

import pytest
import torch

from bench.straightforward import attention_by_maps, make_straightforward
from rtdetr_nb.config.config import Config
from rtdetr_nb.errors import NonFiniteLossError
from rtdetr_nb.training.losses.criterion import build_criterion
from rtdetr_nb.training.precision import Precision
from rtdetr_nb.training.state import TrainingState
from rtdetr_nb.training.step import train_step
from tests.training.one_step import FLOAT32, do_step, make_batch, make_state


def test_steps_lower_the_loss_and_count(small_config: Config) -> None:
    config = small_config.override(["optimizer.lr=0.004", "RTDETRTransformerv2.num_denoising=0"])
    state = make_state(config)
    losses = [do_step(state, config, clip=1.0).loss for _ in range(15)]
    assert min(losses[-3:]) < 0.8 * losses[0], losses
    assert (state.step, state.batch) == (15, 15)
    assert state.ema is not None and state.ema.updates == 15


def test_what_the_speed_is_measured_against_computes_the_same(small_config: Config) -> None:
    ours, theirs = make_state(small_config), make_state(small_config)
    criterion = build_criterion(small_config)
    make_straightforward(theirs.model, criterion, theirs.optimizer)
    for _ in range(3):
        quick = do_step(ours, small_config)
        with attention_by_maps():
            plain = train_step(theirs, theirs.model, criterion, make_batch(), FLOAT32, 0.1)
        assert plain.losses == pytest.approx(quick.losses, rel=1e-3)
        assert plain.grad_norm == pytest.approx(quick.grad_norm, rel=1e-2)


def test_total_is_the_sum_of_the_named_losses(small_config: Config) -> None:
    result = do_step(make_state(small_config), small_config)
    assert math.isclose(sum(result.losses.values()), result.loss, rel_tol=1e-5)
    assert {"loss_vfl", "loss_bbox_aux_0", "loss_giou_dn_1", "loss_vfl_enc_0"} <= set(result.losses)


def test_same_seed_and_step_give_the_same_figures(small_config: Config) -> None:
    results = []
    for disturbance in (1, 2):
        state = make_state(small_config)
        torch.manual_seed(disturbance)  # whatever else has drawn random numbers
        results.append([do_step(state, small_config) for _ in range(2)])
    assert results[0] == results[1]
    other = make_state(small_config)
    other.seed = 4  # the same weights, other denoising noise
    assert do_step(other, small_config) != results[0][0]


def test_gradient_is_clipped_to_the_norm(small_config: Config) -> None:
    state = make_state(small_config)
    do_step(state, small_config, clip=0.1)
    gradients = [p.grad for p in state.model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    assert norm.item() == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize("boxes_per_image", [(0, 3), (0, 0)])
def test_images_without_boxes_train(small_config: Config, boxes_per_image: tuple[int, int]) -> None:
    result = do_step(make_state(small_config), small_config, make_batch(boxes_per_image))
    assert math.isfinite(result.loss) and math.isfinite(result.grad_norm)
    assert result.loss > 0


@pytest.mark.parametrize("where", ["pictures", "weights", "gradient"])
def test_what_is_not_finite_stops_before_it_does_harm(small_config: Config, where: str) -> None:
    state = make_state(small_config)
    images, targets = make_batch()
    do_step(state, small_config, (images, targets))
    bias = state.model.get_parameter("decoder.dec_score_head.0.bias")
    if where == "pictures":
        images = images.clone()
        images[0, 0, 0, 0] = math.nan
    elif where == "weights":
        with torch.no_grad():
            bias[0] = math.inf
    else:
        bias.register_hook(lambda gradient: gradient * math.nan)
    before = copy.deepcopy(state.state_dict())
    with pytest.raises(NonFiniteLossError, match=r"At step 1 .*images of the batch: \[40, 41\]"):
        do_step(state, small_config, (images, targets))
    after = state.state_dict()
    for name, value in before["model"].items():
        torch.testing.assert_close(after["model"][name], value, rtol=0, atol=0, equal_nan=True)
    assert after["rtdetr_nb"] == before["rtdetr_nb"]
    assert after["lr_warmup_scheduler"] == before["lr_warmup_scheduler"]


def test_bfloat16_stays_near_float32(small_config: Config) -> None:
    losses = {}
    for dtype in (None, torch.bfloat16):
        state = make_state(small_config)
        criterion = build_criterion(small_config)
        precision = Precision("cpu", dtype)
        result = train_step(state, state.model, criterion, make_batch((1,)), precision, 0.1)
        losses[dtype] = result.loss
    difference = abs(losses[torch.bfloat16] / losses[None] - 1)
    # bfloat16 keeps 8 bits: equal to the last digit would mean that it was not used.
    assert 1e-7 < difference < 0.05


def _spoil_gradients(state: TrainingState) -> Any:
    parameter = next(p for p in state.model.parameters() if p.requires_grad)
    return parameter.register_hook(lambda gradient: gradient * torch.inf)


@pytest.mark.slow
def test_gradients_that_stay_infinite_end_a_run_with_a_scaler(small_config: Config) -> None:
    state = make_state(small_config)
    state.scaler = torch.amp.GradScaler("cpu")
    before = {name: value.clone() for name, value in state.model.named_parameters()}
    _spoil_gradients(state)
    with pytest.raises(NonFiniteLossError, match="the gradient norm is (nan|inf)"):
        for _ in range(40):
            do_step(state, small_config)
    assert 10 < state.step < 40 and state.scaler.get_scale() > 1e-4
    assert all(torch.equal(before[name], p) for name, p in state.model.named_parameters())


@pytest.mark.slow
def test_a_scaler_may_skip_updates_now_and_then(small_config: Config) -> None:
    state = make_state(small_config)
    state.scaler = torch.amp.GradScaler("cpu")
    for _ in range(2):
        hook = _spoil_gradients(state)
        for _ in range(15):
            do_step(state, small_config)
        hook.remove()
        do_step(state, small_config)
        assert state.skipped_updates == 0
    assert all(p.isfinite().all() for p in state.model.parameters())
