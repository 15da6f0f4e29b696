"""One training step of the small detector: its state, its batch, and the step itself."""

import torch
from torch import Tensor

from rtdetr_nb.config.config import Config
from rtdetr_nb.model.build import build_model
from rtdetr_nb.training.ema import ModelEMA
from rtdetr_nb.training.losses.criterion import build_criterion
from rtdetr_nb.training.optimizer import LinearWarmup, build_lr_scheduler, build_optimizer
from rtdetr_nb.training.precision import Precision
from rtdetr_nb.training.state import TrainingState
from rtdetr_nb.training.step import StepResult, train_step

FLOAT32 = Precision("cpu", None)


def make_state(config: Config, seed: int = 3) -> TrainingState:
    """A fresh model with all that a step changes; equal for equal seeds."""
    torch.manual_seed(seed)
    model = build_model(config).train()
    optimizer = build_optimizer(config, model)
    return TrainingState(
        model=model,
        optimizer=optimizer,
        lr_scheduler=build_lr_scheduler(config, optimizer),
        warmup=LinearWarmup(optimizer, 2),
        ema=ModelEMA(model, decay=0.5, warmups=1),
        scaler=None,
        seed=seed,
    )


def make_batch(boxes_per_image: tuple[int, ...] = (2, 3)) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Pictures (B, 3, 64, 64) with as many boxes as given, always the same."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(len(boxes_per_image), 3, 64, 64, generator=generator)
    targets = []
    for image_id, count in enumerate(boxes_per_image):
        center = 0.3 + 0.4 * torch.rand(count, 2, generator=generator)
        size = 0.1 + 0.3 * torch.rand(count, 2, generator=generator)
        targets.append(
            {
                "labels": torch.randint(0, 10, (count,), generator=generator),
                "boxes": torch.cat([center, size], dim=1),
                "image_id": torch.tensor([40 + image_id]),
            }
        )
    return images, targets


def do_step(
    state: TrainingState, config: Config, batch: object = None, clip: float = 0.1
) -> StepResult:
    """One step in float32 on the CPU."""
    criterion = build_criterion(config)
    return train_step(state, state.model, criterion, batch or make_batch(), FLOAT32, clip)  # type: ignore[arg-type]
