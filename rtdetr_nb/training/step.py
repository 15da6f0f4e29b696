"""One optimizer update."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rtdetr_nb.errors import NonFiniteLossError
from rtdetr_nb.training.distributed import ALONE, Processes
from rtdetr_nb.training.losses.criterion import Criterion, mean_num_boxes
from rtdetr_nb.training.precision import Precision
from rtdetr_nb.training.state import TrainingState

Batch = tuple[Tensor, Sequence[Mapping[str, Tensor]]]

# The scaler halves its scale after each skipped update: after 24 of them it is below 0.01. If that
# does not help, the scale would reach 0, and the gradient times 0 would look finite.
_MOST_SKIPPED = 24


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
    batches: Batch | list[Batch],
    precision: Precision,
    clip_max_norm: float,
    processes: Processes = ALONE,
) -> StepResult:
    """Forward, backward, clip, update, average, warm up.

    The update of several batches is that of one batch with all their pictures, but for two things
    that are of each batch: the statistics of norms that are not frozen, and the number and noise of
    denoising queries.

    Args:
        state: changed in place.
        network: `state.model`, or what wraps it for several processes or compilation.
        criterion: the losses.
        batches: one or several of pictures (B, 3, H, W) in 0..1 and their targets, on the device.
        precision: of the forward pass; losses are always computed in float32.
        clip_max_norm: the gradient is scaled down to this norm; 0 leaves it alone.
        processes: those that take this step together, each with its share of the batch.

    Returns:
        Losses summed over the batches, which share one normalisation, and averaged over the
        processes.

    Raises:
        NonFiniteLossError: the loss or its gradient is not finite in at least one process. The
            state is as before the step, norm statistics included.
    """
    batches = batches if isinstance(batches, list) else [batches]
    statistics = _NormStatistics(state.model)
    state.optimizer.zero_grad(set_to_none=True)
    losses = _accumulate(state, network, criterion, batches, precision, processes)
    total = torch.stack(list(losses.values())).sum()
    grad_norm = _clip(state, clip_max_norm)
    # One transfer for all figures of the step.
    figures = torch.stack([*losses.values(), total, grad_norm]).detach()
    values = processes.mean(figures.clone()).tolist()
    result = StepResult(values[-2], dict(zip(losses, values[:-2], strict=True)), values[-1])
    state.skipped_updates = 0 if math.isfinite(result.grad_norm) else state.skipped_updates + 1
    if _is_bad(result, state):
        statistics.put_back()
        own = dict(zip(losses, figures.tolist(), strict=False))
        targets = [target for _, own_targets in batches for target in own_targets]
        raise _non_finite(result, state.step, own, targets, processes)
    _update(state, len(batches))
    return result


def _accumulate(
    state: TrainingState,
    network: nn.Module,
    criterion: Criterion,
    batches: Sequence[Batch],
    precision: Precision,
    processes: Processes,
) -> dict[str, Tensor]:
    """Add up the gradients of the batches in the parameters; returns the sums of their losses."""
    shared = {}
    if len(batches) > 1:  # each has its share of the losses, as each picture has within one batch
        targets = [target for _, own in batches for target in own]
        shared = {"num_boxes": mean_num_boxes(targets, batches[0][0].device)}
    sums: dict[str, Tensor] = {}
    for place, (images, targets) in enumerate(batches):
        torch.manual_seed(_noise_seed(state, processes.rank, place))
        # Processes exchange their gradients once, with the last batch.
        with processes.alone_with(network, place < len(batches) - 1):
            with precision.autocast():
                outputs = network(images, targets)
            losses = criterion(outputs, targets, **shared)
            total = torch.stack(list(losses.values())).sum()
            (state.scaler.scale(total) if state.scaler else total).backward()
        for name, value in losses.items():
            sums[name] = sums[name] + value.detach() if name in sums else value.detach()
    return sums


def _noise_seed(state: TrainingState, rank: int, place: int) -> int:
    """The seed of denoising noise and dropout.

    The step keys it, so that resuming needs no generator state. The rank does too, and the place of
    a batch within the update, or all shares of an update would have the same noise.
    """
    key = (state.seed, state.step, rank) + ((place,) if place else ())
    return hash(key) & 0x7FFF_FFFF_FFFF_FFFF


def _clip(state: TrainingState, clip_max_norm: float) -> Tensor:
    """Leave the clipped gradient in the parameters; returns its norm before clipping."""
    if state.scaler:
        state.scaler.unscale_(state.optimizer)
    parameters = [p for p in state.model.parameters() if p.grad is not None]
    return nn.utils.clip_grad_norm_(parameters, clip_max_norm or math.inf)


def _update(state: TrainingState, batches: int) -> None:
    """Update the weights, their average and the warm-up, and count the step and its batches."""
    if state.scaler:
        state.scaler.step(state.optimizer)
        state.scaler.update()
    else:
        state.optimizer.step()
    if state.ema:
        state.ema.update(state.model)
    if state.warmup:
        state.warmup.step()
    state.step += 1
    state.batch += batches


class _NormStatistics:
    """A copy of the running statistics, which a forward pass changes."""

    def __init__(self, model: nn.Module) -> None:
        self._live = [
            buffer
            for module in model.modules()
            if isinstance(module, _BatchNorm)
            for buffer in module.buffers(recurse=False)
        ]
        self._saved = [buffer.clone() for buffer in self._live]

    def put_back(self) -> None:
        for buffer, saved in zip(self._live, self._saved, strict=True):
            buffer.copy_(saved)


def _is_bad(result: StepResult, state: TrainingState) -> bool:
    # With a gradient scaler an overflowing gradient is normal: the scaler skips that update.
    most = _MOST_SKIPPED if state.scaler else 0
    return state.skipped_updates > most or not math.isfinite(result.loss)


def _non_finite(
    result: StepResult,
    step: int,
    own_losses: Mapping[str, float],
    targets: Sequence[Mapping[str, Tensor]],
    processes: Processes,
) -> NonFiniteLossError:
    """The error; it names the pictures of those processes whose losses are not finite."""
    bad = {name: value for name, value in result.losses.items() if not math.isfinite(value)}
    own_is_bad = not all(map(math.isfinite, own_losses.values()))
    image_ids = [int(target["image_id"]) for target in targets if "image_id" in target]
    shares = processes.gather((own_is_bad, image_ids))
    # If only the gradient is not finite, it may come from any process.
    suspects = [ids for is_bad, ids in shares if is_bad] or [ids for _, ids in shares]
    what = f"the loss is {result.loss}" if bad else f"the gradient norm is {result.grad_norm}"
    parts = ", ".join(f"{name} {value}" for name, value in bad.items()) or "all losses are finite"
    return NonFiniteLossError(
        f"At step {step} {what} ({parts}); images of the batch: {sum(suspects, [])}. The state "
        "before this step is kept. Look at these pictures and their boxes, lower the learning "
        "rate, or train without --use-amp."
    )
