"""Tuning files loaded by the official rules."""

import logging
import re

import pytest
import torch
from torch import nn

from rtdetr_nb.checkpoint.tuning.load import load_tuning_file, prove_loaded
from rtdetr_nb.checkpoint.tuning.write import write_tuning_file
from rtdetr_nb.errors import TuningError
from tests.checkpoint.wild import backbone, detector, nest, prefixed, save, tensor
from tests.paths import REFERENCE

OFFICIAL_LOG = REFERENCE / "official_tuning_log.txt"


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


def test_a_tensor_that_did_not_arrive_is_named(backbone_diff, model, tmp_path):
    selection = backbone_diff.select("stem.stem1.*")
    load_tuning_file(model, write_tuning_file(selection, tmp_path / "t.pth").path)
    key = "backbone.stem.stem1.bn.bias"
    model.state_dict()[key][3] += 1
    equal = prove_loaded(model, selection)
    assert [name for name, same in equal.items() if not same] == [key]
