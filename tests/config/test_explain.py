"""The table of parameter groups against the optimizer that is really built."""

import pytest
import torch

from rtdetr_nb.config.explain import REST, explain_config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.model.build import build_model
from rtdetr_nb.training.optimizer import build_optimizer


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["HGNetv2.freeze_norm=False", "HGNetv2.freeze_at=-1"],
        ["HGNetv2.freeze_at=3", "RTDETRTransformerv2.cross_attn_method=discrete"],
    ],
)
def test_groups_are_those_of_the_optimizer(overrides):
    config = load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.pretrained=False", *overrides])
    with torch.device("meta"):
        model = build_model(config)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    expected = {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in build_optimizer(config, model).param_groups
        for parameter in group["params"]
    }
    explained = explain_config(config)
    ours = {r.name: (r.lr, r.weight_decay) for r in explained.rows if not r.frozen}
    assert ours == expected
    frozen = {row.name for row in explained.rows if row.frozen}
    assert frozen >= set(names.values()) - set(expected)


def test_each_row_says_which_pattern_caught_it():
    explained = explain_config(load_config("rtdetrv2_hgnetv2_l"))
    rows = {row.name: row for row in explained.rows}
    assert "backbone" in rows["backbone.stages.0.blocks.0.layers.0.conv.weight"].pattern
    assert rows["decoder.enc_output.proj.weight"].pattern == REST
    stem = rows["backbone.stem.stem1.conv.weight"]
    assert stem.frozen and stem.lr is None
    assert rows["backbone.stages.0.blocks.0.layers.0.bn.weight"].frozen
    assert "bn.running_mean" not in " ".join(rows)


def test_summary_and_renderings():
    explained = explain_config(load_config("rtdetrv2_hgnetv2_l"))
    assert sum(group.tensors for group in explained.groups) == len(explained.rows)
    assert explained.groups[-1].pattern == "(frozen)"
    assert len(explained.table) == len(explained.rows)
    assert "5e-06" in str(explained) and "5e-06" in explained._repr_html_()
    assert [row[0] for row in explained.summary.rows] == [
        "backbone",
        "encoder and decoder norms",
        "encoder and decoder",
        "backbone",
    ]


def test_the_whole_configuration_is_folded_in_a_page():
    page = load_config("rtdetrv2_hgnetv2_l")._repr_html_()
    assert page.startswith("<details><summary>") and "weight_decay: 0.0001" in page


def test_overlapping_patterns_are_told():
    config = load_config(
        "rtdetrv2_hgnetv2_l", ["optimizer.params=[{params: encoder}, {params: norm}]"]
    )
    explained = explain_config(config)
    assert explained.overlapping and "two patterns" in str(explained)
