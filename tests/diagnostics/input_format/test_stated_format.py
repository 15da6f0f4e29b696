"""What files state of their input format, in the words of the libraries that write them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.diagnostics.input_format.stated_format import stated_formats

MM_IMAGENET = """
data_preprocessor = dict(
    bgr_to_rgb=True, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
    type='DetDataPreprocessor')
model = dict(
    data_preprocessor=dict(
        bgr_to_rgb=True, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
        pad_size_divisor=32, type='DetDataPreprocessor'),
    teacher=dict(data_preprocessor=dict(mean=[0, 0, 0], std=[255., 255., 255.], bgr_to_rgb=True)))
"""
CAFFE = "model = {'data_preprocessor': {'mean': [103.53, 116.28, 123.675], 'std': [1.0, 1, 1]}}"
OLDER = "img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])"
NO_NORMALISATION = "model = dict(data_preprocessor=dict(type='DetDataPreprocessor', mean=None))"
FIGURES = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def names_of(content: Any, folder: Path) -> list[str]:
    torch.save({"state_dict": {"x": torch.zeros(2)}, **content}, folder / "a.pth")
    return [s.format.name for s in stated_formats(open_checkpoint(folder / "a.pth"))]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"meta": {"cfg": MM_IMAGENET}}, ["imagenet", "zero_one"]),
        ({"meta": {"cfg": CAFFE}}, ["mean_only_255_bgr"]),
        ({"meta": {"config": OLDER}}, ["imagenet"]),
        ({"meta": {"cfg": NO_NORMALISATION}}, ["zero_255_bgr"]),
        ({"lightly_train": {"normalize_args": FIGURES}}, ["imagenet"]),
        ({"pretrained_cfg": {**FIGURES, "input_size": (3, 224, 224)}}, ["imagenet"]),
        ({"rtdetr_nb": {"input_format": {"name": "imagenet"}}}, ["zero_one"]),
        ({"rtdetr_nb": {"version": "0.1.0"}}, []),
        ({"meta": {"epoch": 3}}, []),
        ({"meta": {"cfg": "model = dict(("}}, []),
        ({"meta": {"cfg": "model = dict(data_preprocessor=dict(mean=open('x'), std=1))"}}, []),
        ({"normalize_args": {"mean": (0, 0, 0), "std": (0, 1, 1)}}, []),
        ({"normalize_args": {"mean": "abc", "std": "abc"}}, []),
    ],
)
def test_what_a_file_states(tmp_path, content, expected):
    assert names_of(content, tmp_path) == expected


def test_a_statement_says_where_it_stands(tmp_path):
    torch.save({"x": torch.zeros(2), "meta": {"cfg": CAFFE}}, tmp_path / "a.pth")
    (statement,) = stated_formats(open_checkpoint(tmp_path / "a.pth"))
    assert statement.where == "meta.cfg: data_preprocessor"


def test_a_text_that_nests_without_end_is_left_alone(tmp_path):
    assert names_of({"meta": {"cfg": "x = " + "(" * 50_000}}, tmp_path) == []


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("config.json", {"pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}, ["half"]),
        ("preprocessor_config.json", {"do_normalize": False, "image_mean": [1, 2, 3]},
         ["zero_one"]),
        ("preprocessor_config.json",
         {"do_normalize": True, "image_mean": [0.485, 0.456, 0.406],
          "image_std": [0.229, 0.224, 0.225]}, ["imagenet"]),
        ("config.json", ["no object"], []),
    ],
)  # fmt: skip
def test_settings_beside_the_weights(tmp_path, name, content, expected):
    save_file({"x": torch.zeros(2)}, tmp_path / "model.safetensors")
    (tmp_path / name).write_text(json.dumps(content))
    found = stated_formats(open_checkpoint(tmp_path / "model.safetensors"))
    assert [s.format.name for s in found] == expected
    # A file of torch.save has nothing to do with what lies in its folder.
    torch.save({"x": torch.zeros(2)}, tmp_path / "a.pth")
    assert stated_formats(open_checkpoint(tmp_path / "a.pth")) == []
