"""The torch-free model table against the official checkpoints' key tables."""

import json
from typing import Any

import pytest
import torch

from rtdetr_nb.architecture.head_keys import points_per_level
from rtdetr_nb.architecture.hgnetv2_variants import HGNETV2_VARIANTS
from rtdetr_nb.architecture.state_dict_table import backbone_keys, model_keys
from rtdetr_nb.config.load import load_config
from rtdetr_nb.model.build import build_model
from tests.paths import REFERENCE


def official(name: str) -> dict[str, tuple[tuple[int, ...], str]]:
    table = json.loads((REFERENCE / name).read_text())
    return {key: (tuple(shape), dtype) for key, (shape, dtype) in table.items()}


def listed(table: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], str]]:
    return {key: (info.shape, info.dtype) for key, info in table.items()}


@pytest.mark.parametrize("name", ["l_frozen", "x_frozen", "h_frozen", "l_live"])
def test_model_keys_equal_the_official_state_dict(name):
    variant, norm = name.split("_")
    config = load_config(
        f"rtdetrv2_hgnetv2_{variant}_6x_coco", [f"HGNetv2.freeze_norm={norm == 'frozen'}"]
    )
    ours, expected = listed(model_keys(config)), official(f"keys/keys_{name}.json")
    assert ours == expected
    assert list(ours) == list(expected)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["HGNetv2.use_lab=True", "HGNetv2.freeze_norm=False", "HGNetv2.freeze_at=2"],
        ["num_classes=3", "RTDETRTransformerv2.query_select_method=agnostic"],
        ["RTDETRTransformerv2.num_denoising=0", "RTDETRTransformerv2.learn_query_content=True"],
        ["RTDETRTransformerv2.num_levels=4", "RTDETRTransformerv2.num_points=[3,6,3,1]"],
        ["RTDETRTransformerv2.num_points=2", "RTDETRTransformerv2.num_layers=2"],
        ["eval_spatial_size=[416,640]", "HybridEncoder.num_encoder_layers=2"],
        ["eval_spatial_size=null", "RTDETRTransformerv2.cross_attn_method=discrete"],
        ["HybridEncoder.expansion=0.5", "HybridEncoder.depth_mult=0.34"],
        ["HybridEncoder.use_encoder_idx=[1,2]", "RTDETRTransformerv2.hidden_dim=128"],
        ["HGNetv2.return_idx=[2,3]", "HybridEncoder.in_channels=[1024,2048]"]
        + ["HybridEncoder.feat_strides=[16,32]", "HybridEncoder.use_encoder_idx=[1]"]
        + ["RTDETRTransformerv2.feat_channels=[256,256]", "RTDETRTransformerv2.num_levels=2"]
        + ["RTDETRTransformerv2.feat_strides=[16,32]", "RTDETRTransformerv2.num_points=[4,4]"],
    ],
    ids=lambda overrides: " ".join(overrides) or "official",
)
def test_model_keys_equal_the_model_that_is_built(overrides):
    config = load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.pretrained=False", *overrides])
    with torch.device("meta"):
        model = build_model(config)
    state = model.state_dict()
    ours = model_keys(config)
    assert listed(ours) == {
        key: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for key, t in state.items()
    }
    assert list(ours) == list(state)
    parameters = dict(model.named_parameters())
    assert {k for k, info in ours.items() if info.kind == "parameter"} == set(parameters)
    assert {k for k, info in ours.items() if info.trainable} == {
        k for k, parameter in parameters.items() if parameter.requires_grad
    }


def test_backbone_with_learnable_affine_blocks():
    ours = listed(backbone_keys("L", use_lab=True, freeze_norm=True))
    assert ours == official("dialects/official_backbone_L_use_lab.json")
    assert sum(".lab." in key for key in ours) == 106


@pytest.mark.parametrize(("variant", "tensors"), [("L", 400), ("X", 650), ("H", 870)])
def test_number_of_backbone_tensors(variant, tensors):
    assert len(backbone_keys(variant, freeze_norm=True)) == tensors
    assert len(backbone_keys(variant)) == tensors * 6 // 5
    assert set(HGNETV2_VARIANTS) == {"L", "X", "H"}


@pytest.mark.parametrize(("freeze_norm", "parameters"), [(True, 13_507_680), (False, 13_553_376)])
def test_parameters_of_the_large_backbone(freeze_norm, parameters):
    table = backbone_keys("L", freeze_norm=freeze_norm)
    assert sum(i.num_elements for i in table.values() if i.kind == "parameter") == parameters


@pytest.mark.parametrize(("freeze_at", "frozen_parts"), [(-1, 0), (0, 1), (2, 3), (9, 5)])
def test_freeze_at_freezes_the_stem_and_that_many_stages(freeze_at, frozen_parts):
    table = backbone_keys("L", freeze_at=freeze_at)
    parts = ["stem.", *(f"stages.{index}." for index in range(4))]
    for index, part in enumerate(parts):
        convolutions = [
            info for key, info in table.items() if key.startswith(part) and ".conv" in key
        ]
        trainable = {info.trainable for info in convolutions if info.kind == "parameter"}
        assert trainable == {index >= frozen_parts}


def test_points_per_level():
    assert points_per_level(4, 3) == [4, 4, 4]
    assert points_per_level((3, 6, 3), 3) == [3, 6, 3]
