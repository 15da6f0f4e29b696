"""Class heads that are taken over: are they of the classes of the data?"""

from pathlib import Path

import pytest

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import Diff, compare
from rtdetr_nb.config.load import load_config
from rtdetr_nb.conversion.class_look import class_findings
from rtdetr_nb.datasets.open_data import open_data
from tests.checkpoint.wild import detector, save
from tests.paths import DATA

SHAPES = DATA / "shapes"
TEN = ("num_classes=10", "remap_mscoco_category=False")


@pytest.fixture
def names() -> list[str]:
    return list(open_data(SHAPES).train.classes.values())


def diff_with(folder: Path, **beside: object) -> Diff:
    config = load_config("rtdetrv2_hgnetv2_l", TEN)
    path = save({"model": detector(overrides=TEN), **beside}, folder / "a.pth")
    return compare(open_checkpoint(path), config)


def test_other_classes_are_named_from_both_sides(tmp_path: Path, names: list[str]) -> None:
    turned = names[::-1]
    diff = diff_with(tmp_path, meta={"dataset_meta": {"classes": tuple(turned)}})
    (found,) = class_findings(diff, SHAPES)
    assert found.level == "note" and repr(turned[0]) in found.what and repr(names[0]) in found.what
    assert any(
        turned[0] in note.what for note in diff.verdict.findings if "class heads" in note.what
    )


def test_the_same_classes_and_a_file_without_names_say_nothing(
    tmp_path: Path, names: list[str]
) -> None:
    for beside in ({"names": dict(enumerate(names))}, {"meta": {"CLASSES": names}}, {}):
        assert class_findings(diff_with(tmp_path, **beside), SHAPES) == []


def test_without_data_or_heads_nothing_is_compared(tmp_path: Path) -> None:
    assert class_findings(diff_with(tmp_path, names=["a"] * 10), None) == []
    demo = compare(DATA / "demo_backbone_mmdet.pth", load_config("rtdetrv2_hgnetv2_l", TEN))
    assert class_findings(demo, SHAPES) == []
    assert not any("class heads" in finding.what for finding in demo.verdict.findings)
