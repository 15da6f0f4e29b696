from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from rtdetr_nb.datasets.batches.colours import ColourDistortion
from rtdetr_nb.datasets.batches.pending_picture import PendingPicture
from rtdetr_nb.datasets.batches.seeding import seeded

NOISE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)
PICTURE = Image.fromarray(NOISE)
SIDE = st.integers(1, 200)


@settings(deadline=None, max_examples=300)
@given(
    padding=st.tuples(*[st.integers(0, 150)] * 4),
    corner=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
    opposite=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    mirrored=st.booleans(),
    size_hw=st.tuples(SIDE, SIDE),
)
def test_one_rectangle_and_one_size_are_the_canvas_that_nobody_makes(
    padding, corner, opposite, mirrored, size_hw
):
    left, top, right, bottom = padding
    canvas = np.zeros((70 + top + bottom, 90 + left + right, 3), np.uint8)
    canvas[top : top + 70, left : left + 90] = NOISE
    x, y = (int(part * side) for part, side in zip(corner, canvas.shape[1::-1], strict=True))
    width = 1 + int(opposite[0] * (canvas.shape[1] - x - 1))
    height = 1 + int(opposite[1] * (canvas.shape[0] - y - 1))
    wanted = canvas[y : y + height, x : x + width]
    picture = PendingPicture(PICTURE).zoom_out(padding, (0, 0, 0)).crop(x, y, width, height)
    if mirrored:
        wanted, picture = wanted[:, ::-1], picture.mirror()
    assert np.array_equal(np.asarray(picture.render()), wanted)
    pixels = torch.from_numpy(wanted.copy()).permute(2, 0, 1)[None]
    sampled = F.interpolate(pixels, size_hw, mode="bilinear", antialias=True)[0]
    assert torch.equal(picture.resize(size_hw).tensor(), sampled)


@pytest.mark.parametrize("fill", [(0, 0, 0), (7, 130, 255)])
def test_the_fill_is_the_fill_after_the_resize(fill: tuple[int, int, int]):
    picture = PendingPicture(PICTURE).zoom_out((100, 60, 37, 45), fill).resize((64, 48))
    plain: Any = functional.pad(
        PICTURE,  # type: ignore[arg-type]  # the stubs want tensors
        [100, 60, 37, 45],
        fill=list(fill),
    )
    wanted = np.asarray(plain.resize((48, 64), Image.Resampling.BILINEAR)).astype(int)
    found = np.asarray(picture.render()).astype(int)
    assert np.abs(found - wanted).max() <= 1
    assert (found[0, 0] == fill).all()
    assert (found[-1, -1] == fill).all()


def test_a_crop_of_the_padding_alone_is_the_fill():
    picture = PendingPicture(PICTURE).zoom_out((50, 50, 0, 0), (1, 2, 3)).crop(5, 5, 20, 30)
    for shown in (picture, picture.resize((8, 9))):
        assert (np.asarray(shown.render()) == (1, 2, 3)).all()


def test_nothing_to_do_is_the_source():
    assert PendingPicture(PICTURE).render() is PICTURE
    assert PendingPicture(PICTURE).distort(ColourDistortion()).colours is None
    assert torch.equal(PendingPicture(PICTURE).tensor(), torch.from_numpy(NOISE).permute(2, 0, 1))


def test_colours_of_a_part_are_those_of_the_whole():
    distort = v2.RandomPhotometricDistort(p=0.5)
    box = (11, 20, 60, 69)
    photo = Image.fromarray(NOISE // 3 + np.arange(90, dtype=np.uint8)[None, :, None])
    steps = set()
    for seed in range(300):
        with seeded(seed):
            params = distort.make_params([photo])
        wanted = distort.transform(photo, params)
        colours = ColourDistortion.from_params(params)
        steps.add((colours.contrast is None, colours.contrast_first, colours.hue is None))
        for part in (box, (0, 0, 90, 70)):
            found = colours.apply(photo, part)
            assert np.array_equal(np.asarray(found), np.asarray(wanted.crop(part)))
    assert len(steps) == 8  # every way through the code


def test_hue_and_saturation_of_every_colour():
    """A cube of 35,937 colours and its 256 greys."""
    axis = np.linspace(0, 255, 33).astype(np.uint8)
    cube = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 1, 3)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    colours = Image.fromarray(np.concatenate([cube, greys]))
    for hue in (-0.5, -0.05, -0.001, 0.0, 0.02, 0.5):
        saturated = functional.adjust_saturation(colours, 1.3)  # type: ignore[arg-type]
        wanted = functional.adjust_hue(saturated, hue)
        found = ColourDistortion(saturation=1.3, hue=hue).apply(colours, (0, 0, *colours.size))
        assert np.array_equal(np.asarray(found), np.asarray(wanted))
