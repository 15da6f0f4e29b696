"""What `show_batch` shows: boxes on their objects, the pictures of the run, and what is wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.datasets.batches.loader import build_dataloader
from rtdetr_nb.datasets.batches.show_batch import show_batch
from rtdetr_nb.datasets.batches.shown_batch import BoxedPicture
from rtdetr_nb.datasets.configured import on_data
from rtdetr_nb.errors import DatasetError, UserError
from rtdetr_nb.ui.figures.base import PrintedFigure
from tests.datasets.builders import write_json
from tests.paths import DATA

OPS = "train_dataloader.dataset.transforms.ops"
SHAPES = DATA / "shapes"


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A white square on black in each picture, and its box."""
    root = tmp_path_factory.mktemp("squares")
    rng = np.random.default_rng(0)
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": 0, "name": "square"}]
    (root / "images" / "train").mkdir(parents=True)
    for number in range(24):  # of which a fifth is set apart
        width, height = (int(side) for side in rng.integers(120, 200, 2))
        side = int(rng.integers(30, 60))
        x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[y : y + side, x : x + side] = 255
        name = f"{number}.png"
        Image.fromarray(pixels).save(root / "images" / "train" / name)
        listed = {"id": number, "file_name": name, "width": width, "height": height}
        content["images"].append(listed)
        box = {"bbox": [x, y, side, side], "area": side * side, "iscrowd": 0}
        content["annotations"].append({"id": number, "image_id": number, "category_id": 0, **box})
    write_json(root / "annotations" / "train.json", content)
    return root


def official(size: int = 160, **values: Any) -> Config:
    """The official augmentation at a small size."""
    scales = "train_dataloader.collate_fn.scales"
    return load_config("rtdetrv2_hgnetv2_l").with_values(
        {f"{OPS}.5.size": [size, size], scales: [size, size + 32], **values}
    )


def bright_box(picture: BoxedPicture) -> np.ndarray:
    """The box around what is bright, xyxy."""
    light = picture.pixels.mean(axis=2)
    rows, columns = np.nonzero(light > (light.min() + light.max()) / 2)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def mirrored(picture: BoxedPicture) -> np.ndarray:
    left, top, right, bottom = picture.boxes_xyxy[0]
    return np.array([picture.size_wh[0] - right, top, picture.size_wh[0] - left, bottom])


def test_boxes_stay_on_their_objects_in_all_augmentation(squares: Path) -> None:
    errors, wrong, left = [], [], 0
    for seed in range(6):
        batch = show_batch(official(), squares, pictures=16, seed=seed)
        for each in batch.pictures:
            assert np.abs(bright_box(each.before) - each.before.boxes_xyxy[0]).max() <= 0.5
            if len(each.after.boxes_xyxy):
                left += 1
                found = bright_box(each.after)
                errors.append(np.abs(found - each.after.boxes_xyxy[0]).max())
                wrong.append(np.abs(found - mirrored(each.after)).max())
    # Of 96 squares; a crop leaves out few. Resampling blurs an edge by a pixel or two.
    assert 80 <= left <= 96
    assert max(errors) <= 3 and np.mean(errors) <= 1
    # The same measure sees a flip that forgets the boxes.
    assert np.mean(np.array(wrong) > 10) > 0.7


def test_it_is_the_batch_of_the_run(squares: Path) -> None:
    config = official()
    batch = show_batch(config, squares, pictures=4, seed=3, epoch=1)
    loader = build_dataloader(on_data(config, squares), "train", seed=3, num_workers=0)
    loader.set_position(1)
    images, targets = next(iter(loader))
    assert batch.size_hw == tuple(images.shape[2:])
    for each, image, target in zip(batch.pictures, images, targets, strict=False):
        pixels = (image.permute(1, 2, 0) * 255).round().byte().numpy()
        assert np.array_equal(each.after.pixels, pixels)
        assert len(each.after.names) == len(target["labels"])
        assert each.path.stem == str(int(target["image_id"]))
    again = show_batch(config, squares, pictures=4, seed=3, epoch=1)
    assert np.array_equal(batch.pictures[2].after.pixels, again.pictures[2].after.pixels)
    other = show_batch(config, squares, pictures=4, seed=4, epoch=1)
    assert [e.path for e in other.pictures] != [e.path for e in batch.pictures]


def test_augmentation_ends_at_its_epoch() -> None:
    config = official()
    last = config.epoches - 1
    assert "RandomZoomOut" in show_batch(config, SHAPES, pictures=1).operations
    assert "RandomZoomOut" not in show_batch(config, SHAPES, pictures=1, epoch=last).operations


def test_a_sound_batch_has_no_finding(squares: Path) -> None:
    for data in (SHAPES, squares):
        batch = show_batch(official(), data)
        assert batch.verdict == "ok" and batch.findings == ()
        assert list(batch.table.boxes_before) == [len(e.before.names) for e in batch.pictures]
        assert "160 pixels" in batch.sentence or "192 pixels" in batch.sentence


def levels(config: Config, data: Path) -> dict[str, str]:
    return {found.what: found.level for found in show_batch(config, data).findings}


def test_boxes_in_another_form_are_a_failure_and_drawn_where_they_are(squares: Path) -> None:
    ops = official().yaml["train_dataloader"]["dataset"]["transforms"]["ops"]
    for last in ([], [{"type": "ConvertBoxes", "fmt": "xywh", "normalize": True}]):
        batch = show_batch(official(**{OPS: [*ops[:-1], *last]}), squares)
        assert batch.verdict == "failed"
        assert "ConvertBoxes" in str(batch.findings[0])
        for each in batch.pictures:
            if len(each.after.boxes_xyxy):
                assert np.abs(bright_box(each.after) - each.after.boxes_xyxy[0]).max() <= 3


def test_normalised_pictures_are_told_and_shown_as_they_were(squares: Path) -> None:
    ops = official().yaml["train_dataloader"]["dataset"]["transforms"]["ops"]
    mean_std = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    normalised = [*ops, {"type": "Normalize", **mean_std}]
    batch = show_batch(official(**{OPS: normalised}), squares)
    plain = show_batch(official(), squares)
    assert [found.level for found in batch.findings] == ["note"] and batch.verdict == "ok"
    for one, other in zip(batch.pictures, plain.pictures, strict=True):
        difference = one.after.pixels.astype(int) - other.after.pixels.astype(int)
        assert np.abs(difference).max() <= 1


def test_boxes_too_small_to_see_are_a_warning() -> None:
    small = official(32)
    assert "warning" in levels(small, SHAPES).values()
    assert show_batch(small, SHAPES).verdict == "warnings"


def test_the_figure_pairs_the_pictures() -> None:
    batch = show_batch(official(), SHAPES, pictures=5)
    figure = batch.figure()
    assert isinstance(figure, PrintedFigure)
    shown = [ax for ax in figure.axes if ax.images]
    assert len(shown) == 10 and len(figure.axes) == 16
    assert "<img" in batch._repr_html_() and "ok" in repr(batch.verdict.word)


def test_one_picture_and_refusals(tmp_path: Path) -> None:
    assert len(show_batch(official(), SHAPES, pictures=1).figure().axes) == 2
    with pytest.raises(UserError, match="pictures is 0"):
        show_batch(official(), SHAPES, pictures=0)
    with pytest.raises(DatasetError, match="There is no"):
        show_batch(official(), tmp_path / "absent")
