"""Tuning files: written, proved, loaded by the official rules, and never half there."""

import json
import logging
import re

import pytest
import torch
from torch import nn

import rtdetr_nb
from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.tuning import proof as tuning_file
from rtdetr_nb.checkpoint.tuning.write import load_tuning_file, prove_loaded, write_tuning_file
from rtdetr_nb.errors import TuningError
from rtdetr_nb.model.build import build_model
from tests.checkpoint.wild import (
    CONFIG,
    as_dfine,
    as_ultralytics,
    backbone,
    detector,
    nest,
    prefixed,
    save,
    tensor,
)
from tests.paths import REFERENCE

OFFICIAL_LOG = REFERENCE / "official_tuning_log.txt"


@pytest.fixture(scope="module")
def built_model() -> nn.Module:
    return build_model(CONFIG)


@pytest.fixture
def model(built_model):
    """The model with its initial weights, whatever the test before loaded into it."""
    initial = {key: value.clone() for key, value in built_model.state_dict().items()}
    yield built_model
    built_model.load_state_dict(initial)


# --- writing ------------------------------------------------------------------------------------


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


def test_an_existing_file_is_only_replaced_when_told(backbone_diff, tmp_path):
    path = tmp_path / "tuning.pth"
    path.write_text("mine")
    selection = backbone_diff.select("stem")
    with pytest.raises(TuningError, match="exists"):
        write_tuning_file(selection, path)
    assert path.read_text() == "mine"
    assert write_tuning_file(selection, path, overwrite=True).bit_equal


@pytest.mark.parametrize("place", ["missing/t.pth", "."])
def test_a_place_that_cannot_be_written(backbone_diff, tmp_path, place):
    with pytest.raises(TuningError, match=r"folder"):
        write_tuning_file(backbone_diff.select("stem"), tmp_path / place)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("reason", [OSError(28, "No space left on device"), RuntimeError("write")])
def test_a_full_disk_leaves_nothing_behind(backbone_diff, tmp_path, monkeypatch, reason):
    def fail(path, *_):
        path.write_bytes(b"half")
        raise reason

    monkeypatch.setattr(tuning_file, "_write_torch", fail)
    (tmp_path / "t.pth").write_text("mine")
    with pytest.raises(TuningError, match="cannot be written"):
        write_tuning_file(backbone_diff.select("stem"), tmp_path / "t.pth", overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.pth"]
    assert (tmp_path / "t.pth").read_text() == "mine"


def test_a_write_that_does_not_come_back_is_caught(backbone_diff, tmp_path, monkeypatch):
    write = tuning_file._write_torch

    def flip_a_bit(path, tensors, provenance):
        key = next(iter(tensors))
        changed = tensors[key].clone()
        changed.view(torch.int32).view(-1)[0] ^= 1
        write(path, {**tensors, key: changed}, provenance)

    monkeypatch.setattr(tuning_file, "_write_torch", flip_a_bit)
    with pytest.raises(TuningError, match="did not come back: 1 of 25"):
        write_tuning_file(backbone_diff.select("stem"), tmp_path / "t.pth")
    assert not list(tmp_path.iterdir())


# --- loading ------------------------------------------------------------------------------------


def test_the_log_is_the_official_one(backbone_diff, model, tmp_path, caplog):
    path = tmp_path / "tuning.pth"
    write_tuning_file(backbone_diff.select(), path)
    with caplog.at_level(logging.INFO):
        load_tuning_file(model, path)
    official = OFFICIAL_LOG.read_text().replace("/data/demo/tuning.pth", str(path)).splitlines()
    assert [record.getMessage() for record in caplog.records] == official


def test_rules_of_matching_and_the_unused_keys(model, tmp_path, caplog):
    state = {
        "backbone.stem.stem1.conv.weight": tensor("a", (32, 3, 3, 3)),
        "backbone.stem.stem3.conv.weight": tensor("b", (3,)),
        "teacher.weight": tensor("c", (2,)),
    }
    before = model.state_dict()["backbone.stem.stem3.conv.weight"].clone()
    with caplog.at_level(logging.WARNING):
        report = load_tuning_file(model, save({"model": state}, tmp_path / "a.pth"))
    assert report.loaded == ("backbone.stem.stem1.conv.weight",)
    assert report.unmatched == ("backbone.stem.stem3.conv.weight",)
    assert report.unused == ("teacher.weight",)
    assert len(report.missed) == 867
    assert "teacher.weight" in caplog.text
    after = model.state_dict()
    assert torch.equal(after["backbone.stem.stem3.conv.weight"], before)
    assert torch.equal(after["backbone.stem.stem1.conv.weight"], tensor("a", (32, 3, 3, 3)))


def test_the_averaged_weights_are_preferred(model, detector_file):
    assert load_tuning_file(model, detector_file).source == "ema.module"
    key = "decoder.enc_output.proj.weight"
    assert torch.equal(model.state_dict()[key], detector(salt="ema")[key])


def test_a_parallel_wrapper_is_looked_through(model, detector_file):
    assert len(load_tuning_file(nn.DataParallel(model), detector_file).loaded) == 869


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: prefixed("backbone.", backbone()), r"KeyError: 'model'.*rtdetr-nb convert"),
        (lambda: {"ema": detector()}, r"KeyError: 'module'"),
        (lambda: {"model": detector(), "ema": None}, r"TypeError: 'NoneType' object"),
        (lambda: {"model": backbone()}, r"random weights.*rtdetr-nb convert"),
        (lambda: {"model": prefixed("module.", detector())}, r"'model' holds 869 keys"),
        (lambda: {"model": nest(prefixed("backbone.", backbone()))}, r"'model' holds 1 keys"),
        (lambda: {"model": None, "x": tensor("x", (2,))}, r"TypeError.*no HGNetv2"),
        (lambda: [tensor("x", (2,))], r"TypeError: list indices"),
    ],
)
def test_what_the_official_code_cannot_use_says_what_it_is(model, tmp_path, content, words):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(TuningError) as caught:
        load_tuning_file(model, save(content(), tmp_path / "a.pth"))
    assert re.search(words, str(caught.value)), caught.value
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_reports_print_their_numbers(model, detector_file):
    report = load_tuning_file(model, detector_file)
    assert "869 tensors loaded from 'ema.module'" in str(report)
    assert "869" in report._repr_html_()
