"""One optimizer update."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rtdetr_nb.errors import NonFiniteLossError
from rtdetr_nb.training.criterion import Criterion
from rtdetr_nb.training.precision import Precision
from rtdetr_nb.training.state import TrainingState

Batch = tuple[Tensor, Sequence[Mapping[str, Tensor]]]


@dataclass(frozen=True)
class StepResult:
    """What an update did: the total loss, its parts, and the gradient norm before clipping."""

    loss: float
    losses: dict[str, float]
    grad_norm: float


def train_step(
    state: TrainingState,
    network: nn.Module,
    criterion: Criterion,
    batch: Batch,
    precision: Precision,
    clip_max_norm: float,
) -> StepResult:
    """Forward, backward, clip, update, average, warm up.

    Args:
        state: changed in place.
        network: `state.model`, or what wraps it for several processes or compilation.
        criterion: the losses.
        batch: pictures (B, 3, H, W) in 0..1 and their targets, on the device.
        precision: of the forward pass; losses are always computed in float32.
        clip_max_norm: the gradient is scaled down to this norm; 0 leaves it alone.

    Raises:
        NonFiniteLossError: the loss or its gradient is not finite. The state is that before the
            step, norm statistics included.
    """
    images, targets = batch
    statistics = _NormStatistics(state.model)
    # Denoising noise and dropout are keyed by the step: resuming needs no generator state.
    torch.manual_seed(hash((state.seed, state.step)) & 0x7FFF_FFFF_FFFF_FFFF)
    with precision.autocast():
        outputs = network(images, targets)
    losses = criterion(outputs, targets)
    total = torch.stack(list(losses.values())).sum()
    scaler = state.scaler
    state.optimizer.zero_grad(set_to_none=True)
    (scaler.scale(total) if scaler else total).backward()
    if scaler:
        scaler.unscale_(state.optimizer)
    parameters = [p for p in state.model.parameters() if p.grad is not None]
    grad_norm = nn.utils.clip_grad_norm_(parameters, clip_max_norm or math.inf)
    # One transfer for all figures of the step.
    values = torch.stack([*losses.values(), total, grad_norm]).detach().tolist()
    result = StepResult(values[-2], dict(zip(losses, values[:-2], strict=True)), values[-1])
    _refuse_non_finite(result, state, targets, statistics)
    if scaler:
        scaler.step(state.optimizer)
        scaler.update()
    else:
        state.optimizer.step()
    if state.ema:
        state.ema.update(state.model)
    if state.warmup:
        state.warmup.step()
    state.step += 1
    state.batch += 1
    return result


class _NormStatistics:
    """The running statistics of live norms, which a forward pass changes, to be put back."""

    def __init__(self, model: nn.Module) -> None:
        self._live = [
            buffer
            for module in model.modules()
            if isinstance(module, _BatchNorm)
            for buffer in module.buffers(recurse=False)
        ]
        self._saved = [buffer.clone() for buffer in self._live]

    def restore(self) -> None:
        for buffer, saved in zip(self._live, self._saved, strict=True):
            buffer.copy_(saved)


def _refuse_non_finite(
    result: StepResult,
    state: TrainingState,
    targets: Sequence[Mapping[str, Tensor]],
    statistics: _NormStatistics,
) -> None:
    # With a gradient scaler an overflowing gradient is normal: the scaler skips that update.
    gradient_is_bad = not math.isfinite(result.grad_norm) and state.scaler is None
    if math.isfinite(result.loss) and not gradient_is_bad:
        return
    statistics.restore()
    bad = {name: value for name, value in result.losses.items() if not math.isfinite(value)}
    what = f"the loss is {result.loss}" if bad else f"the gradient norm is {result.grad_norm}"
    image_ids = [int(target["image_id"]) for target in targets if "image_id" in target]
    parts = ", ".join(f"{name} {value}" for name, value in bad.items()) or "all losses are finite"
    raise NonFiniteLossError(
        f"At step {state.step} {what} ({parts}); images of the batch: {image_ids}. The state "
        "before this step is kept. Look at these pictures and their boxes, lower the learning "
        "rate, or train without --use-amp."
    )
