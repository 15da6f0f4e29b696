"""The pictures of a split for a detector on frozen features: read once, resized, with their boxes.

All access to the data of this folder is here.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from rtdetr_nb.coco_categories import COCO_LABELS
from rtdetr_nb.config.load import Config
from rtdetr_nb.datasets.coco import CocoDetection
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.training.evaluate import Evaluation, score


@dataclass(frozen=True)
class Detections:
    """Boxes that were found in one picture.

    Attributes:
        boxes_xyxy: (N, 4) in pixels of the resized picture.
        scores: (N,) in 0..1, the best first.
        labels: (N,) int64.
    """

    boxes_xyxy: Tensor
    scores: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Pictures:
    """Pictures of one split and their boxes.

    Attributes:
        images: (N, 3, S, S) uint8.
        boxes_xyxy: for each picture (n, 4), in pixels of the resized picture.
        labels: for each picture (n,) int64.
        crowds_xyxy: for each picture its regions of crowds, where what is found does not count.
        crowd_labels: for each picture the labels of those.
        sizes_wh: (N, 2) width and height before resizing.
        classes: name of each label.
        evaluate: COCO's figures of what was found, one `Detections` a picture.
        note: a sentence where not all pictures are used.
    """

    images: Tensor = field(repr=False)
    boxes_xyxy: tuple[Tensor, ...] = field(repr=False)
    labels: tuple[Tensor, ...] = field(repr=False)
    crowds_xyxy: tuple[Tensor, ...] = field(repr=False)
    crowd_labels: tuple[Tensor, ...] = field(repr=False)
    sizes_wh: Tensor = field(repr=False)
    classes: dict[int, str]
    evaluate: Callable[[list[Detections]], Evaluation] = field(repr=False)
    note: str = ""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def num_boxes(self) -> int:
        """Boxes of all pictures, crowds left out."""
        return sum(map(len, self.labels))


def read_pictures(
    config: Config,
    data: str | os.PathLike[str] | None,
    split: str,
    image_size: int,
    max_pictures: int,
) -> Pictures:
    """Read the pictures of a split, resized to squares; a larger split is thinned out evenly.

    Args:
        config: names the data unless `data` is given.
        data: a folder with `images/{train,val}` and COCO-format `annotations/{train,val}.json`.
        split: "train" or "val".
        image_size: height and width, in pixels.
        max_pictures: that are used.

    Raises:
        DatasetError: the data cannot be read, or no picture has a box.
    """
    section = {"train": config.train_dataloader, "val": config.val_dataloader}[split].dataset
    folder, annotations = Path(section.img_folder), Path(section.ann_file)
    remap = config.remap_mscoco_category
    if data is not None:
        folder = Path(data) / "images" / split
        annotations, remap = Path(data) / "annotations" / f"{split}.json", False
    dataset = CocoDetection(folder, annotations, remap_mscoco_category=remap)
    chosen = np.arange(len(dataset))
    note = ""
    if len(chosen) > max_pictures:
        note = f"{split}: {max_pictures} of {len(chosen)} pictures are used."
        chosen = np.linspace(0, len(chosen) - 1, max_pictures).astype(int)
    read = [_read(dataset, int(index), image_size) for index in chosen]
    if not any(len(target["labels"]) for _, target in read):
        raise DatasetError(
            f"{annotations} has no boxes; a detector needs some in the training and in the "
            "validation pictures."
        )
    ids = [dataset.ids[int(index)] for index in chosen]
    sizes = torch.stack([target["orig_size"] for _, target in read])
    crowds = [_crowds(dataset, image_id, size, image_size)
              for image_id, size in zip(ids, sizes, strict=True)]  # fmt: skip
    return Pictures(
        images=torch.stack([image for image, _ in read]),
        boxes_xyxy=tuple(target["boxes"] for _, target in read),
        labels=tuple(target["labels"] for _, target in read),
        crowds_xyxy=tuple(boxes for boxes, _ in crowds),
        crowd_labels=tuple(labels for _, labels in crowds),
        sizes_wh=sizes,
        classes=dict(sorted(dataset.label_names.items())),
        evaluate=lambda found: _evaluate(dataset, ids, sizes, image_size, found),
        note=note,
    )


def _read(dataset: CocoDetection, index: int, image_size: int) -> tuple[Tensor, dict[str, Tensor]]:
    image, target = dataset.load(index)
    resized = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
    boxes = target["boxes"].as_subclass(Tensor) * (image_size / target["orig_size"].repeat(2))
    return pil_to_tensor(resized), {**target, "boxes": boxes}


def _label(dataset: CocoDetection, category: int) -> int:
    return COCO_LABELS[category] if dataset.remap_mscoco_category else category


def _crowds(
    dataset: CocoDetection, image_id: int, size_wh: Tensor, image_size: int
) -> tuple[Tensor, Tensor]:
    """Regions of crowds of one picture, and their labels."""
    rows = [a for a in dataset.coco.imgToAnns.get(image_id, []) if a.get("iscrowd", 0)]
    boxes = torch.tensor([a["bbox"] for a in rows], dtype=torch.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    labels = torch.tensor([_label(dataset, a["category_id"]) for a in rows], dtype=torch.int64)
    return boxes * (image_size / size_wh.repeat(2)), labels


def _evaluate(
    dataset: CocoDetection,
    ids: list[int],
    sizes_wh: Tensor,
    image_size: int,
    found: list[Detections],
) -> Evaluation:
    """COCO's figures, in pixels of the pictures as they are."""
    category_of = {_label(dataset, category): category for category in dataset.coco.cats}
    rows = [np.empty((0, 7))]
    for image_id, size_wh, detections in zip(ids, sizes_wh, found, strict=True):
        boxes = (detections.boxes_xyxy * (size_wh / image_size).repeat(2)).double().numpy()
        categories = [category_of[label] for label in detections.labels.tolist()]
        columns = (np.full(len(boxes), image_id), boxes[:, :2], boxes[:, 2:] - boxes[:, :2],
                   detections.scores.double().numpy(), np.array(categories, float))  # fmt: skip
        rows.append(np.column_stack(columns))
    return score(dataset.coco, np.concatenate(rows), ids)
