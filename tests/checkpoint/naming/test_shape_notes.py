"""Shape differences in words."""

import pytest

from rtdetr_nb.architecture.hgnetv2_variants import HGNETV2_VARIANTS
from rtdetr_nb.architecture.state_dict_table import backbone_keys
from rtdetr_nb.checkpoint.naming.shape_notes import explain_shapes, variants_with_shape

STEM4 = "backbone.stem.stem4.conv.weight"


@pytest.mark.parametrize(
    ("key", "model", "file", "note"),
    [
        (
            STEM4,
            (48, 32, 1, 1),
            (64, 32, 1, 1),
            "64 output channels in the file, 48 in the model: this is the stem of an HGNetv2-X",
        ),
        (
            "backbone.stages.0.blocks.0.layers.0.conv.weight",
            (64, 64, 3, 3),
            (48, 48, 3, 3),
            "48 output channels in the file, 64 in the model; 48 input channels in the file, 64 in "
            "the model: this is stages.0 of an HGNetv2-L",
        ),
        (
            "backbone.stem.stem1.conv.weight",
            (32, 3, 3, 3),
            (32, 4, 3, 3),
            "4 input channels in the file, 3 in the model: no HGNetv2-L, -X or -H has this shape",
        ),
        (
            "backbone.stem.stem1.bn.bias",
            (48,),
            (32,),
            "32 channels in the file, 48 in the model: as in HGNetv2-L and -X",
        ),
        (
            "backbone.stages.3.downsample.conv.weight",
            (1024, 1, 3, 3),
            (1024, 9),
            "2 axes in the file, 4 in the model: no HGNetv2-L, -X or -H has this shape",
        ),
        (
            "decoder.dec_score_head.0.weight",
            (4, 256),
            (80, 256),
            "80 outputs in the file, 4 in the model",
        ),
        ("encoder.x", (2, 3, 4), (2, 3, 5), "5 on axis 2 in the file, 4 in the model"),
    ],
)
def test_notes(key, model, file, note):
    assert explain_shapes(key, model, file) == note


@pytest.mark.parametrize("variant", HGNETV2_VARIANTS)
def test_a_variant_has_its_own_shapes(variant):
    for name, info in backbone_keys(variant).items():
        assert variant in variants_with_shape(f"backbone.{name}", info.shape)
