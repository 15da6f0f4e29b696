"""Picture files: their names, how they lie, and how deep they are; each beside a sound one."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rtdetr_nb.datasets.batches.coco import DetectionDataset
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.pictures.picture_file import PictureModeError, read_picture
from rtdetr_nb.errors import DatasetError
from tests.datasets.builders import coco_content, make_truth, write_json, write_kit, write_picture

ORIENTATION = 0x0112
# How the picture lies in the file, for EXIF's number that turns it upright.
LIES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def lay(path: Path, orientation: int) -> np.ndarray:
    """Lay a picture on its side and say so; returns its pixels upright."""
    upright = Image.open(path).convert("RGB")
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    lying = upright.transpose(LIES[orientation]) if orientation in LIES else upright
    lying.save(path, exif=exif)
    return np.asarray(upright)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_to_its_listed_size(orientation: int, tmp_path: Path) -> None:
    data_folder = write_kit(tmp_path)
    pixels = lay(data_folder / "images" / "train" / "train_0.png", orientation)
    data = open_data(tmp_path)
    image, target = DetectionDataset(data.train).load(0)
    assert np.array_equal(np.asarray(image), pixels)
    assert target["orig_size"].tolist() == list(make_truth("train")[0].size_wh)
    told = [(note.kind, note.count) for note in data.notes]
    assert told == ([("turned pictures", 1)] if orientation > 1 else [])


def test_a_picture_that_was_labelled_as_it_lies_stays_so(tmp_path: Path) -> None:
    write_kit(tmp_path)
    lay(tmp_path / "images" / "train" / "train_0.png", 6)
    content = coco_content(make_truth("train"))
    first = content["images"][0]
    first["width"], first["height"] = first["height"], first["width"]
    write_json(tmp_path / "annotations" / "train.json", content)
    data = open_data(tmp_path)
    assert DetectionDataset(data.train).load(0)[0].size == (first["width"], first["height"])
    assert [note.kind for note in data.notes] == ["pictures left unturned"]


def test_a_size_that_fits_neither_way_is_a_warning(tmp_path: Path) -> None:
    write_kit(tmp_path)
    write_picture(tmp_path / "images" / "train" / "train_2.png", (33, 44))
    data = open_data(tmp_path)
    (note,) = data.notes
    assert (note.kind, note.level, note.count) == ("pictures of another size", "warning", 1)
    assert "train_2.png" in str(note)


def test_sixteen_bits_are_scaled_by_their_range(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65_535, 60 * 40).astype(np.uint16).reshape(40, 60)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    pixels = np.asarray(read_picture(tmp_path / "deep.png"))
    assert pixels.shape == (40, 60, 3)
    assert len(np.unique(pixels)) == 256
    assert np.array_equal(pixels[..., 0], np.rint(ramp / 257).astype(np.uint8))


@pytest.mark.parametrize("largest", [1.0, 255.0])
def test_floats_are_scaled_by_theirs(largest: float, tmp_path: Path) -> None:
    ramp = np.linspace(0, largest, 60 * 40, dtype=np.float32).reshape(40, 60)
    Image.fromarray(ramp).save(tmp_path / "deep.tiff")
    pixels = np.asarray(read_picture(tmp_path / "deep.tiff"))
    assert len(np.unique(pixels)) == 256
    assert np.abs(pixels[..., 0] / 255 - ramp / largest).max() < 1 / 255


@pytest.mark.parametrize(
    "values", [np.array([[-1.0, 3.0]], np.float32), np.array([[0, 70_000]], np.int32),
               np.array([[0.0, np.nan]], np.float32), np.array([[0.0, 4000.0]], np.float32)]
)  # fmt: skip
def test_values_of_another_range_are_refused_with_the_mode(values: np.ndarray, tmp_path: Path):
    Image.fromarray(values).save(tmp_path / "odd.tiff")
    with pytest.raises(PictureModeError, match="its mode is [FI] with values"):
        read_picture(tmp_path / "odd.tiff")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_other_modes_become_rgb_as_pillow_has_them(mode: str, tmp_path: Path) -> None:
    write_picture(tmp_path / "plain.png", (20, 10))
    plain = Image.open(tmp_path / "plain.png")
    path = tmp_path / ("one.tiff" if mode == "CMYK" else "one.png")
    plain.convert(mode).save(path)
    with Image.open(path) as image:
        assert image.mode == mode
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(np.asarray(read_picture(path)), expected)


def test_deep_pictures_are_told(tmp_path: Path) -> None:
    write_kit(tmp_path)
    path = tmp_path / "images" / "train" / "train_1.png"
    width, height = make_truth("train")[1].size_wh
    Image.fromarray(np.full((height, width), 30_000, np.uint16)).save(path)
    assert [(n.kind, n.count) for n in open_data(tmp_path).notes] == [("deep pictures", 1)]


NAMES = {
    "backslashes": lambda name: f"sub\\{name}",
    "windows": lambda name: f"C:\\Users\\me\\sub\\{name}",
    "prefix": lambda name: f"export/images/train/sub/{name}",
    "capitals": lambda name: f"sub/{name.upper()}",
    "quoted": lambda name: f"sub/{name}".replace("_", "%5F"),
    "slash": lambda name: f"/sub/{name}",
}


@pytest.mark.parametrize("kind", NAMES)
def test_the_one_file_that_is_meant_is_taken_and_told(kind: str, tmp_path: Path) -> None:
    write_kit(tmp_path)
    folder = tmp_path / "images" / "train"
    for picture in make_truth("train"):
        (folder / "sub").mkdir(exist_ok=True)
        (folder / picture.name).rename(folder / "sub" / picture.name)
    content = coco_content(make_truth("train"), name_of=NAMES[kind])
    write_json(tmp_path / "annotations" / "train.json", content)
    data = open_data(tmp_path)
    assert [(n.kind, n.level, n.count) for n in data.notes] == [("names of pictures", "note", 6)]
    for index, picture in enumerate(make_truth("train")):
        assert data.train.image_path(index).name == picture.name
        assert data.train.image_path(index).is_file()


def test_another_normal_form_of_unicode_is_the_same_name(tmp_path: Path) -> None:
    write_kit(tmp_path)
    folder = tmp_path / "images" / "train"
    (folder / "train_0.png").rename(folder / unicodedata.normalize("NFD", "\u00e9t\u00e9.png"))
    content = coco_content(make_truth("train"))
    content["images"][0]["file_name"] = unicodedata.normalize("NFC", "\u00e9t\u00e9.png")
    write_json(tmp_path / "annotations" / "train.json", content)
    data = open_data(tmp_path)
    assert data.train.image_path(0).is_file()
    assert [(n.kind, n.count) for n in data.notes] == [("names of pictures", 1)]


def test_missing_pictures_are_told_at_once_and_refused_before_training(tmp_path: Path) -> None:
    write_kit(tmp_path)
    for place in (1, 4):
        (tmp_path / "images" / "train" / f"train_{place}.png").unlink()
    data = open_data(tmp_path)
    (note,) = data.notes
    assert (note.kind, note.level, note.count) == ("missing pictures", "failure", 2)
    assert data.train.missing == (1, 4)
    with pytest.raises(
        DatasetError, match=r"no picture train_1\.png, train_4\.png in .*train\.json"
    ):
        DetectionDataset(data.train)
    assert len(DetectionDataset(data.val)) == 4


def test_a_file_of_another_folder_is_never_taken(tmp_path: Path) -> None:
    write_kit(tmp_path)
    folder = tmp_path / "images" / "train"
    (folder / "b").mkdir()
    (folder / "train_0.png").rename(folder / "b" / "train_0.png")
    content = coco_content(make_truth("train"))
    content["images"][0]["file_name"] = "a/train_0.png"
    write_json(tmp_path / "annotations" / "train.json", content)
    assert open_data(tmp_path).train.missing == (0,)


def test_one_file_under_two_ids_is_a_warning(tmp_path: Path) -> None:
    write_kit(tmp_path)
    content = coco_content(make_truth("train"))
    content["images"].append({**content["images"][0], "id": 50})
    write_json(tmp_path / "annotations" / "train.json", content)
    assert [(n.kind, n.level) for n in open_data(tmp_path).notes] == [
        ("pictures under two ids", "warning")
    ]
