"""Written as other libraries would: their key tables, and read back to the same values."""

import json

import pytest
import torch

from rtdetr_nb.architecture.state_dict_table import backbone_keys
from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.naming.renaming import rename_back
from rtdetr_nb.checkpoint.tuning.write_as import LIBRARIES, dialect_table, write_as
from rtdetr_nb.errors import TuningError
from tests.checkpoint.wild import CONFIG
from tests.paths import REFERENCE


@pytest.mark.parametrize(
    ("library", "table", "variant", "prefix"),
    [
        ("dfine", "dfine_backbone_B4_freeze_norm_False", "L", ""),
        ("timm", "timm_hgnetv2_b4_features_only", "L", ""),
        ("huggingface", "hf_rtdetrv2_hgnetv2_L_full", "L", "model.backbone.model."),
        ("ultralytics", "ultralytics_rtdetr_l", "L", "model."),
        ("ultralytics", "ultralytics_rtdetr_x", "X", "model."),
        ("paddle", "paddledet_PPHGNetV2_L_freeze_norm_True", "L", ""),
    ],
)
def test_the_names_are_in_the_librarys_own_table(library, table, variant, prefix):
    real = json.loads((REFERENCE / "dialects" / f"{table}.json").read_text())
    ours = backbone_keys(variant, freeze_norm=True)
    spelled = rename_back(ours, LIBRARIES[library])
    names = {prefix + name.removeprefix(LIBRARIES[library].prefix) for name in spelled.values()}
    assert len(names) == len(ours)
    assert names <= set(real)
    for official, name in spelled.items():
        key = prefix + name.removeprefix(LIBRARIES[library].prefix)
        assert tuple(real[key][0]) == ours[official].shape


@pytest.mark.parametrize("library", LIBRARIES)
def test_it_comes_back_with_the_same_values(backbone_diff, tmp_path, library):
    selection = backbone_diff.select(parts=["stem", "stages.0", "stages.1"])
    path = write_as(selection, tmp_path / "a.pth", library)
    diff = compare(open_checkpoint(path), CONFIG)
    again, before = diff.select().read(), selection.read()
    assert diff.counts["matched"] == len(selection) == 110 and diff.counts["unused"] == 0
    for key, value in before.items():
        # Ultralytics' epsilon goes into the variance and out again: one rounding of float32.
        torch.testing.assert_close(again[key], value, rtol=3e-7, atol=0)


def test_ultralytics_variances_are_its_own(backbone_diff, tmp_path):
    selection = backbone_diff.select("stem.stem1.*")
    path = write_as(selection, tmp_path / "a.pth", "ultralytics")
    state = torch.load(path, weights_only=True)["model"]
    ours = selection.read()["backbone.stem.stem1.bn.running_var"]
    theirs = state["model.0.stem1.bn.running_var"]
    torch.testing.assert_close(theirs + 1e-3, ours + 1e-5)
    assert not torch.equal(theirs, ours)


def test_dfines_file_is_what_its_strict_load_takes(backbone_diff, tmp_path):
    path = write_as(backbone_diff.select(), tmp_path / "PPHGNetV2_B4_stage1.pth", "dfine")
    written = torch.load(path, weights_only=True)
    table = json.loads(
        (REFERENCE / "dialects" / "dfine_backbone_B4_freeze_norm_False.json").read_text()
    )
    frozen = {name: info for name, info in table.items() if not name.endswith("tracked")}
    assert {name: list(value.shape) for name, value in written.items()} == {
        name: shape for name, (shape, _) in frozen.items()
    }
    assert compare(open_checkpoint(path), CONFIG).candidate.dialect == "dfine"


def test_what_cannot_be_written_is_a_sentence(backbone_diff, tmp_path):
    selection = backbone_diff.select("stem.stem1.*")
    with pytest.raises(TuningError, match="no library 'tensorflow'"):
        write_as(selection, tmp_path / "a.pth", "tensorflow")
    with pytest.raises(TuningError, match="cannot be written"):
        write_as(selection, tmp_path / "absent" / "a.pth", "timm")


def test_the_names_side_by_side(backbone_diff):
    table = dialect_table(backbone_diff.select("stem.stem1.*").keys)
    assert len(table) == 5 * len(LIBRARIES)
    first = table[table.official == "backbone.stem.stem1.conv.weight"].set_index("library")
    there = first["name there"]
    assert there["huggingface"] == "model.backbone.model.embedder.stem1.convolution.weight"
    assert there["ultralytics"] == "model.0.stem1.conv.weight"
