"""Data sets as tools and people write them: mended and told, or refused, beside sound ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtdetr_nb.datasets.batches.coco import DetectionDataset
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.errors import DatasetError
from tests.datasets.builders import coco_content, make_truth, perfect, write_json, write_kit

Change = Callable[[dict[str, Any]], None]


def change_files(root: Path, *changes: Change, splits: tuple[str, ...] = ("train", "val")) -> Path:
    """The kit's layout with its annotation files changed."""
    write_kit(root)
    for split in splits:
        content = coco_content(make_truth(split))
        for change in changes:
            change(content)
        write_json(root / "annotations" / f"{split}.json", content)
    return root


def each_annotation(**values: Any) -> Change:
    """Give every annotation these values; a callable makes one of the annotation."""

    def change(content: dict[str, Any]) -> None:
        for entry in content["annotations"]:
            entry |= {k: v(entry) if callable(v) else v for k, v in values.items()}

    return change


def without(key: str, kind: str = "annotations") -> Change:
    def change(content: dict[str, Any]) -> None:
        for entry in content[kind]:
            del entry[key]

    return change


def restarting_ids(content: dict[str, Any]) -> None:
    seen: dict[int, int] = {}
    for entry in content["annotations"]:
        entry["id"] = seen[entry["image_id"]] = seen.get(entry["image_id"], -1) + 1


def renamed_ids(images: Callable[[int], Any], categories: Callable[[int], Any]) -> Change:
    def change(content: dict[str, Any]) -> None:
        for entry in content["images"]:
            entry["id"] = images(entry["id"])
        for entry in content["categories"]:
            entry["id"] = categories(entry["id"])
        for entry in content["annotations"]:
            entry["image_id"] = images(entry["image_id"])
            entry["category_id"] = categories(entry["category_id"])

    return change


def same(value: int) -> int:
    return value


def polygons(content: dict[str, Any]) -> None:
    for entry in content["annotations"]:
        x, y, w, h = entry.pop("bbox")
        entry["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]


def masks(content: dict[str, Any]) -> None:
    sizes = {each["id"]: (each["width"], each["height"]) for each in content["images"]}
    for entry in content["annotations"]:
        x, y, w, h = entry["bbox"]
        entry["bbox"] = []
        width, height = sizes[entry["image_id"]]
        mask = np.zeros((height, width), bool)
        mask[y : y + h, x : x + w] = True
        flat = np.concatenate([[False], mask.T.ravel(), [False]])
        edges = np.flatnonzero(flat[1:] != flat[:-1])
        runs = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
        entry["segmentation"] = {"size": [height, width], "counts": runs}


# What was changed, and the kinds of note that tell it.
MENDED = {
    "sound": ((), set()),
    "annotation ids restart": ((restarting_ids,), set()),
    "no annotation ids": ((without("id"),), set()),
    "gaps": ((renamed_ids(lambda i: 1000 - 7 * i, lambda i: 5 * i + 2),), set()),
    "image ids in quotes": (
        (renamed_ids(str, same),), {"picture ids in quotes", "ids in quotes"}),
    "image ids of text": (
        (renamed_ids("frame-{}".format, same),), {"picture ids as text", "ids in quotes"}),
    "image ids too large": (
        (renamed_ids(lambda i: 2**60 + i, same),), {"picture ids as text"}),
    "category ids in quotes": (
        (renamed_ids(same, lambda i: str(i + 1)),), {"category ids in quotes", "ids in quotes"}),
    "category ids of text": (
        (renamed_ids(same, "c{}".format),),
        {"category ids as text", "ids in quotes", "labels of our own"}),
    "category ids of eight digits": (
        (renamed_ids(same, lambda i: 74_000_000 + i),), {"labels of our own"}),
    "negative category ids": ((renamed_ids(same, lambda i: i - 1),), {"labels of our own"}),
    "no iscrowd": ((without("iscrowd"),), {"no iscrowd"}),
    "iscrowd null": ((each_annotation(iscrowd=None),), {"no iscrowd"}),
    "iscrowd text": ((each_annotation(iscrowd="0"),), {"iscrowd as text"}),
    "iscrowd bool": ((each_annotation(iscrowd=False),), {"iscrowd as text"}),
    "no area": ((without("area"),), {"no area"}),
    "area null": ((each_annotation(area=None),), {"no area"}),
    "area text": (
        (each_annotation(area=lambda a: str(a["area"])),), {"numbers in quotes"}),
    "bbox text": (
        (each_annotation(bbox=lambda a: [str(v) for v in a["bbox"]]),), {"numbers in quotes"}),
    "no category name": ((without("name", "categories"),), {"no category name"}),
    "polygons without boxes": ((polygons,), {"boxes of polygons"}),
    "masks without boxes": ((masks,), {"boxes of masks"}),
    "no size": ((without("width", "images"),), {"no size"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", MENDED)
def test_what_can_be_mended_is_and_is_told(kind: str, tmp_path: Path) -> None:
    changes, told = MENDED[kind]
    data = open_data(change_files(tmp_path, *changes))
    assert {note.kind for note in data.notes} == told
    for note in data.notes:
        assert note.level == "note" and str(note).endswith(".") and "{" not in note.what
    content = json.loads((tmp_path / "annotations" / "val.json").read_text())
    detections = data.val.truth if "bbox" not in content["annotations"][0] else perfect(content)
    if kind in ("masks without boxes", "bbox text"):
        detections = data.val.truth
    assert data.val.evaluate(detections).ap == pytest.approx(1.0, abs=1e-9)
    truth = {each.name: each for each in make_truth("train")}
    order = sorted(data.rule.label(c.id) for c in data.train.pictures.categories)
    dataset = DetectionDataset(data.train, num_classes=data.num_classes)
    for index in range(len(dataset)):
        _, target = dataset[index]
        expected = truth[data.train.image_path(index).name].boxes
        assert [order.index(int(label)) for label in target["labels"]] == [b[0] for b in expected]
        xyxy = [[x, y, x + w, y + h] for _, x, y, w, h in expected]
        assert target["boxes"].tolist() == xyxy
        assert target["iscrowd"].sum() == 0


def test_labels_stay_the_ids_where_the_official_code_trains_on_them(tmp_path: Path) -> None:
    data = open_data(change_files(tmp_path, renamed_ids(same, lambda i: 5 * i + 2)))
    assert data.train.classes == {2: "cat", 7: "dog", 12: "owl"}
    assert data.settings["num_classes"] == 13 and "data" not in data.settings
    own = open_data(change_files(tmp_path / "own", renamed_ids(same, lambda i: 10**7 - i)))
    assert own.train.classes == {0: "owl", 1: "dog", 2: "cat"}
    assert own.settings["num_classes"] == 3 and own.settings["data"] == str(tmp_path / "own")
    assert "num_classes: 3" in str(next(n for n in own.notes if n.kind == "labels of our own"))


REFUSED: dict[str, tuple[Change, str]] = {
    "one id for two pictures": (
        lambda c: c["images"][1].update(id=0),
        r"two pictures have the id 0: \w+_0\.png and \w+_1\.png"),
    "one id for two categories": (
        lambda c: c["categories"][1].update(id=0), "two categories have the id 0: 'cat' and 'dog'"),
    "a picture without a name": (
        lambda c: c["images"][2].pop("file_name"), "entry 2 of images .* id and file_name"),
    "a picture without an id": (lambda c: c["images"][2].update(id=None), "entry 2 of images"),
    "a category without an id": (lambda c: c["categories"][1].pop("id"), "entry 1 of categories"),
    "a category that is not listed": (
        lambda c: c["annotations"][0].update(category_id=9), "category id 9.*do not list.*0, 1, 2"),
    "no category id": (
        lambda c: c["annotations"][1].pop("category_id"), "entry 1 of annotations"),
    "an image id that is a list": (
        lambda c: c["annotations"][1].update(image_id=[1]), "annotation 2 has the image_id"),
    "three numbers": (
        lambda c: c["annotations"][1].update(bbox=[1, 2, 3]), "annotation 2 has the bbox.*four"),
    "a box of words": (
        lambda c: c["annotations"][1].update(bbox=list("abcd")), "annotation 2 has the bbox"),
    "no box at all": (
        lambda c: c["annotations"][1].pop("bbox"), "annotation 2 has the bbox None"),
    "a broken mask": (
        lambda c: c["annotations"][1].update(bbox=[], segmentation={"counts": [1], "size": [2, 2]}),
        "annotation 2 has no bbox, and its segmentation"),
    "an area of words": (
        lambda c: c["annotations"][1].update(area="large"), "annotation 2 has the area 'large'"),
    "an iscrowd of words": (
        lambda c: c["annotations"][1].update(iscrowd="maybe"), "annotation 2 has the iscrowd"),
    "a size of words": (
        lambda c: c["images"][1].update(width="wide"), r"picture \w+_1\.png has the size 'wide'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_mended_names_file_and_entry(kind: str, tmp_path: Path) -> None:
    change, said = REFUSED[kind]
    with pytest.raises(DatasetError, match=said) as caught:
        open_data(change_files(tmp_path, change, splits=("train",)))
    assert str(tmp_path / "annotations" / "train.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_picture_that_is_listed_twice_is_taken_once(tmp_path: Path) -> None:
    data = open_data(change_files(tmp_path, lambda c: c["images"].append(c["images"][0])))
    assert len(data.train) == 6
    assert {note.kind for note in data.notes} == {"picture twice"}


def numbered(names: tuple[str, ...], first: int) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["categories"] = [{"id": i, "name": n} for i, n in enumerate(names, start=first)]
        for entry in content["annotations"]:
            entry["category_id"] = first + entry["category_id"] % len(names)

    return change


@pytest.mark.parametrize(
    ("names", "first", "said"),
    [
        (("cat", "owl", "dog"), 0, "the id 1 is 'dog' in one and 'owl' in the other"),
        (("cat", "dog", "owl"), 1, "the id 1 is 'dog' in one and 'cat' in the other"),
        (("cat", "dog", "owl"), 10, "'cat' has the id 0 in one and 10 in the other"),
        (("Cat ", "dog", "owl"), 0, None),  # the same but for how it is written
        (("cat", "dog"), 0, None),  # one class is in train alone
        (("cat", "dog", "owl", "fox"), 0, None),
    ],
)
def test_train_and_val_number_their_categories_alike(
    names: tuple[str, ...], first: int, said: str | None, tmp_path: Path
) -> None:
    change_files(tmp_path, numbered(names, first), splits=("val",))
    if said is None:
        assert open_data(tmp_path).train.classes == {0: "cat", 1: "dog", 2: "owl"}
        return
    with pytest.raises(DatasetError, match=said):
        open_data(tmp_path)


def notes_of(data: DataSource, level: str) -> set[str]:
    return {note.kind for note in data.notes if note.level == level}


def fractions(content: dict[str, Any]) -> None:
    sizes = {each["id"]: (each["width"], each["height"]) for each in content["images"]}
    for entry in content["annotations"]:
        width, height = sizes[entry["image_id"]]
        x, y, w, h = entry["bbox"]
        entry["bbox"] = [x / width, y / height, w / width, h / height]


def other_pictures(content: dict[str, Any]) -> None:
    for entry in content["annotations"][1:]:
        entry["image_id"] += 100


@pytest.mark.parametrize(
    ("change", "level", "kind", "said"),
    [
        (fractions, "failure", "few usable boxes", "look like fractions"),
        (other_pictures, "warning", "few usable boxes", "do not match those of the pictures"),
    ],
)
def test_boxes_that_are_not_in_their_pictures_are_counted(
    change: Change, level: str, kind: str, said: str, tmp_path: Path
) -> None:
    data = open_data(change_files(tmp_path, change, splits=("train",)))
    assert notes_of(data, level) == {kind}
    note = next(note for note in data.notes if note.kind == kind)
    assert said in str(note) and "Of 12 annotations" in note.what
    if level == "failure":
        with pytest.raises(DatasetError, match=said):
            DetectionDataset(data.train)
    else:
        assert len(DetectionDataset(data.train)) == 6


def test_corners_in_place_of_sizes_are_noticed(tmp_path: Path) -> None:
    def corners(content: dict[str, Any]) -> None:
        for entry in content["annotations"]:
            x, y, w, h = entry["bbox"]
            entry["bbox"] = [x + 20, y + 15, x + 20 + w / 2, y + 15 + h / 2]

    data = open_data(change_files(tmp_path, corners, splits=("train",)))
    assert notes_of(data, "warning") == {"boxes as corners"}
    large = each_annotation(bbox=lambda a: [1, 1, 60, 40])  # sound boxes, as large as a picture
    assert notes_of(open_data(change_files(tmp_path / "b", large)), "warning") == set()


def test_a_few_boxes_without_a_picture_are_only_told(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["image_id"] = 99

    data = open_data(change_files(tmp_path, change))
    assert notes_of(data, "note") == {"unlisted pictures"}
    assert data.train.num_boxes == 11


def test_boxes_without_size_are_left_out_of_training_and_evaluation(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["bbox"] = [5, 5, 0, 3]

    data = open_data(change_files(tmp_path, change))
    assert notes_of(data, "note") == {"boxes without size"}
    assert data.val.evaluate(data.val.truth).ap == pytest.approx(1.0, abs=1e-9)


def test_numbers_that_are_none_are_left_out(tmp_path: Path) -> None:
    """Python writes NaN, which is no JSON, and reads it again."""

    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["bbox"] = [float("nan"), 5, 10, 3]

    data = open_data(change_files(tmp_path, change))
    assert "boxes without size" in notes_of(data, "note")
    assert data.val.evaluate(data.val.truth).ap == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
def test_a_byte_order_mark_is_read_and_told(encoding: str, tmp_path: Path) -> None:
    write_kit(tmp_path)
    for split, each in (("train", encoding), ("val", "utf-8")):
        path = tmp_path / "annotations" / f"{split}.json"
        text = path.read_text().replace('"cat"', '"chat \u00e9l\u00e9gant"')
        path.write_text(text, encoding=each)
    data = open_data(tmp_path)
    assert data.train.classes[0] == "chat \u00e9l\u00e9gant"
    told = str(tmp_path / "annotations" / "train.json")
    assert [(note.kind, note.where) for note in data.notes] == [("encoding", told)]


@pytest.mark.parametrize(
    ("name", "encoding", "seems"),
    [
        ("chat \u00e9l\u00e9gant", "latin-1", "WINDOWS-1252"),
        ("M\u00fcnchner K\u00e4tzchen", "cp1252", "WINDOWS-1252"),
        ("\u884c\u4eba\u548c\u81ea\u884c\u8f66", "gbk", "GB18030"),
        ("\u043a\u043e\u0448\u043a\u0430", "cp1251", "WINDOWS-1251"),
        ("\u0441\u043e\u0431\u0430\u043a\u0430", "cp1251", "WINDOWS-1251"),
        ("\u30cd\u30b3\u3068\u72ac", "shift_jis", "SHIFT_JIS"),
        ("\uace0\uc591\uc774", "euc-kr", "EUC-KR"),
    ],
)
def test_another_encoding_is_named(name: str, encoding: str, seems: str, tmp_path: Path) -> None:
    write_kit(tmp_path)
    path = tmp_path / "annotations" / "train.json"
    path.write_bytes(path.read_text().replace('"cat"', f'"{name}"').encode(encoding))
    with pytest.raises(DatasetError, match=rf"not in UTF-8.*seems to be {seems}\."):
        open_data(tmp_path)


def test_a_full_picture_is_told(tmp_path: Path) -> None:
    def fill(content: dict[str, Any]) -> None:
        first = content["annotations"][0]
        content["annotations"] += [{**first, "id": 1000 + i} for i in range(150)]

    data = open_data(change_files(tmp_path, fill, splits=("train",)))
    assert notes_of(data, "note") == {"many boxes in a picture"}
