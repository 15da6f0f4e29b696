"""Pictures with boxes as a data set of torch's."""

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from rtdetr_nb.datasets.annotations.annotation_cache import read_once
from rtdetr_nb.datasets.annotations.labels import LabelRule, check_labels
from rtdetr_nb.datasets.batches.seeding import seeded
from rtdetr_nb.datasets.batches.transforms import TransformPipeline
from rtdetr_nb.datasets.pictures.picture_file import decode
from rtdetr_nb.datasets.split import PictureBoxes, Split
from rtdetr_nb.errors import DatasetError

Target = dict[str, Tensor]
# (image, target, epoch) -> (image, target); see `transforms.TransformPipeline`.
Transforms = Callable[[Any, Target, int], tuple[Any, Target]]


class DetectionDataset(Dataset[tuple[Any, Target]]):
    """The pictures and boxes of a split, by the rules of the official data set.

    - Pictures come in the order of their ids; one without annotations is a sample without boxes.
    - Crowd annotations are left out; boxes are clipped to the picture; a box without width or
      height after that, or with a coordinate that is not a number, is left out.

    A target holds `boxes` (N, 4) as `BoundingBoxes`, xyxy in pixels (what transforms make of them
    is up to those), `labels` (N,) int64, `area` (N,) as annotated, in pixels of the file's picture,
    `iscrowd` (N,) zeros, `image_id` (1,), `orig_size` (2,) width and height, and `idx` (1,) and
    `epoch` (1,) as asked for.

    Args:
        split: the pictures; a worker shares its arrays with the process that made them.
        transforms: called with picture (PIL, RGB), target and epoch.
        num_classes: size of the class head; labels must be below it. None skips that check.
        seed: with epoch and index the key of all randomness in the transforms.

    Raises:
        DatasetError: pictures are missing, no box can be used, or a category does not fit.
    """

    def __init__(
        self,
        split: Split,
        transforms: Transforms | None = None,
        num_classes: int | None = None,
        seed: int = 0,
    ) -> None:
        self.split = split
        self.transforms = transforms
        self.seed = seed
        split.check_usable()
        check_labels(split.source, split.pictures, split.rule, num_classes)

    @property
    def ids(self) -> list[int]:
        """The ids of the pictures, in their order."""
        return self.split.pictures.image_ids.tolist()

    @property
    def label_names(self) -> dict[int, str]:
        """Name of each label that the annotation file has a category for."""
        return self.split.classes

    @cached_property
    def coco(self) -> Any:
        """The annotations as a `COCO` object, for an evaluation; made when it is first asked for.

        No data worker asks.
        """
        from rtdetr_nb.datasets.evaluation import ground_truth

        return ground_truth(self.split)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[Any, Target]:
        """The sample at `index`, transformed; `(epoch, index)` says for which epoch (else 0).

        Raises:
            DatasetError: the picture is missing or broken.
        """
        return self._sample(index, self.transforms)

    def __getitems__(self, indices: Sequence[int | tuple[int, int]]) -> list[tuple[Any, Target]]:
        """The samples of a batch, as a `DataLoader` asks for them.

        Pictures are bytes where dividing them by 255 is the last that is done to them.

        Raises:
            DatasetError: as for one sample.
        """
        transforms = self.transforms
        if isinstance(transforms, TransformPipeline):
            transforms = transforms.without_scaling()
        return [self._sample(index, transforms) for index in indices]

    def _sample(
        self, index: int | tuple[int, int], transforms: Transforms | None
    ) -> tuple[Any, Target]:
        epoch, index = index if isinstance(index, tuple) else (0, index)
        image, target = self.load(index)
        target["epoch"] = torch.tensor([epoch])
        if transforms is None:
            return image, target
        with seeded(self.seed, epoch, index):
            return transforms(image, target, epoch)

    def load(self, index: int) -> tuple[Image.Image, Target]:
        """The picture (RGB) and target at `index`, before any transform."""
        split = self.split
        image = decode(split.image_path(index), split.source, split.listed_size_wh(index))
        target = make_target(split.boxes(index), image.size)
        target["image_id"] = torch.tensor([int(split.pictures.image_ids[index])])
        target["idx"] = torch.tensor([index])
        return image, target


class CocoDetection(DetectionDataset):
    """The data set of a folder and a COCO-format file, with the labels of the official data set.

    The label of a box is its `category_id` as it stands, or, with `remap_mscoco_category`, the
    place 0..79 of its id among COCO's 80.

    Args:
        img_folder: folder that the file names in the annotations are relative to.
        ann_file: COCO-format JSON.
        transforms: as in `DetectionDataset`.
        remap_mscoco_category: the category ids are COCO's 1..90.
        num_classes: as in `DetectionDataset`.
        seed: as in `DetectionDataset`.

    Raises:
        DatasetError: a file or folder is missing or cannot be read, or a category does not fit.
    """

    def __init__(
        self,
        img_folder: str | os.PathLike[str],
        ann_file: str | os.PathLike[str],
        transforms: Transforms | None = None,
        remap_mscoco_category: bool = False,
        num_classes: int | None = None,
        seed: int = 0,
    ) -> None:
        folder, file = Path(img_folder), Path(ann_file)
        rule = LabelRule(num_classes or 0, remap_mscoco_category)
        pictures = read_once(file)
        if not folder.is_dir():
            raise DatasetError(
                f"There is no folder {folder}. Set dataset.img_folder to the folder that holds the "
                f"pictures of {file}."
            )
        super().__init__(Split.of("", folder, pictures, rule), transforms, num_classes, seed)


def make_target(annotated: PictureBoxes, size_wh: tuple[int, int]) -> Target:
    """The boxes that a picture of this size, in pixels, is trained on; see `DetectionDataset`."""
    width, height = size_wh
    alone = ~annotated.crowds
    boxes = torch.from_numpy(annotated.boxes_xywh[alone].astype(np.float32)).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, height)
    keep = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
    return {
        "boxes": tv_tensors.BoundingBoxes(
            boxes[keep],
            format="XYXY",  # type: ignore[arg-type]  # the stubs know the enumeration only
            canvas_size=(height, width),
        ),
        "labels": torch.from_numpy(annotated.labels[alone].astype(np.int64))[keep],
        "area": torch.from_numpy(annotated.areas[alone].astype(np.float32))[keep],
        "iscrowd": torch.zeros(int(keep.sum()), dtype=torch.int64),
        "orig_size": torch.tensor([width, height]),
    }
