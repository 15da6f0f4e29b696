import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rtdetr_nb.datasets.shapes import generate as shapes
from rtdetr_nb.datasets.shapes.generate import CLASS_NAMES, draw_picture, write_shapes_dataset
from rtdetr_nb.datasets.shapes.silhouettes import signed_distance, unit_areas
from tests.paths import DATA

SAMPLE = DATA / "shapes"


def test_a_picture_is_that_of_its_seed():
    first, again, other = (draw_picture((4, 0, i)) for i in (2, 2, 3))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.boxes_xyxy, again.boxes_xyxy)
    assert np.array_equal(first.labels, again.labels)
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


def test_drawing_leaves_the_global_generator_alone():
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    draw_picture(0, (64, 64))
    assert np.random.random() == expected


def test_boxes_are_tight_around_what_is_visible():
    seen = 0
    for seed in range(12):
        picture = draw_picture((9, seed))
        height, width = picture.owners.shape
        assert picture.image.shape == (height, width, 3)
        assert 256 <= min(height, width) <= max(height, width) <= 400
        for index, (x1, y1, x2, y2) in enumerate(picture.boxes_xyxy.astype(int)):
            rows, columns = np.nonzero(picture.owners == index)
            assert (rows.min(), rows.max() + 1) == (y1, y2)
            assert (columns.min(), columns.max() + 1) == (x1, x2)
            assert len(rows) == picture.areas[index] >= shapes.MIN_VISIBLE_PIXELS
            seen += 1
    assert seen > 20


def test_there_are_empty_pictures_overlaps_and_all_sizes():
    pictures = [draw_picture((0, 0, index)) for index in range(64)]
    assert any(len(p.labels) == 0 for p in pictures)
    sides = np.concatenate([p.boxes_xyxy[:, 2:] - p.boxes_xyxy[:, :2] for p in pictures]).max(1)
    assert sides.min() < 15
    assert sides.max() > 150
    overlapping = 0
    for picture in pictures:
        for index, box in enumerate(picture.boxes_xyxy.astype(int)):
            inside = picture.owners[box[1] : box[3], box[0] : box[2]]
            overlapping += bool(((inside >= 0) & (inside != index)).any())
    assert overlapping > 20


def test_colour_does_not_give_the_class_away():
    """The nearest mean colour of a class names hardly more objects than chance does."""
    colours, labels = [], []
    for seed in range(150):
        picture = draw_picture((11, seed), (128, 128))
        for index, label in enumerate(picture.labels):
            colours.append(picture.image[picture.owners == index].mean(axis=0))
            labels.append(label)
    x, y = np.asarray(colours), np.asarray(labels)
    half = len(y) // 2
    means = np.stack([x[:half][y[:half] == c].mean(axis=0) for c in range(len(CLASS_NAMES))])
    named = ((x[half:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert (named == y[half:]).mean() < 0.2


def test_silhouettes_differ_and_fit_the_unit_circle():
    axis = np.linspace(-1.2, 1.2, 121, dtype=np.float32)
    v, u = np.meshgrid(axis, axis, indexing="ij")
    masks = [signed_distance(label, u, v) < 0 for label in range(len(CLASS_NAMES))]
    outside = np.hypot(u, v) > 1.02
    for label, mask in enumerate(masks):
        assert not (mask & outside).any(), CLASS_NAMES[label]
        for other in range(label):
            union = (mask | masks[other]).sum()
            assert (mask & masks[other]).sum() < 0.9 * union, (label, other)
    areas = dict(zip(CLASS_NAMES, unit_areas(), strict=True))
    assert areas["disc"] == pytest.approx(np.pi * 0.81, rel=0.02)
    assert areas["square"] == pytest.approx(2.0, rel=0.02)
    assert areas["triangle"] == pytest.approx(0.75 * 3**0.5, rel=0.02)


def test_distances_are_those_to_the_outline():
    u = np.array([[2.0, 0.0, -1.0]], np.float32)
    v = np.zeros_like(u)
    square = signed_distance(CLASS_NAMES.index("square"), u, v)
    np.testing.assert_allclose(square, [[1.0, -(0.5**0.5), 0.0]], atol=1e-6)
    disc = signed_distance(CLASS_NAMES.index("disc"), u, v)
    np.testing.assert_allclose(disc, [[1.1, -0.9, 0.1]], atol=1e-6)


@pytest.mark.slow
def test_the_sample_is_what_the_command_makes(tmp_path: Path):
    shapes.main([str(tmp_path), "--train", "64", "--val", "32", "--seed", "0"])
    for split, count in (("train", 64), ("val", 32)):
        made = json.loads((tmp_path / "annotations" / f"{split}.json").read_text())
        assert made == json.loads((SAMPLE / "annotations" / f"{split}.json").read_text())
        names = sorted(p.name for p in (SAMPLE / "images" / split).iterdir())
        assert names == [image["file_name"] for image in made["images"]]
        assert len(names) == count
        # JPEG decoders may differ by a little from one version to the next.
        for name in names[:4]:
            with (
                Image.open(SAMPLE / "images" / split / name) as shipped,
                Image.open(tmp_path / "images" / split / name) as fresh,
            ):
                difference = np.asarray(shipped).astype(int) - np.asarray(fresh)
            assert np.abs(difference).mean() < 1


def test_the_sample_is_small():
    assert sum(p.stat().st_size for p in SAMPLE.rglob("*") if p.is_file()) < 3_000_000


def test_a_data_set_of_another_seed_is_another(tmp_path: Path):
    for seed in (0, 1):
        write_shapes_dataset(tmp_path / str(seed), 2, 1, seed)
    contents = [(tmp_path / str(s) / "annotations" / "train.json").read_text() for s in (0, 1)]
    assert json.loads(contents[0])["annotations"] != json.loads(contents[1])["annotations"]
