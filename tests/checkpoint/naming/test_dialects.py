"""Other libraries' HGNetv2, renamed: against their key tables and against their running classes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rtdetr_nb.architecture.hgnetv2_variants import HGNETV2_VARIANTS
from rtdetr_nb.architecture.state_dict_table import backbone_keys
from rtdetr_nb.checkpoint.checkpoint import Checkpoint, open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.naming.dialects import DIALECTS, recognise_dialect
from rtdetr_nb.checkpoint.naming.renaming import no_counterpart_note, rename, rename_back
from rtdetr_nb.checkpoint.reading.tensor_info import TensorInfo
from rtdetr_nb.config.load import load_config
from rtdetr_nb.config.schema import BackboneConfig
from rtdetr_nb.model.build import make_backbone
from rtdetr_nb.model.hgnetv2 import HGNetv2
from tests.checkpoint.wild import as_ultralytics, save
from tests.paths import REFERENCE


def listed(name: str) -> Checkpoint:
    """A checkpoint with the names, shapes and types of a key table, and no values."""
    table = json.loads((REFERENCE / "dialects" / f"{name}.json").read_text())
    tensors = {key: TensorInfo(key, tuple(shape), dtype) for key, (shape, dtype) in table.items()}
    return Checkpoint(Path(name), "torch zip", tensors, {}, {}, ())


def documented_rules():
    return json.loads((REFERENCE / "dialects" / "rules.json").read_text())["rules"]


@pytest.mark.parametrize(
    ("table", "dialect", "variant", "tensors", "prefix"),
    [
        ("official_backbone_L_freeze_norm_False", "official", "L", 480, ""),
        ("official_backbone_L_use_lab", "official", "L", 506, ""),
        ("dfine_backbone_B4_freeze_norm_False", "dfine", "L", 480, ""),
        ("timm_hgnetv2_b4", "timm", "L", 480, ""),
        ("timm_hgnetv2_b4_use_lab", "timm", "L", 586, ""),
        ("timm_hgnetv2_b4_features_only", "timm_features", "L", 480, ""),
        ("timm_hgnetv2_b5", "timm", "X", 780, ""),
        ("hf_hgnetv2_backbone_L", "huggingface", "L", 480, ""),
        ("hf_rtdetrv2_hgnetv2_L_full", "huggingface", "L", 400, "model.backbone.model."),
        (
            "hf_rtdetrv2_timm_hgnetv2_b4",
            "timm_features",
            "L",
            400,
            "model.backbone.model._backbone.",
        ),
        ("paddledet_PPHGNetV2_L_freeze_norm_True", "paddle", "L", 400, ""),
        ("paddleclas_PPHGNetV2_B4", "paddle", "L", 400, ""),
        ("ultralytics_rtdetr_l", "ultralytics", "L", 480, "model."),
        ("ultralytics_rtdetr_x", "ultralytics", "X", 780, "model."),
        ("ultralytics_rtdetr_l_fused", "ultralytics", "L", 400, "model."),
        ("lightning_kd_state_dict", "official", "L", 400, "student.backbone."),
    ],
)
def test_key_tables_of_other_libraries(table, dialect, variant, tensors, prefix):
    checkpoint = listed(table)
    (candidate,) = checkpoint.candidates
    assert (candidate.dialect, candidate.variant) == (dialect, variant)
    assert (candidate.tensors, candidate.prefix) == (tensors, prefix)
    ours = backbone_keys(variant, freeze_norm=True)
    shapes = {o.name: checkpoint.tensors[o.checkpoint_key].shape for o in candidate.origins}
    assert {name: shapes[name] for name in ours} == {n: info.shape for n, info in ours.items()}


def test_every_renaming_is_one_to_one():
    for table in (REFERENCE / "dialects").glob("*.json"):
        if table.stem == "rules":
            continue
        for candidate in listed(table.stem).candidates:
            names = [origin.name for origin in candidate.origins]
            assert len(names) == len(set(names)), table.stem


@pytest.mark.parametrize(
    ("table", "rules"),
    [
        ("dfine_backbone_B4_freeze_norm_False", "timm_dfine_deim_rtv4"),
        ("timm_hgnetv2_b4_features_only", "timm_features"),
        ("hf_hgnetv2_backbone_L", "hf"),
        ("paddledet_PPHGNetV2_L_freeze_norm_True", "paddle"),
    ],
)
def test_the_rules_are_the_documented_ones(table, rules):
    documented = documented_rules()[rules]
    for origin in listed(table).candidates[0].origins:
        expected = origin.checkpoint_key
        for pattern, replacement in documented:
            expected = re.sub(pattern, replacement, expected)
        assert origin.name == expected


@pytest.mark.parametrize("variant", ["L", "X"])
def test_ultralytics_parts_are_the_documented_ones(variant):
    documented = documented_rules()["ultralytics"]
    parts = documented[f"index_{variant}"]
    for origin in listed(f"ultralytics_rtdetr_{variant.lower()}").candidates[0].origins:
        index = origin.checkpoint_key.split(".")[1]
        assert origin.name.startswith(f"{parts[index]}.")


def test_inserted_ultralytics_layers_after_the_backbone_do_not_matter():
    names = {
        key: key for key in as_ultralytics(randomised(make_backbone(BackboneConfig())).state_dict())
    }
    shifted = {f"model.{int(k.split('.')[1]) + 3}.{k.split('.', 2)[2]}": k for k in names}
    dialect = recognise_dialect(key.removeprefix("model.") for key in shifted)
    origins = rename({k.removeprefix("model."): k for k in shifted}, dialect)
    found = {origin.name for origin in origins} & set(backbone_keys("L"))
    assert found == set(backbone_keys("L"))


def test_notes_on_keys_without_counterpart():
    assert "classification head" in no_counterpart_note("head.fc.weight")
    assert "distillation" in no_counterpart_note("encoder.feature_projector.0.weight")
    assert "teacher" in no_counterpart_note("teacher_model.layer1.0.conv1.weight")
    assert no_counterpart_note("encoder.lateral_convs.0.conv.weight") == ""


# --- rename and run -----------------------------------------------------------------------------


def randomised(model: Any) -> Any:
    """Draw every tensor anew, statistics of norms included; gains keep deep outputs moderate."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not value.is_floating_point():
                continue
            if name.endswith(("running_var", "lab.scale")):
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
            elif value.ndim > 1:
                scale = value[0].numel() ** -0.5
                value.copy_(torch.randn(value.shape, generator=generator) * scale)
            else:
                value.copy_(torch.randn(value.shape, generator=generator) * 0.2 + 0.5)
    return model.eval()


def converted(state: dict[str, Tensor], folder: Path, **options) -> HGNetv2:
    """Our backbone with the weights of a state dict that went through a file and the renaming."""
    variant = options.pop("variant", "L")
    freeze_norm = options.pop("freeze_norm", False)
    config = load_config(
        f"rtdetrv2_hgnetv2_{variant.lower()}_6x_coco",
        [f"HGNetv2.freeze_norm={freeze_norm}", f"HGNetv2.use_lab={options.get('use_lab', False)}"],
    )
    path = save({"state_dict": state}, folder / "other.pth")
    tensors = compare(open_checkpoint(path), config).select("backbone.*").read()
    section = BackboneConfig(
        name=variant, return_idx=(0, 1, 2, 3), freeze_norm=freeze_norm, **options
    )
    model = make_backbone(section)
    model.load_state_dict({k.removeprefix("backbone."): v for k, v in tensors.items()}, strict=True)
    return model.eval()


def images() -> list[Tensor]:
    """Two sizes, one of them odd, as paddings differ between libraries."""
    generator = torch.Generator().manual_seed(2)
    return [torch.rand(1, 3, *size, generator=generator) for size in ((64, 96), (63, 95))]


def assert_same_features(ours: nn.Module, theirs: Any, largest: float = 0.0) -> None:
    with torch.no_grad():
        for image in images():
            expected = list(theirs(image))[-4:]
            for mine, other in zip(ours(image), expected, strict=True):
                assert mine.abs().max() > 1e-3
                assert (mine - other).abs().max() <= largest * other.abs().max()


@pytest.mark.parametrize(
    ("name", "variant", "use_lab"),
    [
        ("b4", "L", False),
        ("b4", "L", True),
        pytest.param("b5", "X", False, marks=pytest.mark.slow),
        pytest.param("b6", "H", False, marks=pytest.mark.slow),
    ],
)
def test_timm_runs_the_same_after_renaming(name, variant, use_lab, tmp_path):
    timm = pytest.importorskip("timm")
    theirs = randomised(timm.create_model(f"hgnetv2_{name}", pretrained=False, use_lab=use_lab))
    ours = converted(theirs.state_dict(), tmp_path, variant=variant, use_lab=use_lab)
    assert_same_features(ours, lambda x: theirs.forward_intermediates(x, intermediates_only=True))


def test_timm_features_only_runs_the_same(tmp_path):
    timm = pytest.importorskip("timm")
    theirs = randomised(timm.create_model("hgnetv2_b4", features_only=True, pretrained=False))
    assert_same_features(converted(theirs.state_dict(), tmp_path), theirs)


@pytest.mark.slow
@pytest.mark.parametrize("freeze_norm", [False, True])
def test_hugging_face_runs_the_same(freeze_norm, tmp_path):
    transformers = pytest.importorskip("transformers")
    from transformers.models.rt_detr_v2.modeling_rt_detr_v2 import replace_batch_norm

    stages = ["stage1", "stage2", "stage3", "stage4"]
    theirs = transformers.HGNetV2Backbone(transformers.HGNetV2Config(out_features=stages))
    if freeze_norm:
        replace_batch_norm(theirs)
    randomised(theirs)
    state = {f"model.backbone.model.{k}": v for k, v in theirs.state_dict().items()}
    ours = converted(state, tmp_path, freeze_norm=freeze_norm)
    # Their frozen norm rounds scale and shift before it uses them; ours is a norm like any other.
    largest = 1e-6 if freeze_norm else 0.0
    assert_same_features(ours, lambda image: theirs(image).feature_maps, largest)


def with_eps(model: nn.Module, eps: float) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps
    return model


def small_variances(model: nn.Module) -> nn.Module:
    """Variances near the epsilon, where forgetting it shows."""
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.mul_(0.01)
        elif name.endswith("bn.weight"):
            value.mul_(0.1)
    return model


def test_ultralytics_epsilon_moves_into_the_variance(tmp_path):
    theirs = small_variances(randomised(make_backbone(BackboneConfig(return_idx=(0, 1, 2, 3)))))
    state = as_ultralytics(theirs.state_dict())
    with_eps(theirs, 1e-3)
    ours = converted(state, tmp_path)
    assert_same_features(ours, theirs, largest=2e-5)
    # The names alone are not enough: this is what the epsilon is worth.
    with_eps(theirs, 1e-5)
    with pytest.raises(AssertionError):
        assert_same_features(ours, theirs, largest=1e-2)


def test_a_fused_model_gets_identity_norms(tmp_path):
    theirs = randomised(make_backbone(BackboneConfig(return_idx=(0, 1, 2, 3))))
    state = theirs.state_dict()
    fused = dict(state)
    for key in list(state):
        if key.endswith("bn.weight"):
            unit = key.removesuffix("bn.weight")
            weight = f"{unit}conv.1.weight" if ".stem2" in unit else f"{unit}conv.weight"
            scale = state[key] / (state[f"{unit}bn.running_var"] + 1e-5).sqrt()
            fused[weight] = state[weight] * scale.reshape(-1, 1, 1, 1)
            bias = state[f"{unit}bn.bias"] - state[f"{unit}bn.running_mean"] * scale
            fused[f"{unit}bn.bias"] = bias
    ours = converted(as_ultralytics(fused, fused=True), tmp_path, freeze_norm=True)
    assert_same_features(ours, theirs, largest=2e-5)


def test_the_variants_are_told_apart_by_shapes():
    for variant in HGNETV2_VARIANTS:
        tensors = {
            key: TensorInfo(key, info.shape, info.dtype)
            for key, info in backbone_keys(variant).items()
        }
        checkpoint = Checkpoint(Path("a.pth"), "torch zip", tensors, {}, {}, ())
        assert checkpoint.candidates[0].variant == variant


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("variant", ["L", "X", "H"])
def test_every_dialect_leads_back(dialect, variant):
    """The rules of both directions belong together, also in dialects that are only read."""
    official = list(backbone_keys(variant, freeze_norm=True))
    theirs = rename_back(official, dialect)
    assert len(set(theirs.values())) == len(official)
    names = {name.removeprefix(dialect.prefix): name for name in theirs.values()}
    assert [origin.name for origin in rename(names, dialect)] == official
    if dialect.name != "official":
        assert set(names) != set(official)
