"""A model's average precision on a validation set, as COCO defines it."""

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from faster_coco_eval import COCO
from torch import Tensor, nn
from torch.utils.data import DataLoader

from rtdetr_nb.boxes import xyxy_to_cxcywh
from rtdetr_nb.checkpoint.tuning.load import load_tuning_file
from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.batches.loader import build_dataloader
from rtdetr_nb.datasets.evaluation import Evaluation, score
from rtdetr_nb.model.build import build_model, build_postprocessor
from rtdetr_nb.training.assembly import without_download
from rtdetr_nb.training.distributed import ALONE, Processes, process_device
from rtdetr_nb.training.precision import Precision, choose_precision
from rtdetr_nb.training.state import load_evaluated_weights

T = TypeVar("T")


class EvaluationStopped(Exception):
    """An evaluation was given up, as asked, before it had seen all pictures."""


def evaluate(
    model: nn.Module,
    postprocessor: nn.Module,
    loader: DataLoader[Any],
    coco: COCO,
    device: torch.device,
    precision: Precision,
    processes: Processes = ALONE,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Run the model over all batches of `loader` and compare with the annotations `coco`.

    Each of several processes looks at the pictures of its own loader; together they have each
    picture once, and all get the result of the whole. The model is left in the mode, training or
    evaluation, in which it was.

    Raises:
        EvaluationStopped: `stop_requested`, asked behind each batch, was true in any process; it is
            raised in all of them.
        UserError: a picture cannot be used, in any process.
    """
    steps = evaluate_in_steps(
        model, postprocessor, loader, coco, device, precision, processes, stop_requested
    )
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def evaluate_in_steps(
    model: nn.Module,
    postprocessor: nn.Module,
    loader: DataLoader[Any],
    coco: COCO,
    device: torch.device,
    precision: Precision,
    processes: Processes = ALONE,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Generator[int, None, Evaluation]:
    """As `evaluate`, yielding after each batch how many pictures this process has looked at."""
    detections = [np.empty((0, 7))]  # a process may have no picture at all
    image_ids = []
    with contextlib.closing(predict(model, postprocessor, loader, device, precision)) as batches:
        for ids, results in _in_all(batches, processes, stop_requested):
            image_ids.extend(ids)
            for image_id, result in zip(ids, results, strict=True):
                detections.append(_coco_rows(image_id, result))
            yield len(image_ids)
    shares = processes.gather((np.concatenate(detections), image_ids))
    rows = np.concatenate([rows for rows, _ in shares])
    all_ids = [image_id for _, ids in shares for image_id in ids]
    return processes.from_first(lambda: score(coco, rows, all_ids))


def _in_all(
    batches: Iterator[T], processes: Processes, stop_requested: Callable[[], bool]
) -> Iterator[T]:
    """Yield this process's batches, and wait for those that have more of them."""
    goes_on = True
    while processes.any(goes_on):
        fetched: list[T] = []
        with processes.failing_together():
            fetched.extend(itertools.islice(batches, 1))
        yield from fetched
        goes_on = bool(fetched)
        if processes.any(stop_requested()):
            raise EvaluationStopped


@torch.no_grad()
def predict(
    model: nn.Module,
    postprocessor: nn.Module,
    loader: DataLoader[Any],
    device: torch.device,
    precision: Precision,
) -> Generator[tuple[list[int], list[dict[str, Tensor]]], None, None]:
    """Image ids and detections, batch by batch; boxes are xyxy in pixels of the original."""
    was_training = model.training
    model.eval()
    try:
        for images, targets in loader:
            with precision.autocast():
                outputs = model(images.to(device, non_blocking=True))
            outputs = {name: value.float() for name, value in outputs.items()}
            sizes_wh = torch.stack([target["orig_size"] for target in targets]).to(device)
            ids = [int(target["image_id"]) for target in targets]
            yield ids, postprocessor(outputs, sizes_wh)
    finally:
        model.train(was_training)


def _coco_rows(image_id: int, result: dict[str, Tensor]) -> np.ndarray:
    boxes = result["boxes"].cpu()
    size = xyxy_to_cxcywh(boxes)[:, 2:]
    columns = [
        torch.full((len(boxes), 1), image_id, dtype=torch.float64),
        boxes[:, :2].double(),
        size.double(),
        result["scores"].cpu().double()[:, None],
        result["labels"].cpu().double()[:, None],
    ]
    return torch.cat(columns, dim=1).numpy()


def evaluate_state(
    model: nn.Module,
    postprocessor: nn.Module,
    loader: DataLoader[Any],
    device: torch.device,
    precision: Precision,
    processes: Processes = ALONE,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Evaluate on the data set that `loader` reads; all processes get the result of the whole.

    Raises:
        EvaluationStopped: as `stop_requested` asked between two batches.
    """
    coco = loader.dataset.coco  # type: ignore[attr-defined]  # of a `DetectionLoader`
    processes.copy_buffers(model)
    return evaluate(
        model, postprocessor, loader, coco, device, precision, processes, stop_requested
    )


def evaluate_weights(
    config: Config,
    *,
    tuning: Path | None = None,
    resume: Path | None = None,
    processes: Processes = ALONE,
) -> Evaluation:
    """Evaluate a tuning file, or the weights that `-r` names, on the validation set.

    Raises:
        UserError: the weights or the data cannot be used.
    """
    with processes.failing_together():
        device = process_device(config.device, processes)
        precision = choose_precision(device, config.use_amp)
        model = build_model(without_download(config, tuning or resume))
        if tuning:
            load_tuning_file(model, tuning)
        elif resume:
            load_evaluated_weights(model, resume, config.use_ema)
        rank, size = processes.rank, processes.size
        loader = build_dataloader(config, "val", rank=rank, world_size=size, device=device)
        model.to(device)
    return evaluate_state(model, build_postprocessor(config), loader, device, precision, processes)
