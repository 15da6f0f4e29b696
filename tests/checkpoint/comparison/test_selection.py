"""Selections: patterns, parts, blocks, rows, set operations, JSON, and what is refused."""

import json

import pytest
import torch

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.errors import SelectionError
from tests.checkpoint.wild import CONFIG, backbone, prefixed, save, tensor


@pytest.mark.parametrize(
    ("include", "exclude", "count"),
    [
        (None, (), 400),
        ("backbone.*", (), 400),
        (["stem.*"], (), 25),
        (["stem"], (), 25),
        (["backbone.stem.*"], (), 25),
        (["stem.*", "stages.0.*"], (), 65),
        (["stages.*"], ["stages.2.*"], 160),
        (["*.conv.weight", "*.conv.1.weight"], (), 80),
        (["stages.[01].*"], (), 85),
        (["stem.stem1.conv.weight"], (), 1),
    ],
)
def test_patterns(backbone_diff, include, exclude, count):
    assert len(backbone_diff.select(include, exclude)) == count


def test_parts_blocks_and_rows(backbone_diff):
    assert len(backbone_diff.select(parts=["stem", "stages.3"])) == 100
    assert len(backbone_diff.select(blocks=["stages.2.blocks.1"])) == 70
    assert len(backbone_diff.select("*.conv.weight", blocks=["stages.2.blocks.1"])) == 14
    rows = [row for row in backbone_diff.rows if row.block == "stem4"]
    assert set(backbone_diff.select(rows=rows)) == {row.model_key for row in rows}
    assert "backbone.stem.stem4.conv.weight" in backbone_diff.select(rows=rows)


def test_the_order_is_the_models(backbone_diff):
    keys = list(backbone_diff.select(["stages.0.*", "stem.*"]))
    assert keys == [r.model_key for r in backbone_diff.rows if r.part in ("stem", "stages.0")]


def test_set_operations(backbone_diff):
    stem, first = backbone_diff.select("stem"), backbone_diff.select(["stem", "stages.0"])
    assert (stem | first).keys == first.keys
    assert (stem & first).keys == stem.keys
    assert (first - stem).keys == backbone_diff.select("stages.0").keys
    with pytest.raises(SelectionError, match="Nothing is left"):
        _ = stem - first


def test_selections_of_different_files_do_not_combine(backbone_diff, detector_diff):
    with pytest.raises(SelectionError, match="different comparisons"):
        _ = backbone_diff.select("stem") | detector_diff.select("stem")


def test_json_round_trip(backbone_diff):
    selection = backbone_diff.select(["stem", "stages.0"], ["*.running_var"])
    again = Selection.from_json(selection.to_json(), backbone_diff)
    assert again == selection
    saved = json.loads(selection.to_json())
    saved["keys"].append("backbone.stem.stem9.conv.weight")
    with pytest.raises(SelectionError, match="stem9"):
        Selection.from_json(json.dumps(saved), backbone_diff)
    with pytest.raises(SelectionError, match="no saved selection"):
        Selection.from_json("[1]", backbone_diff)
    for keys in (5, [[1]], {"a": 1}):
        with pytest.raises(SelectionError, match="no saved selection"):
            Selection.from_json(json.dumps({**saved, "keys": keys}), backbone_diff)


@pytest.fixture
def mismatched_diff(tmp_path):
    state = prefixed("backbone.", backbone())
    state["backbone.stem.stem1.conv.weight"] = tensor("four", (32, 4, 3, 3))
    return compare(open_checkpoint(save({"model": state}, tmp_path / "a.pth")), CONFIG)


def test_a_tensor_of_another_shape_is_refused_by_name(mismatched_diff):
    key = "backbone.stem.stem1.conv.weight"
    row = next(row for row in mismatched_diff.rows if row.model_key == key)
    for choose in ({"include": key}, {"include": "stem.stem1.conv.weight"}, {"rows": [row]}):
        with pytest.raises(SelectionError, match=r"\[32, 4, 3, 3\].*\[32, 3, 3, 3\]"):
            mismatched_diff.select(**choose)


def test_a_tensor_of_another_shape_is_left_out_aloud_by_pattern(mismatched_diff):
    selection = mismatched_diff.select("stem.*")
    assert len(selection) == 24
    assert any("stem1.conv.weight is left out" in warning for warning in selection.warnings)


@pytest.mark.parametrize(
    ("choose", "words"),
    [
        ({"include": "stem.stm1.*"}, "No tensor of the model matches"),
        ({"include": "stages.2.downsample.conv.weigth"}, "Did you mean 'stages.2.downsample"),
        ({"parts": ["stage.2"]}, "Did you mean 'stages.2'"),
        ({"include": "STEM.*"}, r"Did you mean 'stem\.\*'"),
        ({"include": "backbone.stem.stm1.*"}, r"Did you mean 'stem\.stem1\.\*'"),
        ({"rows": ["zzz"]}, "diff.table lists the names"),
        ({"include": "head.*"}, "The parts are .*encoder.*stages.0.*stem"),
        ({"rows": ["backbone.stem.stem1.conv.wieght"]}, "Did you mean 'backbone.stem.stem1.conv"),
        ({"blocks": ["stages.2.blocks.7"]}, "no block"),
        ({"rows": ["encoder.input_proj.0.conv.weight"]}, "cannot be taken"),
        ({"include": "encoder.*"}, "Nothing that fits"),
        ({"include": "stem", "exclude": "stem"}, "Nothing that fits"),
        ({"exclude": "stem.stm1.*"}, r"Did you mean 'stem\.stem1\.\*'"),
    ],
)
def test_what_cannot_be_selected_says_why(backbone_diff, choose, words):
    with pytest.raises(SelectionError, match=words):
        backbone_diff.select(**choose)


def test_a_convolution_without_its_norm_warns(backbone_diff):
    selection = backbone_diff.select("stem.*", "*.running_*")
    (warning,) = selection.warnings
    assert "5 convolutions" in warning and "backbone.stem.stem1" in warning
    assert "warning" in str(selection) and "warning" in selection._repr_html_()
    assert not backbone_diff.select("stem.*").warnings
    assert not backbone_diff.select("*.bn.*").warnings


def test_values_come_out_under_official_names(backbone_diff):
    tensors = backbone_diff.select("stem.*").read()
    for name, value in backbone().items():
        if name.startswith("stem."):
            assert torch.equal(tensors[f"backbone.{name}"], value)
    assert all(value.dtype == torch.float32 for value in tensors.values())


def test_patterns_may_come_from_a_generator(backbone_diff):
    parts = ("stages.0", "stages.1")
    selection = backbone_diff.select((p for p in ("stem", *parts)), (p for p in parts))
    assert selection.keys == backbone_diff.select("stem").keys
    assert selection.description == "include stem stages.0 stages.1, exclude stages.0 stages.1"
