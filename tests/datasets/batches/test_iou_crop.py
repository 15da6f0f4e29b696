from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from rtdetr_nb.datasets.batches.iou_crop import RandomIoUCrop
from rtdetr_nb.datasets.batches.seeding import seeded


def boxes_on(size_hw: tuple[int, int], corners: Sequence[Any]) -> tv_tensors.BoundingBoxes:
    return tv_tensors.BoundingBoxes(
        torch.tensor(corners, dtype=torch.float32).reshape(-1, 4),
        format="XYXY",  # type: ignore[arg-type]
        canvas_size=size_hw,
    )


def assert_same_search(ours: RandomIoUCrop, boxes: tv_tensors.BoundingBoxes, seed: int) -> bool:
    """Crop and later draws are torchvision's; returns whether there was a crop."""
    with seeded(seed):
        found, after = ours.make_params([boxes]), torch.get_rng_state()
    with seeded(seed):
        wanted = v2.RandomIoUCrop.make_params(ours, [boxes])
        assert torch.equal(after, torch.get_rng_state())
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        equal = torch.equal if isinstance(value, torch.Tensor) else lambda a, b: a == b
        assert equal(found[name], value), name
    return bool(found)


@pytest.mark.slow
def test_a_thousand_crops_are_torchvisions():
    rng = np.random.default_rng(0)
    crops = 0
    for seed in range(1000):
        height, width = (int(side) for side in rng.integers(40, 900, 2))
        corners = np.sort(rng.uniform(0, 1, (int(rng.integers(0, 9)), 2, 2)), axis=1)
        boxes = boxes_on((height, width), (corners * [width, height]).reshape(-1, 4).tolist())
        crops += assert_same_search(RandomIoUCrop(), boxes, seed)
    assert 500 < crops < 860  # one of seven options leaves the picture as it is


@settings(deadline=None, max_examples=100)
@given(
    size_hw=st.tuples(st.integers(7, 3000), st.integers(7, 3000)),
    corners=st.lists(
        st.tuples(*[st.floats(0, 1, width=32)] * 4).map(lambda c: (*c[:2], *c[2:])), max_size=6
    ),
    options=st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9]), max_size=3),
    trials=st.integers(1, 50),
    scale=st.sampled_from([(0.3, 1.0), (0.1, 0.4), (0.9, 1.0)]),
    seed=st.integers(0, 1000),
)
def test_any_search_is_torchvisions(size_hw, corners, options, trials, scale, seed):
    height, width = size_hw
    placed = [(a * width, b * height, c * width, d * height) for a, b, c, d in corners]
    ours = RandomIoUCrop(*scale, sampler_options=[*options, 1.0], trials=trials)
    if int(height * scale[0]) and int(width * scale[0]):  # torchvision divides by that height
        assert_same_search(ours, boxes_on(size_hw, placed), seed)


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 300), (300, 2)])
def test_a_picture_of_a_few_pixels_has_no_crop_without_height(size_hw: tuple[int, int]):
    height, width = size_hw
    image = Image.new("RGB", (width, height))
    crop = RandomIoUCrop(sampler_options=[0.0, 1.0])
    for seed in range(20):
        with seeded(seed):
            cropped, _ = crop(image, {"boxes": boxes_on(size_hw, [(0, 0, width, height)])})
        assert min(cropped.size) >= 1
