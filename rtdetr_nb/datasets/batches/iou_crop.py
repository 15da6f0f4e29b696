"""torchvision's crop of SSD, with the trials of a round looked at together.

torchvision draws a crop, computes its overlaps, and draws the next one; with few boxes in a picture
that takes a hundred trials and a third of the whole augmentation. Here the numbers of a round are
drawn at once, and the random generator is put back to where the accepted trial leaves it. So the
crops, and all that is drawn behind them, are those of torchvision.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

Array = np.ndarray


class Crops(NamedTuple):
    """Crops of one round in the order of their trials; integers (T,), in pixels."""

    left: Array
    top: Array
    width: Array
    height: Array
    draws: Array  # pairs of random numbers that are used up when the trial is over


class RandomIoUCrop(v2.RandomIoUCrop):
    """torchvision's crop (SSD's), tried with probability `p` only; the rest is left as it is."""

    def __init__(
        self,
        min_scale: float = 0.3,
        max_scale: float = 1.0,
        min_aspect_ratio: float = 0.5,
        max_aspect_ratio: float = 2.0,
        sampler_options: list[float] | None = None,
        trials: int = 40,
        p: float = 1.0,
    ) -> None:
        super().__init__(
            min_scale, max_scale, min_aspect_ratio, max_aspect_ratio, sampler_options, trials
        )
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        """Crop, or return the inputs."""
        if torch.rand(1).item() < self.p:
            return super().forward(*inputs)
        return inputs[0] if len(inputs) == 1 else inputs

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The crop in pixels and the boxes (N,) whose centre is in it; empty to leave all as is."""
        size_hw = v2.query_size(flat_inputs)
        boxes = v2.get_bounding_boxes(flat_inputs)
        boxes_xyxy = v2.functional.convert_bounding_box_format(
            boxes.as_subclass(torch.Tensor), boxes.format, tv_tensors.BoundingBoxFormat.XYXY
        ).numpy()
        while True:
            option = self.options[int(torch.randint(low=0, high=len(self.options), size=(1,)))]
            if option >= 1.0:
                return {}
            found = self._search(size_hw, boxes_xyxy, option)
            if found is not None:
                return found

    def _search(
        self, size_hw: tuple[int, int], boxes_xyxy: Array, min_overlap: float
    ) -> dict[str, Any] | None:
        """The first of the round's crops that holds a centre and overlaps a box enough."""
        state = torch.get_rng_state()
        draws = torch.rand(4 * self.trials).numpy().reshape(-1, 2)
        crops, used_draws = self._propose(size_hw, draws)
        within = _centres_within(crops, boxes_xyxy)
        overlaps = np.where(within, _overlaps(crops, boxes_xyxy), np.float32(-1))
        accepted = within.any(axis=1)
        accepted &= overlaps.max(axis=1, initial=-1) >= np.float32(min_overlap)
        first = int(accepted.argmax()) if accepted.any() else None
        # Later draws have to be those that follow on the accepted trial.
        torch.set_rng_state(state)
        torch.rand(2 * (used_draws if first is None else int(crops.draws[first])))
        if first is None:
            return None
        return {
            "top": int(crops.top[first]),
            "left": int(crops.left[first]),
            "height": int(crops.height[first]),
            "width": int(crops.width[first]),
            "is_within_crop_area": torch.from_numpy(within[first]),
        }

    def _propose(self, size_hw: tuple[int, int], draws: Array) -> tuple[Crops, int]:
        """The crops that draws (2 * trials, 2) make, and how many pairs the whole round uses.

        A trial takes one pair for its size, and one more for its place if its shape is allowed.
        All is float32, as in torchvision, since a product is cut off to whole pixels.
        """
        height, width = size_hw
        span, smallest = np.float32(self.max_scale - self.min_scale), np.float32(self.min_scale)
        scales = smallest + span * draws
        widths = (np.float32(width) * scales[:, 0]).astype(np.int64)
        heights = (np.float32(height) * scales[:, 1]).astype(np.int64)
        aspect = widths / np.maximum(heights, 1)
        allowed = (heights > 0) & (aspect >= self.min_aspect_ratio)
        allowed = (allowed & (aspect <= self.max_aspect_ratio)).tolist()
        pair, chosen = 0, []
        for _ in range(self.trials):
            if allowed[pair]:
                chosen.append(pair)
                pair += 1
            pair += 1
        size = np.array(chosen, dtype=np.int64)
        widths, heights, places = widths[size], heights[size], draws[size + 1]
        left = ((width - widths).astype(np.float32) * places[:, 0]).astype(np.int64)
        top = ((height - heights).astype(np.float32) * places[:, 1]).astype(np.int64)
        return Crops(left, top, widths, heights, size + 2), pair


def _centres_within(crops: Crops, boxes_xyxy: Array) -> Array:
    """Whether the centre of a box is inside a crop: (T, N)."""
    x = np.float32(0.5) * (boxes_xyxy[:, 0] + boxes_xyxy[:, 2])
    y = np.float32(0.5) * (boxes_xyxy[:, 1] + boxes_xyxy[:, 3])
    left, top = crops.left[:, None], crops.top[:, None]
    right, bottom = left + crops.width[:, None], top + crops.height[:, None]
    return (left < x) & (x < right) & (top < y) & (y < bottom)


def _overlaps(crops: Crops, boxes_xyxy: Array) -> Array:
    """Intersection over union of crops and boxes: (T, N) float32, in the order of `box_iou`."""
    left, top, width, height, _ = (values.astype(np.float32)[:, None] for values in crops)
    x_min, y_min, x_max, y_max = boxes_xyxy.T
    shared_width = np.minimum(x_max, left + width) - np.maximum(x_min, left)
    shared_height = np.minimum(y_max, top + height) - np.maximum(y_min, top)
    shared = np.maximum(shared_width, 0) * np.maximum(shared_height, 0)
    union = (x_max - x_min) * (y_max - y_min) + width * height - shared
    return shared / union
