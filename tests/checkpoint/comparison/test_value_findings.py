"""Values that are not fit to train from."""

import pytest
import torch

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.comparison.value_findings import value_findings
from tests.checkpoint.wild import CONFIG, as_ultralytics, backbone, prefixed, save

CONV = "stages.1.blocks.0.layers.2.conv.weight"
NORM = "stages.1.blocks.0.layers.2.bn"


def findings(state, folder, rows=None):
    path = save({"model": prefixed("backbone.", state)}, folder / "a.pth")
    diff = compare(open_checkpoint(path), CONFIG)
    chosen = None if rows is None else [row for row in diff.rows if row.part in rows]
    return value_findings(diff, chosen)


def with_value(key, change):
    state = backbone()
    state[key] = change(state[key].clone())
    return state


def set_one(value):
    def change(tensor):
        tensor.view(-1)[5] = value
        return tensor

    return change


def test_sound_values_give_no_findings(tmp_path):
    assert findings(backbone(), tmp_path) == []


@pytest.mark.parametrize(
    ("key", "change", "level", "words"),
    [
        (CONV, set_one(float("nan")), "failure", "infinite or not a number"),
        (f"{NORM}.bias", set_one(float("inf")), "failure", "infinite or not a number"),
        (CONV, torch.zeros_like, "warning", "zero throughout"),
        (f"{NORM}.weight", torch.zeros_like, "warning", "zero throughout"),
        (CONV, torch.ones_like, "warning", "one value throughout"),
        (f"{NORM}.running_var", set_one(-0.5), "warning", "negative running variance"),
        (f"{NORM}.running_var", set_one(0.0), "warning", "running variance below"),
        (CONV, set_one(1e30), "warning", "times the median"),
        (CONV, lambda t: set_one(65504.0)(t).half(), "warning", "largest value"),
        (CONV, lambda t: t.half(), "note", "stored as float16"),
        (CONV, lambda t: set_one(65504.0)(t).half(), "warning", "stored as float16"),
        (CONV, lambda t: t.bfloat16(), "warning", "stored as bfloat16"),
        (CONV, lambda t: t.to(torch.float8_e4m3fn), "warning", "stored as float8_e4m3fn"),
        (CONV, lambda t: set_one(float("inf"))(t).bfloat16(), "failure", "infinite"),
        (CONV, lambda t: set_one(float("nan"))(t).to(torch.float8_e4m3fn), "failure", "infinite"),
    ],
)
def test_each_trouble_is_found_and_named(tmp_path, key, change, level, words):
    found = findings(with_value(key, change), tmp_path)
    (finding,) = (finding for finding in found if words in finding.what)
    assert finding.level == level
    # What holds for a type of number is said of the file, not of a tensor.
    assert finding.where == ("" if "stored" in finding.what else f"backbone.{key}")
    assert finding.why and finding.action


@pytest.mark.parametrize("key", [f"{NORM}.bias", f"{NORM}.running_mean"])
def test_zeros_where_zeros_are_normal(tmp_path, key):
    assert findings(with_value(key, torch.zeros_like), tmp_path) == []


def test_only_the_rows_that_are_asked_for_are_judged(tmp_path):
    state = with_value(CONV, set_one(float("nan")))
    assert findings(state, tmp_path, rows=["stem"]) == []
    assert findings(state, tmp_path, rows=["stages.1"])


def test_norms_that_were_never_trained(tmp_path):
    state = backbone()
    for key, value in state.items():
        if key.endswith("running_mean"):
            state[key] = torch.zeros_like(value)
        elif key.endswith("running_var"):
            state[key] = torch.ones_like(value)
    (finding,) = findings(state, tmp_path)
    assert "before any training" in finding.what


def test_fixed_values_are_judged_after_the_fix(tmp_path):
    """A variance of 0 that gets another library's epsilon is no variance of 0 any more."""
    state = with_value(f"{NORM}.running_var", set_one(0.0))
    path = save({"model": as_ultralytics(state)}, tmp_path / "a.pth")
    assert value_findings(compare(open_checkpoint(path), CONFIG)) == []


def test_an_identity_norm_is_not_taken_for_an_untrained_one(tmp_path):
    path = save({"model": as_ultralytics(backbone(), fused=True)}, tmp_path / "a.pth")
    assert value_findings(compare(open_checkpoint(path), CONFIG)) == []
