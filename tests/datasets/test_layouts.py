"""Every layout, of the same pictures: what is opened is what was written."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.errors import DatasetError
from tests.datasets.builders import (
    NAMES,
    coco_content,
    make_truth,
    write_coco,
    write_json,
    write_kit,
    write_picture,
    write_voc,
    write_yolo,
)

Write = Callable[[Path], Path]
SPLITS: tuple[str, ...] = ("train", "val")


def coco2017(root: Path) -> Path:
    images = {split: f"{split}2017" for split in SPLITS}
    files = {split: f"annotations/instances_{split}2017.json" for split in SPLITS}
    return write_coco(root, images, files)


def roboflow(root: Path) -> Path:
    images = {"train": "train", "val": "valid"}
    return write_coco(root, images, {s: f"{f}/_annotations.coco.json" for s, f in images.items()})


def cvat_subsets(root: Path) -> Path:
    images = {split: f"images/{split}" for split in SPLITS}
    return write_coco(root, images, {s: f"annotations/instances_{s}.json" for s in SPLITS})


def flat(root: Path) -> Path:
    images = dict.fromkeys(SPLITS, "pictures")
    names = {"train": "my_training.json", "val": "my_validation.json"}
    root = write_coco(root, images, names)
    for split, name in names.items():
        content = coco_content(make_truth(split), name_of=lambda name: f"pictures/{name}")
        write_json(root / name, content)
    return root


def json_in_each_folder(root: Path) -> Path:
    images = {"train": "train", "val": "validation"}
    return write_coco(root, images, {s: f"{f}/labels.json" for s, f in images.items()})


def kit_with_other_words(root: Path) -> Path:
    images = {"train": "images/train", "val": "images/valid"}
    files = {"train": "annotations/train.json", "val": "annotations/validation.json"}
    return write_coco(root, images, files)


def yolo_of_roboflow(root: Path) -> Path:
    """`train/images`, `train/labels` and paths that count a folder too many."""
    source = write_yolo(root / "plain")
    for split, folder in (("train", "train"), ("val", "valid")):
        for kind in ("images", "labels"):
            shutil.move(source / kind / split, root / folder / kind)
    names = ", ".join(f"'{name}'" for name in NAMES)
    text = f"train: ../train/images\nval: ../valid/images\nnc: 3\nnames: [{names}]\n"
    (root / "data.yaml").write_text(text)
    shutil.rmtree(source)
    return root


def voc_of_roboflow(root: Path) -> Path:
    """XML files among the pictures of `train` and `valid`."""
    source = write_voc(root / "plain")
    for split, folder in (("train", "train"), ("val", "valid")):
        (root / folder).mkdir(parents=True)
        for path in [*source.glob(f"*/{split}_*.png"), *source.glob(f"*/{split}_*.xml")]:
            shutil.move(path, root / folder / path.name)
    shutil.rmtree(source)
    return root


def voc_devkit(root: Path) -> Path:
    write_voc(root / "VOCdevkit" / "VOC2012")
    return root


def unpacked_too_deep(root: Path) -> Path:
    roboflow(root / "export" / "my set")
    return root / "export"


def yolo_without_yaml(root: Path) -> Path:
    """As labelling tools export it: the names of the classes in a text file."""
    write_yolo(root)
    next(root.glob("*.yaml")).unlink()
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in NAMES), "utf-8-sig")
    return root


def pictures_of_another_ending(root: Path) -> Path:
    """Labels name .jpg, the pictures were converted."""
    write_kit(root)
    for file in (root / "annotations").glob("*.json"):
        file.write_text(file.read_text().replace(".png", ".jpg"))
    return root


def pictures_in_a_folder_beside(root: Path) -> Path:
    images = {"train": "data", "val": "data"}
    return write_coco(root, images, {"train": "train.json", "val": "val.json"})


WHOLE: list[Write] = [
    yolo_without_yaml, pictures_of_another_ending, pictures_in_a_folder_beside,
    write_kit, kit_with_other_words, coco2017, roboflow, cvat_subsets, flat, json_in_each_folder,
    write_yolo, yolo_of_roboflow, write_voc, voc_of_roboflow, voc_devkit, unpacked_too_deep,
]  # fmt: skip


def boxes_by_name(data: DataSource, split: str) -> dict[str, list[tuple[int, ...]]]:
    opened = getattr(data, split)
    found = {}
    for index in range(len(opened)):
        boxes = opened.boxes(index)
        rows = np.column_stack([boxes.labels, np.rint(boxes.boxes_xywh)]).astype(int)
        assert np.allclose(boxes.boxes_xywh, rows[:, 1:], atol=1e-6)
        found[opened.image_path(index).name] = [tuple(row) for row in rows.tolist()]
    return found


@pytest.mark.parametrize("write", WHOLE, ids=lambda write: write.__name__)
def test_what_is_opened_is_what_was_written(write: Write, tmp_path: Path) -> None:
    data = open_data(write(tmp_path / "data"))
    assert data.num_classes == 3
    for name in SPLITS:
        split, truth = getattr(data, name), make_truth(name)
        assert boxes_by_name(data, name) == {each.name: each.boxes for each in truth}
        assert (len(split), split.num_boxes) == (len(truth), sum(len(t.boxes) for t in truth))
        assert split.classes == dict(enumerate(NAMES))
        assert all(split.image_path(index).is_file() for index in range(len(split)))
        assert split.evaluate(split.truth).ap == pytest.approx(1.0, abs=1e-9)
    assert not [note for note in data.notes if note.level != "note"], data.notes


@pytest.mark.parametrize("write", WHOLE, ids=lambda write: write.__name__)
def test_labels_that_are_swapped_are_noticed(write: Write, tmp_path: Path) -> None:
    val = open_data(write(tmp_path / "data")).val
    wrong = [{**each, "category_id": 2 - each["category_id"]} for each in val.truth]
    assert val.evaluate(wrong).ap < 0.9


def label_studio(root: Path) -> Path:
    write_coco(root, dict.fromkeys(SPLITS, "images"), {})
    everything = [*make_truth("train"), *make_truth("val")]
    content = coco_content(everything, name_of=lambda name: f"images\\{name}")
    write_json(root / "result.json", content)
    return root


def cvat_default(root: Path) -> Path:
    write_coco(root, dict.fromkeys(SPLITS, "images/default"), {})
    everything = [*make_truth("train"), *make_truth("val")]
    content = coco_content(everything, first_image_id=1)
    write_json(root / "annotations" / "instances_default.json", content)
    return root


def one_json(root: Path) -> Path:
    write_coco(root, dict.fromkeys(SPLITS, "."), {})
    write_json(root / "labels.json", coco_content([*make_truth("train"), *make_truth("val")]))
    return root


def voc_without_lists(root: Path) -> Path:
    return write_voc(root, lists=False)


@pytest.mark.parametrize("write", [label_studio, cvat_default, one_json, voc_without_lists])
def test_a_set_without_validation_pictures_is_split_by_a_seed(write: Write, tmp_path: Path) -> None:
    root = write(tmp_path / "data")
    data = open_data(root)
    assert (len(data.train), len(data.val)) == (8, 2)
    names = [boxes_by_name(data, split) for split in SPLITS]
    everything = {t.name: t.boxes for split in SPLITS for t in make_truth(split)}
    assert names[0] | names[1] == everything
    assert {note.kind for note in data.own_notes} == {"no validation pictures"}
    again = open_data(root)
    assert boxes_by_name(again, "val") == names[1]
    assert data.val.evaluate(data.val.truth).ap == pytest.approx(1.0, abs=1e-9)


def test_files_may_lie_anywhere(tmp_path: Path) -> None:
    write_kit(tmp_path)
    pairs = [(tmp_path / "images" / s, tmp_path / "annotations" / f"{s}.json") for s in SPLITS]
    data = DataSource.from_files(train=pairs[0], val=pairs[1])
    assert (len(data.train), len(data.val)) == (6, 4)
    assert boxes_by_name(data, "val") == boxes_by_name(open_data(tmp_path), "val")


@pytest.mark.parametrize("given", ["data.yaml", "annotations/val.json"])
def test_a_file_of_the_data_set_stands_for_it(given: str, tmp_path: Path) -> None:
    write_yolo(tmp_path) if given.endswith("yaml") else write_kit(tmp_path)
    assert len(open_data(tmp_path / given).val) == 4


def test_what_is_not_known_is_said_with_what_lies_there(tmp_path: Path) -> None:
    write_picture(tmp_path / "holiday" / "1.png", (20, 20))
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DatasetError) as caught:
        open_data(tmp_path)
    said = str(caught.value)
    assert "images/train, images/val" in said and "data.yaml" in said and "JPEGImages" in said
    assert "holiday/, notes.txt" in said
    assert "\n" not in said


def test_what_was_opened_comes_back_as_it_is(tmp_path: Path) -> None:
    data = open_data(write_kit(tmp_path))
    assert open_data(data) is data


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("7 0.5 0.5 0.1 0.1", "class 7 has no name"),
        ("cat 0.5 0.5 0.1 0.1", "expected a class and numbers"),
        ("1 0.5 0.5 0.1", "3 numbers behind the class"),
        ("1 30 20 10 8", "are pixels"),
    ],
)
def test_a_yolo_line_that_is_none_is_named(line: str, said: str, tmp_path: Path) -> None:
    write_yolo(tmp_path)
    path = tmp_path / "labels" / "train" / "train_1.txt"
    path.write_text(f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(DatasetError, match=rf"train_1\.txt, line 2.*{said}"):
        open_data(tmp_path)


def test_polygons_and_confidences_of_yolo_become_boxes(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    path = tmp_path / "labels" / "train" / "train_0.txt"
    path.write_text("0 0.5 0.5 0.2 0.4 0.97\n1 0.1 0.1 0.3 0.1 0.3 0.5\n")
    train = open_data(tmp_path).train
    width, height = make_truth("train")[0].size_wh
    fractions = np.array([[0.4, 0.3, 0.2, 0.4], [0.1, 0.1, 0.2, 0.4]])
    expected = fractions * [width, height, width, height]
    assert np.allclose(train.boxes(0).boxes_xywh, expected)


def test_pictures_without_label_file_are_told(tmp_path: Path) -> None:
    write_yolo(tmp_path)
    (tmp_path / "labels" / "train" / "train_0.txt").unlink()
    data = open_data(tmp_path)
    assert len(data.train.boxes(0).labels) == 0
    assert [(n.kind, n.count) for n in data.notes] == [("pictures without label file", 1)]


def test_a_voc_object_without_a_box_is_named(tmp_path: Path) -> None:
    write_voc(tmp_path)
    path = tmp_path / "Annotations" / "val_0.xml"
    path.write_text(path.read_text().replace("xmin", "left"))
    with pytest.raises(DatasetError, match=r"val_0\.xml: the object .* xmin"):
        open_data(tmp_path)


def test_voc_corners_from_0_are_counted_so_and_told(tmp_path: Path) -> None:
    write_voc(tmp_path)
    path = tmp_path / "Annotations" / "val_0.xml"
    x = make_truth("val")[0].boxes[0][1]
    path.write_text(path.read_text().replace(f"<xmin>{x + 1}<", "<xmin>0<"))
    data = open_data(tmp_path)
    assert "pixels from 0" in {note.kind for note in data.notes}
    assert data.val.boxes(0).boxes_xywh[0, 0] == 0


def test_paths_of_another_machine_are_found_below_the_file_and_told(tmp_path: Path) -> None:
    root = yolo_of_roboflow(tmp_path / "data")
    file = root / "data.yaml"
    file.write_text(file.read_text().replace("../", "/content/drive/MyDrive/set/"))
    data = open_data(root)
    assert boxes_by_name(data, "val") == {each.name: each.boxes for each in make_truth("val")}
    told = [note.what for note in data.notes if note.kind == "paths of another machine"]
    assert len(told) == 2 and f"{root / 'train' / 'images'} is taken for it" in told[0]
    file.write_text(file.read_text().replace("/valid/images", "/elsewhere"))
    with pytest.raises(DatasetError, match="elsewhere.*not there.*and the ends of that path"):
        open_data(root)


def test_pictures_beside_the_only_annotation_file_are_found(tmp_path: Path) -> None:
    images = dict.fromkeys(SPLITS, "test")
    root = write_coco(tmp_path / "data", images, {"train": "test/_annotations.coco.json"})
    data = open_data(root)
    assert not [note for note in data.notes if note.level == "failure"]
    assert data.train.image_path(0).parent == root / "test"


LABELME = '{"shapes": [], "imagePath": "a.png"}'
FOREIGN = {
    "LabelMe's": ("a.json", LABELME),
    "CreateML's": ("train/a.json", '[{"image": "a.png", "annotations": []}]'),
    "Supervisely's": ("ds/ann/a.png.json", "{}"),
    "a CSV file of boxes": ("a.csv", "ImageID,LabelName,XMin,XMax\n"),
    "Hugging Face's": ("train/metadata.jsonl", "{}"),
    "TensorFlow's": ("train.tfrecord", ""),
    "set.zip is packed": ("set.zip", "PK"),
}


@pytest.mark.parametrize("words", FOREIGN)
def test_what_another_tool_wrote_is_named(words: str, tmp_path: Path) -> None:
    name, content = FOREIGN[words]
    write_picture(tmp_path / "pictures" / "a.png", (32, 32))
    (tmp_path / "meta.json").write_text("{}")
    if words == "Supervisely's":
        (tmp_path / "meta.json").write_text('{"classes": []}')
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    with pytest.raises(DatasetError, match=words) as refused:
        open_data(tmp_path)
    assert "Expected a folder with" in str(refused.value)


def test_pictures_alone_and_an_unknown_folder_are_told_apart(tmp_path: Path) -> None:
    write_picture(tmp_path / "a" / "b.png", (32, 32))
    write_picture(tmp_path / "a" / "c.png", (32, 32))
    with pytest.raises(DatasetError, match="There are pictures and no labels"):
        open_data(tmp_path / "a")
    (tmp_path / "a" / "notes.md").write_text("#")
    with pytest.raises(DatasetError) as refused:
        open_data(tmp_path / "a")
    assert "looks like" not in str(refused.value) and "no labels" not in str(refused.value)


def test_names_of_classes_in_another_encoding_are_a_sentence(tmp_path: Path) -> None:
    root = yolo_without_yaml(tmp_path / "data")
    (root / "classes.txt").write_bytes("gr\u00fcn\n".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"classes\.txt cannot be read .*Save it as UTF-8"):
        open_data(root)
