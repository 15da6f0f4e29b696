import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from rtdetr_nb.config.load import load_config
from rtdetr_nb.datasets.batches.seeding import seeded
from rtdetr_nb.datasets.batches.transforms import build_transforms
from rtdetr_nb.errors import ConfigError

OFFICIAL = load_config("rtdetrv2_hgnetv2_l").train_dataloader.dataset.transforms


def sample(width: int = 60, height: int = 40, boxes: Any = ((5, 5, 30, 25), (20, 10, 55, 38))):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    count = len(boxes)
    target = {
        "boxes": tv_tensors.BoundingBoxes(
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            format="XYXY",  # type: ignore[arg-type]
            canvas_size=(height, width),
        ),
        "labels": torch.arange(count),
        "area": torch.arange(count) + 100.0,
        "iscrowd": torch.zeros(count, dtype=torch.int64),
        "orig_size": torch.tensor([width, height]),
    }
    return Image.fromarray(pixels), target


def assert_same_as_torchvision(ops: list[dict[str, Any]], reference: Callable[..., Any]) -> None:
    for seed in range(10):
        with seeded(seed):
            image, target = build_transforms(ops)(*sample())
        with seeded(seed):
            wanted_image, wanted = reference(*sample())
        assert np.array_equal(np.asarray(image), np.asarray(wanted_image))
        assert torch.equal(target["boxes"], wanted["boxes"])
        assert torch.equal(target["labels"], wanted["labels"])


@pytest.mark.parametrize(
    ("operation", "reference"),
    [
        ({"type": "RandomPhotometricDistort", "p": 0.5}, v2.RandomPhotometricDistort(p=0.5)),
        ({"type": "RandomZoomOut", "fill": 0}, v2.RandomZoomOut(fill=0)),
        ({"type": "RandomHorizontalFlip"}, v2.RandomHorizontalFlip()),
        ({"type": "Resize", "size": [32, 48]}, v2.Resize([32, 48])),
        ({"type": "RandomCrop", "size": [20, 20]}, v2.RandomCrop([20, 20])),
        ({"type": "SanitizeBoundingBoxes", "min_size": 24}, v2.SanitizeBoundingBoxes(24)),
        ({"type": "EmptyTransform"}, v2.Identity()),
    ],
)
def test_operations_are_torchvisions(operation: dict[str, Any], reference: v2.Transform):
    assert_same_as_torchvision([operation], reference)


def test_iou_crop_with_probability_one_is_torchvisions():
    def reference(image: Any, target: Any) -> Any:
        torch.rand(1)  # the draw that decides whether to crop
        return v2.RandomIoUCrop()(image, target)

    assert_same_as_torchvision([{"type": "RandomIoUCrop", "p": 1.0}], reference)


def test_iou_crop_leaves_the_rest_as_it_is():
    crop = build_transforms([{"type": "RandomIoUCrop", "p": 0.3}])
    cropped = 0
    for seed in range(200):
        with seeded(seed):
            image, target = crop(*sample())
        changed = image.size != (60, 40)
        cropped += changed
        if not changed:
            assert torch.equal(target["boxes"], sample()[1]["boxes"])
    # A crop can also leave the whole picture (one of seven options does), so less than 30 %.
    assert 0.15 * 200 < cropped < 0.3 * 200


def test_sanitizing_drops_every_value_of_a_box():
    boxes = [(5, 5, 30, 25), (7, 7, 7.5, 30), (20, 10, 55, 38)]
    _, target = build_transforms([{"type": "SanitizeBoundingBoxes", "min_size": 1}])(
        *sample(boxes=boxes)
    )
    assert target["labels"].tolist() == [0, 2]
    assert target["area"].tolist() == [100, 102]
    assert len(target["boxes"]) == len(target["iscrowd"]) == 2


def test_conversion_of_pictures():
    image, _ = build_transforms([{"type": "ConvertPILImage"}])(*sample())
    pixels = torch.from_numpy(np.array(sample()[0])).permute(2, 0, 1)
    assert torch.equal(torch.as_tensor(image), pixels.float() / 255)
    ops = [{"type": "ConvertPILImage", "dtype": "float32", "scale": False}]
    assert torch.equal(torch.as_tensor(build_transforms(ops)(*sample())[0]), pixels.float())


def test_conversion_of_boxes():
    ops = [{"type": "ConvertBoxes", "fmt": "cxcywh", "normalize": True}]
    _, target = build_transforms(ops)(*sample(boxes=[(6, 4, 30, 24)]))
    assert type(target["boxes"]) is torch.Tensor
    torch.testing.assert_close(target["boxes"], torch.tensor([[0.3, 0.35, 0.4, 0.5]]))
    ops = [{"type": "ConvertBoxes", "fmt": "xywh"}]
    _, target = build_transforms(ops)(*sample(boxes=[(6, 4, 30, 24)]))
    assert target["boxes"].tolist() == [[6, 4, 24, 20]]
    assert target["boxes"].format.value == "XYWH"  # type: ignore[attr-defined]


def test_padding_goes_to_the_right_and_the_bottom():
    image, target = build_transforms([{"type": "PadToSize", "size": [70, 64], "fill": 7}])(
        *sample()
    )
    pixels = np.asarray(image)
    assert pixels.shape == (64, 70, 3)
    assert np.array_equal(pixels[:40, :60], np.asarray(sample()[0]))
    assert (pixels[40:] == 7).all()
    assert (pixels[:, 60:] == 7).all()
    assert torch.equal(target["boxes"], sample()[1]["boxes"])
    assert target["boxes"].canvas_size == (64, 70)  # type: ignore[attr-defined]


def test_normalisation():
    ops = [
        {"type": "ConvertPILImage"},
        {"type": "Normalize", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    ]
    image, _ = build_transforms(ops)(*sample())
    plain, _ = build_transforms(ops[:1])(*sample())
    torch.testing.assert_close(torch.as_tensor(image), torch.as_tensor(plain) * 2 - 1)


def test_a_policy_stops_its_operations_at_its_epoch():
    ops = [{"type": "RandomHorizontalFlip", "p": 1.0}, {"type": "Resize", "size": [20, 20]}]
    policy = {"name": "stop_epoch", "epoch": 2, "ops": ["RandomHorizontalFlip"]}
    pipeline = build_transforms(ops, policy)
    flipped = v2.Resize([20, 20])(sample()[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    plain = v2.Resize([20, 20])(sample()[0])
    for epoch, wanted in ((0, flipped), (1, flipped), (2, plain), (3, plain)):
        image, _ = pipeline(*sample(), epoch)
        assert np.array_equal(np.asarray(image), np.asarray(wanted))


def test_the_official_list_is_built_and_stopped():
    pipeline = build_transforms(OFFICIAL.ops, OFFICIAL.policy)
    assert [name for name, _ in pipeline.operations] == [op["type"] for op in OFFICIAL.ops]
    assert pipeline.stop_epoch == 71
    with seeded(0):
        first = pipeline(*sample(), 71)
    with seeded(1):
        second = pipeline(*sample(), 71)
    # Only the flip is random now.
    assert torch.equal(first[0], second[0]) or torch.equal(first[0].flip(-1), second[0])


@settings(deadline=None, max_examples=30)
@given(
    boxes=st.lists(
        st.tuples(
            st.floats(0, 40, width=32),
            st.floats(0, 30, width=32),
            st.floats(0.5, 20, width=32),
            st.floats(0.5, 10, width=32),
        ),
        max_size=5,
    ),
    seed=st.integers(0, 1000),
)
def test_whatever_the_official_list_makes_of_boxes_is_inside_the_picture(
    boxes: list[tuple[float, ...]], seed: int
):
    corners = [(x, y, x + width, y + height) for x, y, width, height in boxes]
    ops = [{**op, "size": [64, 64]} if op["type"] == "Resize" else op for op in OFFICIAL.ops]
    with seeded(seed):
        image, target = build_transforms(ops)(*sample(boxes=corners))
    assert image.shape == (3, 64, 64)
    found = target["boxes"]
    assert found.dtype == torch.float32
    assert len(found) == len(target["labels"]) == len(target["area"]) <= len(boxes)
    assert (found[:, 2:] > 0).all()
    assert (found[:, :2] - found[:, 2:] / 2 >= -1e-5).all()
    assert (found[:, :2] + found[:, 2:] / 2 <= 1 + 1e-5).all()


@pytest.mark.parametrize(
    ("ops", "policy", "said"),
    [
        ([{"type": "RandomHorizontalFlp"}], None, "Did you mean RandomHorizontalFlip"),
        ([{"type": "Zzz"}], None, "Known are"),
        ([{"type": "Resize", "sise": 3}], None, "Resize does not take"),
        ([{"type": "ConvertBoxes", "fmt": "polar"}], None, "ConvertBoxes does not take"),
        ([{"type": "ConvertPILImage", "dtype": "int3"}], None, "ConvertPILImage does not take"),
        (["Resize"], None, "expected a mapping"),
        ([], {"name": "stop_sample", "sample": 3, "ops": []}, "expected stop_epoch"),
        ([], {"name": "stop_epoch", "ops": []}, "a number as epoch"),
        ([], {"name": "stop_epoch", "epoch": 1, "ops": ["Resise"]}, "Did you mean Resize"),
    ],
)
def test_what_is_not_known_is_named(ops: Any, policy: Any, said: str):
    with pytest.raises(ConfigError, match=said):
        build_transforms(ops, policy)


def test_seeding_is_undone():
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    before = torch.get_rng_state(), random.getstate()
    with seeded(1, 2, 3):
        drawn = torch.rand(1).item(), random.random(), np.random.random()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.random() == expected
    with seeded(1, 2, 3):
        assert (torch.rand(1).item(), random.random(), np.random.random()) == drawn
    with seeded(1, 2, 4):
        assert torch.rand(1).item() != drawn[0]
