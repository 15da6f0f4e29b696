"""The official loader's rules: by name, and against the real objects that torch loads."""

import pytest
import torch

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.official_loader.prediction import predict_official
from rtdetr_nb.checkpoint.official_loader.rules import (
    OfficialError,
    match_officially,
    official_state_dict,
)
from tests.checkpoint.wild import CONFIG, as_module, detector, foreign_class, save, tensor
from tests.checkpoint.wild_cases import CASES


def read_officially(path):
    checkpoint = open_checkpoint(path)
    return official_state_dict(checkpoint.tree, checkpoint.modules)


@pytest.mark.parametrize(
    "content",
    [
        lambda: {"model": {"a": torch.zeros(2)}},
        lambda: {"ema": {"module": {"a": torch.zeros(2)}}, "model": {}},
        lambda: {"ema": None, "model": {"a": torch.zeros(2)}},
        lambda: {"ema": {"a": torch.zeros(2)}},
        lambda: {"ema": [torch.zeros(2)]},
        lambda: {"ema": torch.zeros(2), "model": {}},
        lambda: {"model": None, "x": torch.zeros(2)},
        lambda: {"model": 3, "x": torch.zeros(2)},
        lambda: {"model": [torch.zeros(2)]},
        lambda: {"state_dict": {"a": torch.zeros(2)}},
        lambda: [torch.zeros(2)],
        lambda: {"model": {"backbone.stem.stem1.conv.weight": 3, "x": torch.zeros(2)}},
        lambda: {"model": {"backbone": {"stem": torch.zeros(2)}}},
    ],
)
def test_our_reading_of_the_rules_is_what_happens_to_real_objects(content, tmp_path):
    path = save(content(), tmp_path / "a.pth")
    prediction = predict_official(path, CONFIG)
    shapes = {"backbone.stem.stem1.conv.weight": (32, 3, 3, 3)}
    try:
        source, params = read_officially(path)
        match_officially(shapes, params)
    except OfficialError as error:
        assert prediction.exception == error.kind
        if error.kind != "IndexError":
            assert prediction.message == error.message
    else:
        assert (prediction.exception, prediction.source) == (None, source)


@pytest.mark.parametrize("number", ["01", "02", "07", "12", "26", "27"])
def test_the_predicted_log_line_is_the_one_of_the_loading(number, tmp_path):
    (case,) = (case for case in CASES if case.number == number)
    path = case.build(tmp_path)
    prediction = predict_official(path, CONFIG)
    source, params = read_officially(path)
    assert prediction.match is not None and prediction.source == source
    shapes = {key: tuple(value.shape) for key, value in detector().items()}
    assert prediction.log_line == match_officially(shapes, params).log_line
    assert str(prediction).startswith("Load model.state_dict, {'missed': [")


@pytest.mark.parametrize(
    ("wrap", "words"),
    [
        (lambda module: module, "argument of type 'RTDETR' is not iterable"),
        (lambda module: {"model": module}, "argument of type 'RTDETR' is not iterable"),
        (lambda module: {"ema": module, "model": None}, "'RTDETR' object is not subscriptable"),
    ],
)
def test_pickled_modules_fail_as_in_the_official_code(wrap, words, tmp_path):
    with foreign_class("src.zoo.rtdetr.rtdetr.RTDETR", torch.nn.Module) as cls:
        state = {"a.weight": tensor("a", (2,))}
        path = save(wrap(as_module(state, cls)), tmp_path / "a.pth")
    with pytest.raises(OfficialError, match=words):
        read_officially(path)


def test_a_missing_file_is_predicted_too(tmp_path):
    prediction = predict_official(tmp_path / "none.pth", CONFIG)
    assert prediction.exception == "FileNotFoundError"
    assert prediction.log_line is None and str(prediction).startswith("FileNotFoundError: ")
