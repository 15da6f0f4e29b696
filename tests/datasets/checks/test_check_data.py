"""What a check finds in data with planted faults, and that it says nothing of sound data."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtdetr_nb.cli.main import main
from rtdetr_nb.datasets.checks.check_data import check_data
from rtdetr_nb.datasets.checks.report import DataReport
from rtdetr_nb.datasets.checks.same_bytes import same_bytes
from rtdetr_nb.errors import DatasetError, UserError
from tests.datasets.builders import write_kit, write_voc, write_yolo
from tests.paths import DATA

SHAPES = DATA / "shapes"
Change = Callable[[dict[str, Any], Path], object]


def changed(root: Path, change: Change, split: str = "train") -> DataReport:
    """The report of a small data set whose annotations or pictures were changed."""
    write_kit(root)
    path = root / "annotations" / f"{split}.json"
    content = json.loads(path.read_text())
    change(content, root)
    path.write_text(json.dumps(content))
    return check_data(root, "all")


def kinds(report: DataReport, *levels: str) -> set[str]:
    return {note.kind for note in report.findings if not levels or note.level in levels}


@pytest.mark.parametrize("pictures", ["none", "sample", "all"])
def test_the_sample_is_sound(pictures):
    report = check_data(SHAPES, pictures)
    assert report.verdict == "ok"
    assert kinds(report, "warning", "failure") == set()
    assert report.decoded == {"none": 0, "sample": 96, "all": 96}[pictures]


@pytest.mark.parametrize("write", [write_kit, write_yolo, write_voc])
def test_a_small_sound_set_is_sound_in_any_layout(write, tmp_path):
    report = check_data(write(tmp_path), "all")
    assert report.verdict == "ok" and report.odd["train"].outside == 0


def double_a_box(content: dict[str, Any], _: Path) -> None:
    content["annotations"].append({**content["annotations"][0], "id": 999})


def move_a_box_outside(content: dict[str, Any], _: Path) -> None:
    content["annotations"][0]["bbox"] = [500, 500, 10, 10]


def make_a_box_tiny(content: dict[str, Any], _: Path) -> None:
    content["annotations"][0]["bbox"] = [3, 3, 0.2, 9]


def break_a_picture(_: dict[str, Any], root: Path) -> None:
    path = root / "images" / "train" / "train_0.png"
    path.write_bytes(path.read_bytes()[:200])


def repeat_a_picture(_: dict[str, Any], root: Path) -> None:
    folder = root / "images" / "train"
    shutil.copy(folder / "train_0.png", folder / "train_1.png")


def leak_a_picture(_: dict[str, Any], root: Path) -> None:
    shutil.copy(root / "images" / "train" / "train_0.png", root / "images" / "val" / "val_0.png")


def forget_a_class(content: dict[str, Any], _: Path) -> None:
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] != 2]


def add_an_empty_class(content: dict[str, Any], _: Path) -> None:
    content["categories"].append({"id": 3, "name": "ghost"})


def forget_most_boxes(content: dict[str, Any], _: Path) -> None:
    first = content["annotations"][0]["image_id"]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] == first]


@pytest.mark.parametrize(
    ("change", "kind", "level"),
    [
        (double_a_box, "doubled boxes", "warning"),
        (move_a_box_outside, "boxes outside", "warning"),
        (make_a_box_tiny, "tiny boxes", "note"),
        (break_a_picture, "broken pictures", "failure"),
        (repeat_a_picture, "pictures twice", "note"),
        (leak_a_picture, "pictures in both splits", "warning"),
        (forget_a_class, "classes that are not trained", "warning"),
        (add_an_empty_class, "classes without boxes", "note"),
        (forget_most_boxes, "pictures without boxes", "warning"),
    ],
)
def test_a_planted_fault_is_found(change, kind, level, tmp_path):
    report = changed(tmp_path, change)
    (found,) = [note for note in report.findings if note.kind == kind]
    assert found.level == level and found.count >= 1
    assert kind not in kinds(changed(tmp_path / "sound", lambda *_: None))


def test_every_broken_picture_is_listed(tmp_path):
    def break_all(_: dict[str, Any], root: Path) -> None:
        for path in (root / "images" / "train").iterdir():
            path.write_bytes(b"\x89PNG no picture")

    report = changed(tmp_path, break_all)
    assert report.verdict == "failed" and len(report.broken) == 6
    assert all(each.reason for each in report.broken)


def test_boxes_are_counted_by_class_and_split():
    report = check_data(SHAPES, "none")
    annotations = json.loads((SHAPES / "annotations" / "train.json").read_text())["annotations"]
    assert report.table["boxes_train"].sum() == len(annotations)
    sizes = report.table[["small", "medium", "large"]].sum(axis=1)
    np.testing.assert_allclose(sizes, 1.0)
    assert list(report.splits["pictures"]) == [64, 32]


def test_a_full_picture_is_told_against_the_queries(tmp_path):
    write_kit(tmp_path)
    assert "crowded pictures" in kinds(check_data(tmp_path, "none", num_queries=2))
    assert "crowded pictures" not in kinds(check_data(tmp_path, "none"))


def test_another_mix_of_classes_is_told(tmp_path):
    def one_class(content: dict[str, Any], _: Path) -> None:
        content["annotations"] = [
            {**a, "id": 100 * i + a["id"], "category_id": 0}
            for a in content["annotations"]
            for i in range(12)
        ]

    def repeat(content: dict[str, Any], _: Path) -> None:
        content["annotations"] = [
            {**a, "id": 100 * i + a["id"]} for a in content["annotations"] for i in range(12)
        ]

    changed(tmp_path, repeat, "val")
    report = changed_in_place(tmp_path, one_class)
    assert "another mix of classes" in kinds(report)
    sound = tmp_path / "sound"
    changed(sound, repeat, "val")
    assert "another mix of classes" not in kinds(changed_in_place(sound, repeat))


def changed_in_place(root: Path, change: Change) -> DataReport:
    path = root / "annotations" / "train.json"
    content = json.loads(path.read_text())
    change(content, root)
    path.write_text(json.dumps(content))
    return check_data(root, "none")


def test_a_report_is_a_sentence_a_page_a_figure_and_plain_values():
    report = check_data(SHAPES, "none")
    assert "64 pictures to train on and 32 to evaluate on" in str(report)
    assert ">ok<" in report._repr_html_() and report.names[0] in report._repr_html_()
    assert len(report.figure().axes) == 4
    assert json.loads(json.dumps(report.to_json(), default=str))["verdict"] == "ok"


def test_what_cannot_be_opened_or_asked_is_a_sentence(tmp_path):
    with pytest.raises(DatasetError):
        check_data(tmp_path / "nowhere")
    with pytest.raises(UserError, match="none, sample, all"):
        check_data(SHAPES, "some")


def test_files_with_the_same_bytes_are_grouped(tmp_path):
    contents = {"a": b"x" * 40_000, "b": b"x" * 40_000, "c": b"x" * 39_999 + b"y", "d": b""}
    middle = bytearray(contents["a"])
    middle[20_000] = 0  # differs where neither end is
    paths = []
    for name, content in {**contents, "e": bytes(middle)}.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    assert same_bytes([*paths, tmp_path / "missing"]) == [[tmp_path / "a", tmp_path / "b"]]


def test_the_command_prints_and_ends_with_the_verdict(tmp_path, capsys):
    assert main(["check", str(SHAPES)]) == 0
    assert "ok: A run can use it" in capsys.readouterr().out
    assert main(["check", str(SHAPES), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "ok"
    changed(tmp_path, break_a_picture)
    assert main(["check", str(tmp_path), "--all"]) == 2
    assert "train_0.png" in capsys.readouterr().out
