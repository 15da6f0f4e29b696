"""Average precision of detections, as COCO defines it.

Computed by faster-coco-eval, as in the official code; its figures equal those of pycocotools. Only
here are annotations `COCO` objects, and only those of the pictures that are evaluated.
"""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from rtdetr_nb.coco_categories import STATISTICS
from rtdetr_nb.datasets.annotations.ids import Id, id_of
from rtdetr_nb.errors import DatasetError

if TYPE_CHECKING:
    from rtdetr_nb.datasets.split import Split


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
        statistics: the figures of `STATISTICS`; None if no box is of that kind.
        per_class: AP by category name; None if a category has no box.
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


def ground_truth(split: Split) -> COCO:
    """The pictures of a split with their boxes, for an evaluation.

    Annotations are numbered anew from 1: ids that restart in each picture, or begin at 0, would
    spoil the matching. Boxes without size, which training leaves out and nothing can find, are left
    out. Categories have the ids that detections carry: COCO's, or the labels.
    """
    sizes, ids = split.pictures.sizes_wh.tolist(), split.pictures.image_ids.tolist()
    content = {
        "images": [
            {"id": each, "file_name": path, "width": width, "height": height}
            for each, path, (width, height) in zip(ids, split.paths, sizes, strict=True)
        ],
        "annotations": list(_annotations(split)),
        "categories": _named_categories(split),
    }
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(content)


def _annotations(split: Split) -> Iterator[dict[str, Any]]:
    columns, ids = split.pictures.boxes, split.pictures.image_ids
    boxes = columns.boxes_xywh
    sized = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    rows = np.flatnonzero(sized & (split.labels >= 0))
    for number, row in enumerate(rows.tolist(), start=1):
        yield {
            "id": number,
            "image_id": int(ids[columns.images[row]]),
            "category_id": split.rule.output_id(int(split.labels[row])),
            "bbox": boxes[row].tolist(),
            "area": float(columns.areas[row]),
            "iscrowd": int(columns.crowds[row]),
        }


def _named_categories(split: Split) -> list[dict[str, Any]]:
    """Categories, each with its own name: figures are told by name."""
    counts = Counter(split.classes.values())
    return [
        {
            "id": split.rule.output_id(label),
            "name": name if counts[name] == 1 else f"{name} {label}",
        }
        for label, name in split.classes.items()
    ]


def evaluate_results(split: Split, results: Sequence[Mapping[str, Any]]) -> Evaluation:
    """As `Split.evaluate`.

    Raises:
        DatasetError: a result has an id that the split does not have, or lacks a key.
    """
    images = {split.image_id(i): number for i, number in enumerate(_image_numbers(split))}
    rows = [
        _detection(split, images, result, f"result {place}") for place, result in enumerate(results)
    ]
    detections = np.array(rows, float).reshape(-1, 7)
    has_size = np.isfinite(detections).all(axis=1) & (detections[:, 3:5] > 0).all(axis=1)
    return score(ground_truth(split), detections[has_size], _image_numbers(split))


def _image_numbers(split: Split) -> list[int]:
    return split.pictures.image_ids.tolist()


def _detection(
    split: Split, images: Mapping[Id, int], result: Mapping[str, Any], name: str
) -> list[float]:
    """A result as `score` wants it."""
    try:
        image_id, category_id = id_of(result["image_id"]), id_of(result["category_id"])
        x, y, width, height = map(float, result["bbox"])
        confidence = float(result["score"])
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{name} is {str(result)[:120]}; expected image_id, category_id, bbox (four numbers) "
            "and score."
        ) from error
    # Where ids are texts, they are so in `image_id`, also those that could be numbers.
    image = images.get(str(image_id) if split.pictures.given_ids else image_id)  # type: ignore[arg-type]
    label = -1 if category_id is None else split.rule.label(category_id)
    if image is None or label < 0:
        raise DatasetError(
            f"{name} has the image_id {image_id!r} and the category_id {category_id!r}; "
            f"{split.source} does not list {'that picture' if image is None else 'that category'}."
        )
    return [image, x, y, width, height, confidence, split.rule.output_id(label)]
