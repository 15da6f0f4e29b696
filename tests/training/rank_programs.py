"""What the processes of the tests of distributed training do, beside the command line itself."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import UserError
from rtdetr_nb.training.assembly import Assembly, TrainingOptions, assemble
from rtdetr_nb.training.distributed import Processes, join_processes
from rtdetr_nb.training.evaluate import EvaluationStopped, evaluate_state
from rtdetr_nb.training.step import Batch, train_step


def take_steps(config_file: str, count: str, result: str) -> None:
    """Train some steps with the norms as they are; save what each process then has."""
    with join_processes("cpu") as processes:
        parts = _assemble(config_file, processes)
        accumulate = load_config(config_file).accumulate
        losses = _steps(parts, processes, int(count), accumulate=accumulate)
        _save(parts, losses, f"{result}.{processes.rank}")


def take_one_step_with_a_bad_picture(config_file: str, result: str) -> None:
    """The last process sees a picture that is not a number."""

    def spoil(batch: Batch) -> Batch:
        images, targets = batch
        return (images * math.nan if processes.rank == processes.size - 1 else images), targets

    with join_processes("cpu") as processes:
        parts = _assemble(config_file, processes)
        try:
            _steps(parts, processes, 1, spoil)
        except UserError as error:
            Path(f"{result}.{processes.rank}").write_text(f"{type(error).__name__}: {error}")


def give_up_an_evaluation(config_file: str, result: str) -> None:
    """The last process, which has fewer pictures, asks for it once it has no more."""
    with join_processes("cpu") as processes:
        parts = _assemble(config_file, processes)
        asked = 0

        def stop_requested() -> bool:
            nonlocal asked
            asked += 1
            return asked == 2 and processes.rank == processes.size - 1

        try:
            evaluate_state(
                parts.state.model,
                parts.postprocessor,
                parts.val_loader,
                parts.device,
                parts.precision,
                processes,
                stop_requested,
            )
        except EvaluationStopped:
            pictures = len(parts.val_loader.epoch_sampler)
            said = {"pictures": pictures, "asked": asked, "training": parts.state.model.training}
            torch.save(said, f"{result}.{processes.rank}")


def _assemble(config_file: str, processes: Processes) -> Assembly:
    parts = assemble(load_config(config_file), TrainingOptions(Path(), processes=processes))
    parts.state.model.train()
    for module in parts.state.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return parts


def _steps(
    parts: Assembly,
    processes: Processes,
    count: int,
    change: Callable[[Batch], Batch] = lambda batch: batch,
    accumulate: int = 1,
) -> list[float]:
    losses = []
    fetched = processes.in_step(parts.train_loader)
    # Not clipped: the gradient that stays in the parameters is the whole one.
    while batches := list(itertools.islice(fetched, accumulate)):
        result = train_step(
            parts.state,
            parts.network,
            parts.criterion,
            [change(batch) for batch in batches],
            parts.precision,
            0,
            processes,
        )
        losses.append(result.loss)
        if len(losses) == count:
            break
    return losses


def _save(parts: Assembly, losses: list[float], path: str) -> None:
    parameters = dict(parts.state.model.named_parameters())
    gradients = {name: p.grad for name, p in parameters.items() if p.grad is not None}
    torch.save({"losses": losses, "gradients": gradients, "parameters": parameters}, path)
