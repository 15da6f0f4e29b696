"""A training batch as the network sees it, beside the pictures that it was made of."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rtdetr_nb.drawing import draw
from rtdetr_nb.text.findings import (
    FAILURE,
    NOTE,
    WARNING,
    Check,
    Finding,
    Verdict,
    Words,
    check,
    findings_html,
)
from rtdetr_nb.text.html_pieces import badge, shown
from rtdetr_nb.text.plain_text import counted, show_as_text

if TYPE_CHECKING:
    import pandas

_FINEST_STRIDE = 8  # pixels; of the finest map that the decoder reads
_ENOUGH = 8  # boxes, before their shares mean anything
_FEW_LEFT = 0.25  # share of the boxes


@dataclass(frozen=True, eq=False)
class BoxedPicture:
    """A picture and the boxes on it.

    Attributes:
        pixels: (H, W, 3) uint8, RGB.
        boxes_xyxy: (N, 4) in pixels of `pixels`.
        names: of the N classes.
    """

    pixels: np.ndarray = field(repr=False)
    boxes_xyxy: np.ndarray
    names: tuple[str, ...]

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True, eq=False)
class BatchPicture:
    """One picture of a batch: its file, as it was annotated, and as the network gets it."""

    path: Path
    before: BoxedPicture
    after: BoxedPicture


@dataclass(frozen=True, eq=False)
class ShownBatch:
    """Pictures of a training batch before and after all that is done to them.

    Attributes:
        pictures: the first ones of the batch, in its order.
        size_hw: height and width of the batch in pixels.
        epoch: counted from 0.
        seed: of the run whose batch this is.
        operations: official names of what is done to the pictures in that epoch, in order.
        box_format: of the boxes that the loss gets: "cxcywh", "xyxy" or "xywh".
        boxes_are_fractions: whether these are fractions of the picture; else they are pixels.
    """

    pictures: tuple[BatchPicture, ...] = field(repr=False)
    size_hw: tuple[int, int]
    epoch: int
    seed: int
    operations: tuple[str, ...]
    box_format: str
    boxes_are_fractions: bool

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with the batch, the worst first."""
        return self.verdict.findings

    @property
    def verdict(self) -> Verdict:
        """ "failed" if the loss would get what it cannot use, "warnings" if it may, else "ok"."""
        return Verdict(found for each in BATCH_CHECKS for found in each(self))

    @property
    def table(self) -> pandas.DataFrame:
        """A row a picture: file, width and height in pixels, boxes before and after."""
        import pandas

        return pandas.DataFrame(
            {
                "file": each.path.name,
                "width": each.before.size_wh[0],
                "height": each.before.size_wh[1],
                "boxes_before": len(each.before.names),
                "boxes_after": len(each.after.names),
            }
            for each in self.pictures
        )

    @property
    def sentence(self) -> str:
        """What is shown, in a line."""
        before, after = self.num_boxes
        height, width = self.size_hw
        return (
            f"{counted(len(self.pictures), 'picture')} of the first batch of epoch {self.epoch} "
            f"with the seed {self.seed}, {width} x {height} pixels, {after} of "
            f"{counted(before, 'box', 'boxes')} left by {', '.join(self.operations) or 'nothing'}."
        )

    @property
    def num_boxes(self) -> tuple[int, int]:
        """Boxes of all pictures before and after."""
        sides = ([each.before for each in self.pictures], [each.after for each in self.pictures])
        before, after = (sum(len(picture.names) for picture in side) for side in sides)
        return before, after

    def figure(self) -> Any:
        """The pictures with their boxes, before and after (a `matplotlib.figure.Figure`)."""
        return draw("shown_batch", self)

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        lines = [f"{self.verdict}: {self.sentence}"]
        return "\n".join([*lines, *(f"  {found.level}: {found}" for found in self.findings)])

    def _repr_html_(self) -> str:
        found = findings_html(self.findings)
        picture = base64.b64encode(self.figure()._repr_png_()).decode("ascii")
        return (
            f"<p>{badge(str(self.verdict))} {shown(self.sentence)}</p>{found}"
            f'<img style="max-width:100%" alt="{shown(self.sentence)}" '
            f'src="data:image/png;base64,{picture}">'
        )


@check(FAILURE)
def boxes_in_another_form(batch: ShownBatch) -> Iterator[Words]:
    """The loss compares boxes as centre and size in fractions of the picture, and gets others."""
    if batch.box_format == "cxcywh" and batch.boxes_are_fractions:
        return
    unit = "fractions of the picture" if batch.boxes_are_fractions else "pixels"
    yield Words(
        f"The loss gets boxes as {batch.box_format} in {unit}.",
        "train_dataloader.dataset.transforms.ops",
        "It takes them for centre, width and height in fractions, and learns other places.",
        "Let the operations end with {type: ConvertBoxes, fmt: cxcywh, normalize: True}.",
    )


@check(WARNING)
def few_boxes_left(batch: ShownBatch) -> Iterator[Words]:
    """Crops and sanitizing leave less than a quarter of the boxes of the batch."""
    before, after = batch.num_boxes
    if before >= _ENOUGH and after < _FEW_LEFT * before:
        yield Words(
            f"{after} of {before} boxes are left.",
            "train_dataloader.dataset.transforms.ops",
            "What is left out is taken for ground without objects.",
            "Look at the pictures: are the boxes too small for the picture size, or crops too "
            "narrow?",
        )


@check(WARNING)
def boxes_below_the_stride(batch: ShownBatch) -> Iterator[Words]:
    """Most boxes are smaller than one cell of the finest map, so the network hardly sees them."""
    boxes = np.concatenate([np.empty((0, 4)), *(p.after.boxes_xyxy for p in batch.pictures)])
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    if len(sides) >= _ENOUGH and np.median(sides) < _FINEST_STRIDE:
        yield Words(
            f"Half of the boxes have a side below {np.median(sides):.1f} pixels.",
            f"a batch of {batch.size_hw[1]} x {batch.size_hw[0]} pixels",
            f"A cell of the finest map is {_FINEST_STRIDE} pixels wide.",
            "Train on larger pictures, or on parts of them.",
        )


@check(NOTE)
def pictures_normalised(batch: ShownBatch) -> Iterator[Words]:
    """The pictures are normalised, which the official configurations do not do."""
    if "Normalize" in batch.operations:
        yield Words(
            "The pictures are normalised; they are shown as they were before that.",
            "train_dataloader.dataset.transforms.ops",
            "RT-DETRv2's configurations feed 0 to 1. The backbone has to expect what it gets: "
            "rt.check_input tells.",
        )


BATCH_CHECKS = cast(
    tuple[Check[ShownBatch], ...],
    (boxes_in_another_form, few_boxes_left, boxes_below_the_stride, pictures_normalised),
)
"""All findings on a batch, in the order in which they are looked for."""
