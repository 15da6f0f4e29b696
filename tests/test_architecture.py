"""The torch-free model table against the official checkpoints' key tables."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rtdetr_nb.architecture import HGNETV2_VARIANTS
from rtdetr_nb.model_keys import backbone_keys, model_keys, points_per_level

REFERENCE = Path(__file__).parent / "reference"


def make_config(**overrides: Any) -> SimpleNamespace:
    """The sections that `model_keys` reads, with the official values; `section__name` overrides."""
    config = SimpleNamespace(
        backbone=SimpleNamespace(name="L", use_lab=False, freeze_at=0, freeze_norm=True),
        encoder=SimpleNamespace(
            in_channels=[512, 1024, 2048],
            hidden_dim=256,
            dim_feedforward=1024,
            num_encoder_layers=1,
            use_encoder_idx=[2],
            expansion=1.0,
            depth_mult=1.0,
        ),
        decoder=SimpleNamespace(
            hidden_dim=256,
            num_queries=300,
            feat_channels=[256, 256, 256],
            feat_strides=[8, 16, 32],
            num_levels=3,
            num_points=[4, 4, 4],
            nhead=8,
            num_layers=6,
            dim_feedforward=1024,
            num_denoising=100,
            learn_query_content=False,
            cross_attn_method="default",
            query_select_method="default",
        ),
        num_classes=80,
        eval_spatial_size=[640, 640],
    )
    for name, value in overrides.items():
        section, _, field = name.rpartition("__")
        setattr(getattr(config, section) if section else config, field, value)
    return config


def official(name: str) -> dict[str, tuple[tuple[int, ...], str]]:
    table = json.loads((REFERENCE / name).read_text())
    return {key: (tuple(shape), dtype) for key, (shape, dtype) in table.items()}


def listed(table: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], str]]:
    return {key: (info.shape, info.dtype) for key, info in table.items()}


@pytest.mark.parametrize(
    ("variant", "freeze_norm", "file"),
    [
        ("L", True, "keys_l_frozen.json"),
        ("X", True, "keys_x_frozen.json"),
        ("H", True, "keys_h_frozen.json"),
        ("L", False, "keys_l_live.json"),
    ],
)
def test_model_keys_equal_the_official_state_dict(variant, freeze_norm, file):
    config = make_config(
        backbone__name=variant,
        backbone__freeze_norm=freeze_norm,
        **{
            "L": {},
            "X": {
                "encoder__hidden_dim": 384,
                "encoder__dim_feedforward": 2048,
                "decoder__feat_channels": [384] * 3,
            },
            "H": {
                "encoder__hidden_dim": 512,
                "encoder__dim_feedforward": 2048,
                "encoder__num_encoder_layers": 2,
                "decoder__feat_channels": [512] * 3,
            },
        }[variant],
    )
    ours, expected = listed(model_keys(config)), official(f"keys/{file}")
    assert ours == expected
    assert list(ours) == list(expected)


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


def test_options_change_the_decoder_table():
    base = model_keys(make_config())
    changed = model_keys(
        make_config(
            num_classes=3,
            eval_spatial_size=None,
            decoder__num_denoising=0,
            decoder__learn_query_content=True,
            decoder__query_select_method="agnostic",
            decoder__cross_attn_method="discrete",
            decoder__num_levels=4,
            decoder__num_points=2,
        )
    )
    assert changed.keys() - base.keys() >= {
        "decoder.tgt_embed.weight",
        "decoder.input_proj.3.conv.weight",
    }
    assert base.keys() - changed.keys() == {
        "decoder.anchors",
        "decoder.valid_mask",
        "decoder.denoising_class_embed.weight",
    }
    assert changed["decoder.enc_score_head.weight"].shape == (1, 256)
    assert changed["decoder.dec_score_head.0.weight"].shape == (3, 256)
    offsets = "decoder.decoder.layers.0.cross_attn.sampling_offsets.weight"
    assert changed[offsets].shape == (2 * 8 * 4 * 2, 256)
    assert not changed[offsets].trainable and base[offsets].trainable


def test_points_per_level():
    assert points_per_level(4, 3) == [4, 4, 4]
    assert points_per_level((3, 6, 3), 3) == [3, 6, 3]
