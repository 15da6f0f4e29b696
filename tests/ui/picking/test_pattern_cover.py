"""The tree of names, and patterns that take exactly what was picked."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtdetr_nb.errors import SelectionError
from rtdetr_nb.ui.picking.pattern_cover import (
    branch_path,
    patterns_for,
    select_keys,
    selection_code,
)


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("backbone.stem.stem1.conv.weight", ("stem", "stem1", "conv.weight")),
        ("backbone.stem.stem2a.conv.1.weight", ("stem", "stem2a", "conv.1.weight")),
        (
            "backbone.stages.2.blocks.0.layers.1.conv1.bn.bias",
            ("stages.2", "blocks.0", "layers.1", "conv1", "bn.bias"),
        ),
        ("encoder.input_proj.0.conv.weight", ("encoder", "input_proj.0", "conv.weight")),
        ("decoder.anchors", ("decoder", "anchors")),
    ],
)
def test_paths(key, path):
    assert branch_path(key) == path


def test_paths_of_a_whole_model_are_different_and_join_to_the_names(detector_diff):
    keys = [row.model_key for row in detector_diff.rows if row.model_key]
    paths = {branch_path(key) for key in keys}
    assert len(paths) == len(keys)
    assert {".".join(path) for path in paths} == {key.removeprefix("backbone.") for key in keys}


@pytest.mark.parametrize(
    ("include", "exclude"),
    [
        (["*"], []),
        (["stem.*", "stages.0.*"], []),
        (["stages.2.blocks.1.*"], []),
        (["*"], ["stages.3.*"]),
    ],
)
def test_whole_branches_become_one_pattern(backbone_diff, include, exclude):
    selection = backbone_diff.select(include, exclude)
    assert patterns_for(backbone_diff, selection.keys) == (include, exclude)
    assert select_keys(backbone_diff, selection.keys).keys == selection.keys


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32), share=st.floats(0.01, 0.99))
def test_any_pick_is_taken_again_exactly(backbone_diff, seed, share):
    import random

    keys = [row.model_key for row in backbone_diff.rows if row.loadable]
    picked = set(random.Random(seed).sample(keys, max(1, int(share * len(keys)))))
    assert set(select_keys(backbone_diff, picked).keys) == picked


def test_the_line_of_code_makes_the_selection(backbone_diff):
    selection = backbone_diff.select(["*"], ["stages.3.*", "stem.stem1.bn.bias"])
    again = eval(selection_code(backbone_diff, selection.keys), {"diff": backbone_diff})
    assert again.keys == selection.keys


def test_nothing_and_what_does_not_fit_are_refused(backbone_diff):
    with pytest.raises(SelectionError, match="Nothing is picked"):
        select_keys(backbone_diff, [])
    with pytest.raises(SelectionError, match="cannot be taken"):
        select_keys(backbone_diff, ["encoder.input_proj.0.conv.weight"])
