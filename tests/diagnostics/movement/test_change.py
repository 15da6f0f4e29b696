"""Roles of tensors, groups of them, and sums over them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtdetr_nb.architecture.state_dict_table import model_keys
from rtdetr_nb.config.load import load_config
from rtdetr_nb.diagnostics.movement.change import (
    FROZEN,
    STATISTIC,
    TRAINABLE,
    TensorChange,
    by_layer,
    by_part,
    relative_change,
    role_of,
)
from rtdetr_nb.model.build import build_model


def change(name: str, difference: float, start: float, role: str = TRAINABLE) -> TensorChange:
    return TensorChange(name, role, "tuning file", difference == 0, difference, start,
                        math.nan, 1.0, math.nan)  # fmt: skip


@pytest.mark.parametrize(
    "overrides",
    [
        ["HGNetv2.freeze_at=-1", "HGNetv2.freeze_norm=False"],
        ["HGNetv2.freeze_at=1", "HGNetv2.freeze_norm=False"],
        ["HGNetv2.freeze_at=0", "HGNetv2.freeze_norm=True"],
        ["RTDETRTransformerv2.cross_attn_method=discrete"],
    ],
)
def test_roles_are_those_of_the_model(overrides: list[str]) -> None:
    config = load_config("quick_run", overrides)
    model, table = build_model(config), model_keys(config)
    roles = {name: role_of(name, table) for name in table}
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert {name for name, role in roles.items() if role == TRAINABLE} == trained
    live = {
        f"{name}.{statistic}"
        for name, module in model.named_modules()
        if type(module).__name__ == "BatchNorm2d"
        for statistic in ("running_mean", "running_var")
    }
    assert {name for name, role in roles.items() if role == STATISTIC} == live
    frozen = {name for name, role in roles.items() if role == FROZEN}
    assert {n for n, p in model.named_parameters() if not p.requires_grad} <= frozen
    left_out = {name.rpartition(".")[2] for name, role in roles.items() if role is None}
    assert left_out <= {"num_batches_tracked", "anchors", "valid_mask", "num_points_scale"}


def test_a_layer_is_a_convolution_with_its_norm() -> None:
    table = model_keys(load_config("quick_run"))
    names = [name for name in table if role_of(name, table)]
    layers = {m.name: m for m in by_layer([change(name, 0, 1) for name in names])}
    assert len(layers["backbone.stem.stem2a"].tensors) == 5
    assert len(layers["backbone.stages.2.blocks.1.layers.3.conv2"].tensors) == 5
    assert len(layers["encoder.input_proj.1"].tensors) == 5
    assert layers["decoder.decoder.layers.0.cross_attn.sampling_offsets"].part == "decoder"
    assert sum(len(m.tensors) for m in layers.values()) == len(names)
    parts = [m.part for m in layers.values()]
    assert list(dict.fromkeys(parts)) == [
        "stem", "stages.0", "stages.1", "stages.2", "stages.3", "encoder", "decoder"
    ]  # fmt: skip


def test_the_backbone_is_the_sum_of_its_parts() -> None:
    changes = [
        change("backbone.stem.stem1.conv.weight", 0.0, 3.0, FROZEN),
        change("backbone.stages.0.blocks.0.layers.0.conv.weight", 4.0, 1.0),
        change("backbone.stages.0.blocks.0.layers.0.bn.running_mean", 900.0, 1.0, STATISTIC),
        change("encoder.input_proj.0.conv.weight", 1.0, 16.0),
    ]
    parts = {part.name: part for part in by_part(changes)}
    assert parts["backbone"].moved == 1.0 and parts["backbone"].state == "partly frozen"
    assert (parts["stem"].moved, parts["stages.0"].moved, parts["encoder"].moved) == (0, 2, 0.25)
    assert parts["stages.0"].statistics_moved == 30.0 and parts["stem"].statistics_moved is None


def test_frozen_norms_do_not_make_a_part_partly_frozen() -> None:
    changes = [
        change("backbone.stages.0.downsample.conv.weight", 1.0, 1.0),
        change("backbone.stages.0.downsample.bn.weight", 0.0, 1.0, FROZEN),
    ]
    assert by_part(changes)[0].state == TRAINABLE
    assert by_part(changes[1:])[0].state == FROZEN


sums = st.floats(0, 1e6, allow_subnormal=False)


@given(st.lists(st.tuples(sums, st.floats(1e-3, 1e6)), min_size=1))
def test_a_whole_lies_between_its_parts(pairs: list[tuple[float, float]]) -> None:
    changes = [change("encoder.x.weight", above, below) for above, below in pairs]
    single = [relative_change([c], "difference", "start") or 0.0 for c in changes]
    whole = relative_change(changes, "difference", "start")
    assert whole is not None
    assert min(single) * (1 - 1e-9) <= whole <= max(single) * (1 + 1e-9)


def test_what_is_not_known_is_left_out() -> None:
    unknown = change("encoder.x.weight", math.nan, math.nan)
    assert relative_change([unknown], "difference", "start") is None
    known = change("encoder.y.weight", 1.0, 4.0)
    assert relative_change([unknown, known], "difference", "start") == 0.5
    assert relative_change([change("a.b", 1.0, 0.0)], "difference", "start") == math.inf
    assert relative_change([change("a.b", 0.0, 0.0)], "difference", "start") == 0.0
