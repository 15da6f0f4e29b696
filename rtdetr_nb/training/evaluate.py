"""Average precision on a validation set, as COCO defines it.

Computed by faster-coco-eval, as in the official code; its figures equal those of pycocotools.
"""

import contextlib
import io
import itertools
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster
from torch import Tensor, nn
from torch.utils.data import DataLoader

from rtdetr_nb.boxes import xyxy_to_cxcywh
from rtdetr_nb.runs.records import STATISTICS
from rtdetr_nb.training.distributed import ALONE, Processes
from rtdetr_nb.training.precision import Precision

T = TypeVar("T")


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision over recall, interpolated as for COCO's AP: the mean of a curve is its AP.

    Attributes:
        recall: (101,) from 0 to 1.
        by_iou: the mean over the categories, (101,), by IoU threshold: "0.50", "0.75", and
            "0.50:0.95" for the mean over all ten.
        by_class: (101,) at an IoU threshold of 0.50, by category name; only those with a box.
    """

    recall: np.ndarray
    by_iou: dict[str, np.ndarray]
    by_class: dict[str, np.ndarray]

    @property
    def record(self) -> dict[str, Any]:
        """The curves as plain lists, to four digits."""
        return {
            "recall": _digits(self.recall),
            "by_iou": {iou: _digits(curve) for iou, curve in self.by_iou.items()},
            "by_class": {name: _digits(curve) for name, curve in self.by_class.items()},
        }


@dataclass(frozen=True)
class Evaluation:
    """Results on a validation set.

    Attributes:
        statistics: the figures of `STATISTICS`; None where no box is of that kind.
        per_class: AP by category name; None where a category has no box.
        num_images: pictures evaluated.
        precision_recall: the curves behind the figures.
    """

    statistics: dict[str, float | None]
    per_class: dict[str, float | None]
    num_images: int
    precision_recall: PrecisionRecall

    @property
    def figures(self) -> dict[str, Any]:
        """All but the curves, for the record of an evaluation."""
        return {
            "statistics": self.statistics,
            "per_class": self.per_class,
            "num_images": self.num_images,
        }

    @property
    def ap(self) -> float:
        """AP over IoU thresholds 0.50..0.95; 0 where the set has no box."""
        return self.statistics["AP"] or 0.0


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
    detections = [np.empty((0, 7))]  # a process may have no picture at all
    image_ids = []
    with contextlib.closing(predict(model, postprocessor, loader, device, precision)) as batches:
        for ids, results in _in_all(batches, processes, stop_requested):
            image_ids.extend(ids)
            for image_id, result in zip(ids, results, strict=True):
                detections.append(_coco_rows(image_id, result))
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


def score(coco: COCO, detections: np.ndarray, image_ids: list[int]) -> Evaluation:
    """COCO figures of detections.

    Args:
        coco: the annotations.
        detections: (N, 7), rows of image id, x, y, width, height in pixels, score, category id.
        image_ids: the pictures that were looked at.
    """
    # The library prints its progress; this is a library too.
    with contextlib.redirect_stdout(io.StringIO()):
        results = coco.loadRes(detections)
        evaluator = COCOeval_faster(coco, results, iouType="bbox", print_function=lambda *_: None)
        evaluator.params.imgIds = sorted(set(image_ids))
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    values = [None if value < 0 else float(value) for value in evaluator.stats[:12]]
    return Evaluation(
        statistics=dict(zip(STATISTICS, values, strict=True)),
        per_class=_per_class(evaluator, coco),
        num_images=len(set(image_ids)),
        precision_recall=_precision_recall(evaluator, coco),
    )


def _per_class(evaluator: Any, coco: COCO) -> dict[str, float | None]:
    precision = _precision_table(evaluator)
    per_class: dict[str, float | None] = {}
    for index, category_id in enumerate(evaluator.params.catIds):
        found = precision[:, :, index]
        found = found[found > -1]
        name = coco.cats[category_id]["name"]
        per_class[name] = float(found.mean()) if found.size else None
    return per_class


def _precision_recall(evaluator: Any, coco: COCO) -> PrecisionRecall:
    table = _precision_table(evaluator)
    # A category without a box is -1 throughout.
    with_boxes = [index for index in range(table.shape[2]) if (table[:, :, index] > -1).any()]
    table = table[:, :, with_boxes] if with_boxes else np.zeros((*table.shape[:2], 1))
    thresholds = np.asarray(evaluator.params.iouThrs)
    at_50, at_75 = (int(np.abs(thresholds - iou).argmin()) for iou in (0.5, 0.75))
    names = [coco.cats[evaluator.params.catIds[index]]["name"] for index in with_boxes]
    return PrecisionRecall(
        recall=np.asarray(evaluator.params.recThrs),
        by_iou={
            "0.50": table[at_50].mean(axis=1),
            "0.75": table[at_75].mean(axis=1),
            "0.50:0.95": table.mean(axis=(0, 2)),
        },
        by_class={name: table[at_50, :, column] for column, name in enumerate(names)},
    )


def _precision_table(evaluator: Any) -> np.ndarray:
    """Precision (IoU thresholds, recalls, categories), of boxes of all sizes."""
    # (IoU thresholds, recalls, categories, areas, detections): all areas, most detections
    return evaluator.eval["precision"][:, :, :, 0, -1]


def _digits(curve: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in curve]


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
