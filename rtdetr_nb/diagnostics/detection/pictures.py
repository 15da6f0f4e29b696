"""The pictures of a split for a detector on frozen features: read once, resized, with their boxes.

All access to the data of this folder is here.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.batches.coco import DetectionDataset
from rtdetr_nb.datasets.configured import SplitName, configured_split
from rtdetr_nb.datasets.evaluation import Evaluation, ground_truth, score
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.errors import DatasetError


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
    data: DataSource | str | os.PathLike[str] | None,
    split: SplitName,
    image_size: int,
    max_pictures: int,
) -> Pictures:
    """Read the pictures of a split, resized to squares; a larger split is thinned out evenly.

    Args:
        config: names the data unless `data` is given.
        data: what `open_data` takes.
        split: "train" or "val".
        image_size: height and width, in pixels.
        max_pictures: that are used.

    Raises:
        DatasetError: the data cannot be read, or no picture has a box.
    """
    whole = configured_split(config, split) if data is None else _split_of(data, split)
    used = whole.evenly(max_pictures)
    note = ""
    if len(used) < len(whole):
        note = f"{split}: {len(used)} of {len(whole)} pictures are used."
    dataset = DetectionDataset(used)
    read = [_read(dataset, index, image_size) for index in range(len(used))]
    if not any(len(target["labels"]) for _, target in read):
        raise DatasetError(
            f"{used.source} has no boxes; a detector needs some in the training and in the "
            "validation pictures."
        )
    sizes = torch.stack([target["orig_size"] for _, target in read])
    crowds = [_crowds(used, index, size, image_size) for index, size in enumerate(sizes)]
    return Pictures(
        images=torch.stack([image for image, _ in read]),
        boxes_xyxy=tuple(target["boxes"] for _, target in read),
        labels=tuple(target["labels"] for _, target in read),
        crowds_xyxy=tuple(boxes for boxes, _ in crowds),
        crowd_labels=tuple(labels for _, labels in crowds),
        sizes_wh=sizes,
        classes=dict(sorted(dataset.label_names.items())),
        evaluate=lambda found: _evaluate(used, sizes, image_size, found),
        note=note,
    )


def _read(
    dataset: DetectionDataset, index: int, image_size: int
) -> tuple[Tensor, dict[str, Tensor]]:
    image, target = dataset.load(index)
    resized = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
    boxes = target["boxes"].as_subclass(Tensor) * (image_size / target["orig_size"].repeat(2))
    return pil_to_tensor(resized), {**target, "boxes": boxes}


def _split_of(data: DataSource | str | os.PathLike[str], split: SplitName) -> Split:
    source = open_data(data)
    return source.train if split == "train" else source.val


def _crowds(split: Split, index: int, size_wh: Tensor, image_size: int) -> tuple[Tensor, Tensor]:
    """Regions of crowds of one picture, and their labels."""
    annotated = split.boxes(index)
    crowds = annotated.crowds & (annotated.labels >= 0)
    boxes = torch.from_numpy(annotated.boxes_xywh[crowds].astype(np.float32)).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    labels = torch.from_numpy(annotated.labels[crowds].astype(np.int64))
    return boxes * (image_size / size_wh.repeat(2)), labels


def _evaluate(
    split: Split, sizes_wh: Tensor, image_size: int, found: list[Detections]
) -> Evaluation:
    """COCO's figures, in pixels of the pictures as they are."""
    ids = split.pictures.image_ids.tolist()
    rows = [np.empty((0, 7))]
    for image_id, size_wh, detections in zip(ids, sizes_wh, found, strict=True):
        boxes = (detections.boxes_xyxy * (size_wh / image_size).repeat(2)).double().numpy()
        categories = [split.rule.output_id(label) for label in detections.labels.tolist()]
        columns = (np.full(len(boxes), image_id), boxes[:, :2], boxes[:, 2:] - boxes[:, :2],
                   detections.scores.double().numpy(), np.array(categories, float))  # fmt: skip
        rows.append(np.column_stack(columns))
    return score(ground_truth(split), np.concatenate(rows), ids)
