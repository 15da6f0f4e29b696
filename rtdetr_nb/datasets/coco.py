"""Pictures with boxes from a folder and a COCO-format annotation file."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from faster_coco_eval import COCO
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors

from rtdetr_nb.coco_categories import COCO_LABELS
from rtdetr_nb.datasets.seeding import seeded
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.text.listing import first_of

Target = dict[str, Tensor]
# (image, target, epoch) -> (image, target); see `transforms.TransformPipeline`.
Transforms = Callable[[Any, Target, int], tuple[Any, Target]]

_CHECKED_FILES = 3  # pictures whose existence is checked before anything starts


class CocoDetection(Dataset[tuple[Any, Target]]):
    """COCO-format pictures and boxes, by the rules of the official data set.

    - Pictures come in the order of their ids; one without annotations is a sample without boxes.
    - Crowd annotations are left out; boxes are clipped to the picture; a box without width or
      height after that, or with a coordinate that is not a number, is left out.
    - The label of a box is its `category_id` as it stands, or, with `remap_mscoco_category`, the
      place 0..79 of its id among COCO's 80.
    - Annotations of pictures that the file does not list are not looked at.

    A target holds `boxes` (N, 4) as `BoundingBoxes`, xyxy in pixels (what transforms make of them
    is up to those), `labels` (N,) int64, `area` (N,) as annotated, in pixels of the file's picture,
    `iscrowd` (N,) zeros, `image_id` (1,), `orig_size` (2,) width and height, and `idx` (1,) and
    `epoch` (1,) as asked for.

    Args:
        img_folder: folder that the file names in the annotations are relative to.
        ann_file: COCO-format JSON.
        transforms: called with picture (PIL, RGB), target and epoch.
        remap_mscoco_category: the category ids are COCO's 1..90.
        num_classes: size of the class head; labels must be below it. None skips that check.
        seed: with epoch and index the key of all randomness in the transforms.

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
        self.img_folder, self.ann_file = Path(img_folder), Path(ann_file)
        self.transforms = transforms
        self.remap_mscoco_category = remap_mscoco_category
        self.seed = seed
        self.coco = read_annotations(self.ann_file)
        self.ids: list[int] = sorted(self.coco.imgs)
        self._check_files()
        self._check_categories(num_classes)

    @property
    def label_names(self) -> dict[int, str]:
        """Name of each label that the annotation file has a category for."""
        names = {i: str(c.get("name", i)) for i, c in self.coco.cats.items()}
        return {self._label(i): name for i, name in names.items() if self._label(i) >= 0}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[Any, Target]:
        """The sample at `index`, transformed; `(epoch, index)` says for which epoch (else 0).

        Raises:
            DatasetError: the picture is missing or broken, or an annotation is malformed.
        """
        epoch, index = index if isinstance(index, tuple) else (0, index)
        image, target = self.load(index)
        target["epoch"] = torch.tensor([epoch])
        if self.transforms is None:
            return image, target
        with seeded(self.seed, epoch, index):
            return self.transforms(image, target, epoch)

    def load(self, index: int) -> tuple[Image.Image, Target]:
        """The picture (RGB) and target at `index`, before any transform."""
        image_id = self.ids[index]
        image = self._read_image(self.img_folder / self.coco.imgs[image_id]["file_name"])
        target = self._make_target(self.coco.imgToAnns.get(image_id, []), image.size)
        target["image_id"] = torch.tensor([image_id])
        target["idx"] = torch.tensor([index])
        return image, target

    def _read_image(self, path: Path) -> Image.Image:
        try:
            with Image.open(path) as image:
                return image.convert("RGB")
        except FileNotFoundError as error:
            raise self._missing(path) from error
        # Pillow reports damage by OSError, SyntaxError, ValueError and errors of its own.
        except Exception as error:  # noqa: BLE001
            raise DatasetError(
                f"The picture {path} cannot be decoded ({type(error).__name__}: {error}). Replace "
                f"the file, or remove its entry from {self.ann_file}."
            ) from error

    def _make_target(
        self, annotations: Sequence[Mapping[str, Any]], size_wh: tuple[int, int]
    ) -> Target:
        width, height = size_wh
        annotations = [a for a in annotations if not a.get("iscrowd", 0)]
        rows = [self._box_xywh(annotation) for annotation in annotations]
        boxes = torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width)
        boxes[:, 1::2] = boxes[:, 1::2].clamp(0, height)
        keep = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
        labels = [self._label(annotation["category_id"]) for annotation in annotations]
        areas = [a.get("area", w * h) for a, (_, _, w, h) in zip(annotations, rows, strict=True)]
        return {
            "boxes": tv_tensors.BoundingBoxes(
                boxes[keep],
                format="XYXY",  # type: ignore[arg-type]  # the stubs know the enumeration only
                canvas_size=(height, width),
            ),
            "labels": torch.tensor(labels, dtype=torch.int64)[keep],
            "area": torch.tensor(areas, dtype=torch.float32)[keep],
            "iscrowd": torch.zeros(int(keep.sum()), dtype=torch.int64),
            "orig_size": torch.tensor([width, height]),
        }

    def _box_xywh(self, annotation: Mapping[str, Any]) -> list[float]:
        try:
            x, y, width, height = map(float, annotation["bbox"])
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(
                f"{self.ann_file}: annotation {annotation.get('id')} has the bbox "
                f"{annotation.get('bbox')!r}; expected four numbers, x, y, width, height in pixels."
            ) from error
        return [x, y, width, height]

    def _label(self, category_id: int) -> int:
        """Label of a category id; -1 for one that is not among COCO's."""
        return COCO_LABELS.get(category_id, -1) if self.remap_mscoco_category else category_id

    def _missing(self, path: Path) -> DatasetError:
        return DatasetError(
            f"There is no picture {path}, which {self.ann_file} lists. Check that img_folder "
            f"({self.img_folder}) is the folder that the file names are relative to."
        )

    def _check_files(self) -> None:
        if not self.img_folder.is_dir():
            raise DatasetError(
                f"There is no folder {self.img_folder}. Set dataset.img_folder to the folder that "
                f"holds the pictures of {self.ann_file}."
            )
        for image_id in self.ids[:_CHECKED_FILES]:
            path = self.img_folder / self.coco.imgs[image_id]["file_name"]
            if not path.is_file():
                raise self._missing(path)

    def _check_categories(self, num_classes: int | None) -> None:
        used = {annotation["category_id"] for annotation in self.coco.anns.values()}
        for category_id in sorted(used, key=str):
            if category_id not in self.coco.cats:
                raise DatasetError(
                    f"{self.ann_file}: annotations have the category id {category_id!r}, which its "
                    f"`categories` do not list ({_some(sorted(self.coco.cats))}). Add the category "
                    "or correct the annotations."
                )
            name = f"category {category_id} ({self.coco.cats[category_id].get('name')!r})"
            label = self._label(category_id)
            if self.remap_mscoco_category and label < 0:
                raise DatasetError(
                    f"{self.ann_file}: {name} is none of COCO's 80 category ids, which "
                    "remap_mscoco_category: True expects. For other data set "
                    "remap_mscoco_category: False; labels are then the category ids themselves."
                )
            if label < 0 or (num_classes is not None and label >= num_classes):
                raise DatasetError(
                    f"{self.ann_file}: {name} has no place among num_classes: {num_classes}. "
                    "Without remap_mscoco_category a label is the category id itself, so the ids "
                    f"have to be 0 to {(num_classes or 1) - 1}. Set num_classes to the largest id "
                    "plus one, renumber the categories from 0, or, for COCO's own ids, set "
                    "remap_mscoco_category: True and num_classes: 80."
                )


def read_annotations(path: Path) -> COCO:
    """Read a COCO-format annotation file.

    Raises:
        DatasetError: it is missing, no JSON, not in the format, or lists no picture.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(
            f"The annotation file {path} cannot be read ({error.strerror}). Set dataset.ann_file "
            "to a COCO-format JSON file."
        ) from error
    except ValueError as error:
        raise DatasetError(
            f"The annotation file {path} is no JSON ({error}). Is it whole? Expected a COCO-format "
            "object with images, annotations and categories."
        ) from error
    wanted = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in wanted):
        found = _some(sorted(content)) if isinstance(content, dict) else type(content).__name__
        raise DatasetError(
            f"The annotation file {path} is not in COCO's format: found {found}; expected an "
            "object with the lists images, annotations and categories."
        )
    _check_entries(path, content)
    if not content["images"]:
        raise DatasetError(f"The annotation file {path} lists no picture.")
    return COCO(content)


def _check_entries(path: Path, content: Mapping[str, list[Any]]) -> None:
    needed = {
        "images": ("id", "file_name"),
        "annotations": ("id", "image_id", "category_id"),
        "categories": ("id",),
    }
    for kind, keys in needed.items():
        for place, entry in enumerate(content[kind]):
            if not isinstance(entry, dict) or any(key not in entry for key in keys):
                raise DatasetError(
                    f"The annotation file {path}: entry {place} of {kind} is "
                    f"{str(entry)[:80]}; expected an object with {' and '.join(keys)}."
                )


def _some(values: list[Any], limit: int = 12) -> str:
    return first_of([str(value) for value in values], limit) or "nothing"
