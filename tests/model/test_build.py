"""Models as configured: official names, shapes and order; no traces of models built before."""

from typing import Any

import pytest
import torch
from torch import nn

from rtdetr_nb.architecture.state_dict_table import model_keys
from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import ConfigError
from rtdetr_nb.model.build import build_backbone, build_model, build_postprocessor
from tests.golden import load_reference

SMALL = ["eval_spatial_size=~", "RTDETRTransformerv2.num_queries=20"]


def layout(model: nn.Module) -> dict[str, Any]:
    """Shape and dtype of every tensor of the state dict."""
    state = model.state_dict()
    return {key: [list(x.shape), str(x.dtype).removeprefix("torch.")] for key, x in state.items()}


@pytest.mark.parametrize(
    ("name", "overrides", "reference"),
    [
        ("rtdetrv2_hgnetv2_l", [], "keys_l_frozen"),
        ("rtdetrv2_hgnetv2_l", ["HGNetv2.freeze_norm=False"], "keys_l_live"),
        ("rtdetrv2_hgnetv2_x", [], "keys_x_frozen"),
        ("rtdetrv2_hgnetv2_h", [], "keys_h_frozen"),
    ],
)
def test_state_dict_has_the_official_keys_in_order(name, overrides, reference):
    found = layout(build_model(load_config(name, overrides)))
    expected = load_reference(f"keys/{reference}.json")
    assert list(found) == list(expected)
    assert found == expected


@pytest.mark.parametrize(
    "overrides",
    [
        ["HGNetv2.freeze_norm=False", "HGNetv2.freeze_at=-1"],
        ["HGNetv2.use_lab=True", "HGNetv2.freeze_at=2"],
        ["num_classes=91", "RTDETRTransformerv2.num_denoising=0"],
        ["eval_spatial_size=[320,480]", "RTDETRTransformerv2.query_select_method=agnostic"],
        ["eval_spatial_size=~", "RTDETRTransformerv2.cross_attn_method=discrete"],
        ["RTDETRTransformerv2.num_levels=5", "RTDETRTransformerv2.num_points=2"],
        ["RTDETRTransformerv2.num_points=[2,3,5]", "RTDETRTransformerv2.learn_query_content=True"],
        ["HybridEncoder.expansion=0.5", "HybridEncoder.depth_mult=0.34"],
        ["HybridEncoder.use_encoder_idx=[1,2]", "HybridEncoder.num_encoder_layers=2"],
    ],
)
def test_the_table_without_torch_says_what_is_built(overrides):
    config = load_config("rtdetrv2_hgnetv2_l", overrides)
    model = build_model(config)
    table = model_keys(config)
    assert list(layout(model).items()) == [
        (key, [list(info.shape), info.dtype]) for key, info in table.items()
    ]
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert sorted(trainable) == sorted(key for key, info in table.items() if info.trainable)


def test_configurations_in_one_process_do_not_mix():
    first = load_config("rtdetrv2_hgnetv2_l", SMALL)
    yaml_before = first.to_yaml()
    changed = first.override(["num_classes=3", "HGNetv2.freeze_at=-1", "optimizer.params.0.lr=1"])
    other = load_config("rtdetrv2_hgnetv2_x", [*SMALL, "HybridEncoder.enc_act=relu"])
    again = load_config("rtdetrv2_hgnetv2_l", SMALL)

    assert again == first and again.to_yaml() == first.to_yaml() == yaml_before
    assert (changed.decoder.num_classes, first.decoder.num_classes) == (3, 80)
    assert (changed.optimizer.params[0].lr, first.optimizer.params[0].lr) == (1.0, 5e-6)
    assert (other.encoder.enc_act, again.encoder.enc_act) == ("relu", "gelu")


def test_order_of_building_does_not_matter():
    configs = {size: load_config(f"rtdetrv2_hgnetv2_{size}", SMALL) for size in "lx"}
    large, extra, large_again = (layout(build_model(configs[size])) for size in "lxl")
    assert large_again == large != extra
    large_with_anchors = load_reference("keys/keys_l_frozen.json")
    assert large == {
        key: value
        for key, value in large_with_anchors.items()
        if key not in {"decoder.anchors", "decoder.valid_mask"}
    }


def test_one_seed_gives_one_model():
    config = load_config("rtdetrv2_hgnetv2_l", SMALL)
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build_model(config).state_dict())
    key = "decoder.decoder.layers.5.linear1.weight"
    assert all(torch.equal(states[0][name], x) for name, x in states[1].items())
    assert not torch.equal(states[0][key], states[2][key])


def test_postprocessor_gets_the_shared_values():
    config = load_config("rtdetrv2_hgnetv2_l", ["num_classes=7", "remap_mscoco_category=False"])
    postprocessor = build_postprocessor(config)
    assert postprocessor.num_classes == 7
    assert not postprocessor.remap_mscoco_category
    assert postprocessor.use_focal_loss and postprocessor.num_top_queries == 300


@pytest.mark.parametrize("pretrained", ["True", "https://example.org/PPHGNetV2_L.pth"])
def test_nothing_is_downloaded(pretrained):
    config = load_config("rtdetrv2_hgnetv2_l", [f"HGNetv2.pretrained={pretrained}"])
    with pytest.raises(ConfigError, match="tuning file") as error:
        build_model(config)
    assert "nothing is downloaded" in str(error.value)


def test_pretrained_file_is_loaded(tmp_path):
    config = load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.freeze_norm=False"])
    source = build_backbone(config)
    torch.nn.init.constant_(source.stem.stem1.bn.get_buffer("running_mean"), 0.25)
    torch.save(source.state_dict(), tmp_path / "backbone.pth")
    # Live norms to frozen ones: `num_batches_tracked` is left over, and that is fine.
    for freeze_norm in (False, True):
        loaded = build_backbone(
            config.override(
                [
                    f"HGNetv2.pretrained={tmp_path}/backbone.pth",
                    f"HGNetv2.freeze_norm={freeze_norm}",
                ]
            )
        )
        expected = source.state_dict()
        assert all(torch.equal(expected[key], x) for key, x in loaded.state_dict().items())


@pytest.mark.slow
def test_pretrained_that_does_not_fit_is_an_error(tmp_path):
    config = load_config("rtdetrv2_hgnetv2_l")
    with pytest.raises(ConfigError, match="no such file"):
        build_model(config.override([f"HGNetv2.pretrained={tmp_path}/missing.pth"]))
    for name, content in (
        ("x.pth", build_backbone(load_config("rtdetrv2_hgnetv2_x")).state_dict()),
        ("wrapped.pth", {"state_dict": build_backbone(config).state_dict()}),
    ):
        torch.save(content, tmp_path / name)
        with pytest.raises(ConfigError, match="rtdetr-nb convert"):
            build_model(config.override([f"HGNetv2.pretrained={tmp_path / name}"]))
    (tmp_path / "text.pth").write_text("not weights")
    with pytest.raises(ConfigError, match="under bare names"):
        build_model(config.override([f"HGNetv2.pretrained={tmp_path}/text.pth"]))
