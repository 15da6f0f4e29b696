"""Tuning files: what is written, and where it comes from."""

import json

import pytest
import torch

import rtdetr_nb
from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.tuning.load import load_tuning_file, prove_loaded
from rtdetr_nb.checkpoint.tuning.write import write_tuning_file
from rtdetr_nb.errors import TuningError
from tests.checkpoint.wild import (
    CONFIG,
    as_dfine,
    as_ultralytics,
    backbone,
    detector,
    prefixed,
    save,
)


def test_the_written_file_is_what_the_official_code_reads(backbone_diff, model, tmp_path):
    path = tmp_path / "tuning.pth"
    selection = backbone_diff.select()
    report = write_tuning_file(selection, path)
    assert report.bit_equal and len(report.equal) == 400 and report.grafted == 0
    state = torch.load(path, weights_only=True)
    assert list(state) == ["model", "rtdetr_nb"]
    for name, value in backbone().items():
        assert torch.equal(state["model"][f"backbone.{name}"], value)
    loaded = load_tuning_file(model, path)
    assert len(loaded.loaded) == 400 and len(loaded.missed) == 469
    assert all(prove_loaded(model, selection).values())


def test_provenance_says_where_the_tensors_come_from(backbone_file, tmp_path):
    path = save({"model": as_dfine(backbone())}, tmp_path / "dfine.pth")
    checkpoint = open_checkpoint(path)
    report = write_tuning_file(compare(checkpoint, CONFIG).select("stem.*"), tmp_path / "t.pth")
    written = torch.load(report.path, weights_only=True)["rtdetr_nb"]
    assert written == report.provenance
    assert written["version"] == rtdetr_nb.__version__
    assert written["source"]["file"] == "dfine.pth"
    assert written["source"]["sha256"] == checkpoint.sha256()
    assert written["candidate"]["dialect"] == "dfine"
    renamed = written["renames"]["backbone.stem.stem2a.conv.1.weight"]
    assert renamed == "model.stem.stem2a.conv.weight"
    assert "stem.*" in written["selection"]["description"]


def test_value_fixes_are_in_the_provenance(tmp_path):
    path = save({"model": as_ultralytics(backbone())}, tmp_path / "ultralytics.pth")
    selection = compare(open_checkpoint(path), CONFIG).select("stem.stem1.*")
    report = write_tuning_file(selection, tmp_path / "t.pth")
    assert list(report.provenance["value_fixes"]) == ["backbone.stem.stem1.bn.running_var"]


def test_safetensors_out_and_in(backbone_diff, model, tmp_path):
    path = tmp_path / "tuning.safetensors"
    selection = backbone_diff.select(["stem", "stages.3"])
    assert write_tuning_file(selection, path).bit_equal
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = json.loads(file.metadata()["rtdetr_nb"])
    assert metadata["selection"]["tensors"] == 100
    assert load_tuning_file(model, path).loaded == selection.keys
    assert all(prove_loaded(model, selection).values())


def test_grafting_keeps_the_base_around_the_selection(
    backbone_diff, detector_file, model, tmp_path
):
    selection = backbone_diff.select(["stem", "stages.0"])
    report = write_tuning_file(selection, tmp_path / "grafted.pth", base=detector_file)
    assert report.grafted == 869 - 65 and report.bit_equal
    written = torch.load(report.path, weights_only=True)["model"]
    base, own = detector(salt="ema"), prefixed("backbone.", backbone())
    assert list(written) == list(base)
    for name, value in written.items():
        assert torch.equal(value, own[name] if name in selection else base[name]), name
    assert report.provenance["base"]["file"] == "last.pth"
    loaded = load_tuning_file(model, report.path)
    assert not loaded.missed and not loaded.unmatched and not loaded.unused


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: {"model": prefixed("backbone.", backbone())}, "no encoder or decoder"),
        (lambda: {"model": as_dfine(backbone())}, "dfine"),
        (lambda: {"model": detector(variant="x")}, "HGNetv2-X"),
    ],
)
def test_a_base_that_does_not_fit_is_refused(backbone_diff, tmp_path, content, words):
    base = save(content(), tmp_path / "base.pth")
    with pytest.raises(TuningError, match=words):
        write_tuning_file(backbone_diff.select("stem"), tmp_path / "t.pth", base=base)
    assert not (tmp_path / "t.pth").exists()


def test_another_prefix(backbone_diff, tmp_path):
    report = write_tuning_file(backbone_diff.select("stem"), tmp_path / "t.pth", prefix="")
    assert report.bit_equal
    written = torch.load(report.path, weights_only=True)["model"]
    assert list(written)[0] == "stem.stem1.conv.weight"


def test_a_prefix_without_its_dot_is_refused(backbone_diff, tmp_path):
    with pytest.raises(TuningError, match="does not end in a dot"):
        write_tuning_file(backbone_diff.select("stem"), tmp_path / "t.pth", prefix="net")
    assert not list(tmp_path.iterdir())
