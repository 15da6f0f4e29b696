"""Two backbones against each other: known distances, and what is told of them."""

from pathlib import Path

import pytest
import torch

import rtdetr_nb as rt
from rtdetr_nb.diagnostics.movement.compare_values import compare_values
from rtdetr_nb.errors import CheckpointError
from tests.checkpoint.wild import as_hugging_face, backbone, save
from tests.paths import DATA


@pytest.fixture(scope="module")
def state() -> dict:
    return {name: value.clone() for name, value in backbone().items()}


def test_a_file_with_itself_is_bit_identical() -> None:
    demo = DATA / "demo_backbone_mmdet.pth"
    report = compare_values(demo, demo)
    assert report.verdict == "ok" and report.whole.identical == report.whole.tensors == 400
    assert report.whole.distance == 0.0 and report.whole.cosine == pytest.approx(1.0)
    assert "bit for bit" in report.sentence and "one backbone" in str(report)


def test_a_scaled_stage_lies_as_far_as_it_was_scaled(tmp_path: Path, state: dict) -> None:
    moved = {n: v * 1.1 if n.startswith("stages.2") else v for n, v in state.items()}
    report = compare_values(
        save({"model": state}, tmp_path / "a.pth"), save({"model": moved}, tmp_path / "b.pth")
    )
    parts = report.parts
    assert parts.distance["stages.2"] == pytest.approx(0.1, rel=1e-5)
    assert parts.cosine["stages.2"] == pytest.approx(1.0)
    assert parts.norm_b["stages.2"] == pytest.approx(1.1 * parts.norm_a["stages.2"], rel=1e-5)
    assert parts.statistics["stages.2"] == pytest.approx(0.1, rel=1e-5)
    assert (parts.distance[["stem", "stages.0", "stages.1", "stages.3"]] == 0).all()
    assert "most in stages.2 (10 %)" in report.sentence and "least in stem (0)" in report.sentence
    assert any("Bit-identical: stem, stages.0" in f.what for f in report.findings)
    assert len(report.table) == 80 and (report.table.part == "stages.2").sum() == 43


def test_names_of_another_library_are_compared_by_what_they_are(
    tmp_path: Path, state: dict
) -> None:
    report = compare_values(
        save({"model": state}, tmp_path / "a.pth"),
        save(as_hugging_face(state), tmp_path / "b.pth"),
    )
    assert report.whole.distance == 0.0


def test_two_copies_of_one_file_are_named_by_where_they_lie(tmp_path: Path, state: dict) -> None:
    content = {"model": state, "ema": {"module": {n: v + 0.01 for n, v in state.items()}}}
    opened = rt.open_checkpoint(save(content, tmp_path / "a.pth"))
    first, second = opened.candidates[:2]
    report = rt.compare_values(first, second)
    assert {report.a, report.b} == {first.name, second.name}
    assert 0 < report.whole.distance < 0.1


def test_chance_has_nothing_in_common_and_that_is_no_alarm(tmp_path: Path, state: dict) -> None:
    torch.manual_seed(0)
    one, other = ({n: torch.randn_like(v) for n, v in state.items()} for _ in range(2))
    report = compare_values(save(one, tmp_path / "a.pth"), save(other, tmp_path / "b.pth"))
    assert abs(report.whole.cosine) < 0.01 and report.verdict == "ok"
    assert any("Nothing in common" in finding.what for finding in report.findings)


def test_what_cannot_be_compared_is_told(tmp_path: Path, state: dict) -> None:
    last = "stages.3.blocks.0.layers.0.conv1.conv.weight"
    broken = {**state, last: torch.full_like(state[last], float("nan"))}
    less = {n: v for n, v in broken.items() if not n.startswith("stem.stem4")}
    report = compare_values(save(state, tmp_path / "a.pth"), save(less, tmp_path / "b.pth"))
    assert report.verdict == "failed"
    words = " ".join(finding.what for finding in report.findings)
    assert "5 tensors in a.pth only" in words and "1 layer of b.pth with values" in words
    x = save(backbone(variant="X"), tmp_path / "x.pth")
    assert compare_values(tmp_path / "a.pth", x).verdict == "warnings"
    with pytest.raises(CheckpointError):
        compare_values(tmp_path / "a.pth", save({"a": torch.ones(2)}, tmp_path / "none.pth"))


def test_the_figure_has_a_mark_a_layer(tmp_path: Path, state: dict) -> None:
    moved = {n: v * 1.01 if n.startswith("stages.2") else v for n, v in state.items()}
    figure = compare_values(
        save(state, tmp_path / "a.pth"), save(moved, tmp_path / "b.pth")
    ).figure()
    marks = [len(line.get_xdata()) for line in figure.axes[0].lines if line.get_marker() in "ox"]
    assert sum(marks) == 80
