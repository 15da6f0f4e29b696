"""A part is never written as if it were the whole, and a sound part is no false alarm."""

import re

import pytest

from rtdetr_nb.architecture.state_dict_table import model_keys
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.comparison.judge import judge
from rtdetr_nb.checkpoint.comparison.unreached import find_unreached
from rtdetr_nb.checkpoint.tuning.judged import ConversionRefusedError
from rtdetr_nb.config.load import load_config
from rtdetr_nb.conversion.convert import convert
from tests.checkpoint.listed import BACKBONE_SHAPES, below, listed, named, verdict_on
from tests.checkpoint.wild import CONFIG, backbone, prefixed, save

DETECTOR = {name: info.shape for name, info in model_keys(CONFIG).items()}
STEM = {name: shape for name, shape in BACKBONE_SHAPES.items() if name.startswith("stem.")}
WITHOUT_STAGE_3 = {n: s for n, s in BACKBONE_SHAPES.items() if not n.startswith("stages.3.")}

# What stands between the names of a file and the official ones, how many tensors are reached all
# the same, and the renaming that leads to all.
UNREACHED = {
    "a wrapper that is not known": (
        lambda name: re.sub(r"(stages\.\d)\.", r"\1.my_wrap.", name), 25,
        r"--rename '\.my_wrap\.=.'",
    ),
    "two words inside the blocks": (
        lambda name: re.sub(r"(blocks\.\d)\.", r"\1.core.net.", name), 40, r"'\.core\.net\.=.'",
    ),
    "stages below another module": (
        lambda name: "backbone." + name.replace("stages.", "body.stages."), 25, r"'\.body\.=.'",
    ),
    "stem and stages apart": (
        lambda name: ("backbone." if name.startswith("stem") else "trunk.") + name, 25,
        r"'^trunk\.=backbone.'",
    ),
    "stages without a dot": (
        lambda name: re.sub(r"stages\.(\d)", r"stage\1", name), 25,
        r"'^stage(\d+)\.=stages.\g<1>.'",
    ),
    "another word for norms": (
        lambda name: name.replace(".bn.", ".norm."), 80, r"'\.norm\.=.bn.'",
    ),
    "other words for statistics": (
        lambda name: name.replace("running_mean", "mu").replace("running_var", "sigma2"), 240,
        r"--rename '\.mu$=.running_mean' --rename '\.sigma2$=.running_var'",
    ),
    "one layer": (
        lambda name: name.replace("stages.1.downsample", "stages.1.reduce"), 395,
        r"'\.reduce\.=.downsample.'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNREACHED)
def test_names_that_no_rule_reaches_fail_and_the_renaming_is_worked_out(kind):
    change, matched, hint = UNREACHED[kind]
    diff = compare(listed(named(change)), CONFIG)
    verdict = judge(diff, rows=())
    assert (diff.counts["matched"], verdict) == (matched, "failed")
    (failure,) = verdict.failures
    assert f"{400 - matched} tensors of the backbone seem to lie" in failure.what
    assert hint in failure.action and "400 of 400 tensors match" in failure.action
    assert "stays at random" not in verdict.text()


def test_batch_counters_are_not_counted_among_the_tensors_that_a_renaming_reaches():
    counters = {name.replace("weight", "num_batches_tracked"): () for name in BACKBONE_SHAPES
                if name.endswith(".bn.weight")}  # fmt: skip
    inner = {
        re.sub(r"(stages\.\d)\.", r"\1.my_wrap.", name): shape
        for name, shape in {**BACKBONE_SHAPES, **counters}.items()
    }
    live = load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.freeze_norm=False"])
    (failure,) = judge(compare(listed(inner), live), rows=()).failures
    assert "400 of 400 tensors match" in failure.action


@pytest.mark.parametrize("kind", UNREACHED)
def test_the_renaming_that_is_shown_leads_to_the_whole(kind):
    diff = compare(listed(named(UNREACHED[kind][0])), CONFIG)
    unreached = find_unreached(diff)
    assert unreached is not None
    again = compare(diff.checkpoint.renamed([r.text for r in unreached.renames]), CONFIG)
    assert again.counts["matched"] == 400
    assert judge(again, rows=()) == "ok"


def test_shapes_alone_tell_where_the_names_say_nothing():
    numbered = {
        name if name.startswith("stem.") else f"features.{i}": shape
        for i, (name, shape) in enumerate(BACKBONE_SHAPES.items())
    }
    (failure,) = verdict_on(numbered).failures
    assert "375 tensors of the backbone seem to lie" in failure.what
    assert "Give --rename PATTERN=REPLACEMENT" in failure.action


RESNET = {
    f"teacher_net.layer{stage}.{block}.conv{conv}.weight": (64 * stage, 64 * stage, 3, 3)
    for stage in range(1, 5) for block in range(3) for conv in (1, 2)
}  # fmt: skip
NECK = {
    f"neck.blocks.{i}.conv{conv}.bn.{leaf}": (256,)
    for i in range(4) for conv in (1, 2)
    for leaf in ("weight", "bias", "running_mean", "running_var")
}  # fmt: skip
HEAD = {"head.last_conv.0.weight": (2048, 2048, 1, 1), "head.fc.weight": (9, 2048),
        "head.fc.bias": (9,)}  # fmt: skip

SOUND = {
    "a stem alone": (STEM, 25, "warnings"),
    "a stem and a classifier": ({**STEM, **HEAD}, 25, "warnings"),
    "no last stage, beside a ResNet": ({**WITHOUT_STAGE_3, **RESNET}, 325, "warnings"),
    "no last stage, with a neck": (
        {**below("backbone.", WITHOUT_STAGE_3), **NECK}, 325, "warnings",
    ),
    "no last stage, with adapters": (
        {**WITHOUT_STAGE_3, "adapter.0.weight": (2048, 1024, 1, 1), "adapter.1.weight": (2048,)},
        325, "warnings",
    ),
    "a whole with a classifier": ({**BACKBONE_SHAPES, **HEAD}, 400, "ok"),
    "a whole beside a ResNet": ({**BACKBONE_SHAPES, **RESNET, **NECK}, 400, "ok"),
    "a detector": (DETECTOR, 819, "ok"),
    "a detector without stages": (
        {n: s for n, s in DETECTOR.items() if "backbone.stages" not in n}, 444, "warnings",
    ),
    "averaged beside raw": ({**below("model."), **below("ema.module.")}, 400, "ok"),
    "a student without its last stage and a whole teacher": (
        {**below("student.", WITHOUT_STAGE_3), **below("teacher.")}, 325, "warnings",
    ),
    "a stem of four channels": (
        {**BACKBONE_SHAPES, "stem.stem1.conv.weight": (32, 4, 3, 3)}, 399, "warnings",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SOUND)
def test_sound_files_and_sound_parts_keep_their_verdict(kind):
    shapes, matched, word = SOUND[kind]
    diff = compare(listed(shapes), CONFIG)
    assert (diff.counts["matched"], judge(diff, rows=())) == (matched, word)
    assert find_unreached(diff) is None


@pytest.mark.parametrize(
    ("layout", "count", "shapes"),
    [
        (lambda s: (s[2], s[3], s[1], s[0]), 80, "(3, 3, 3, 32) for (32, 3, 3, 3)"),
        (lambda s: s[:2] if s[2:] == (1, 1) else s, 37, "(48, 32) for (48, 32, 1, 1)"),
        (lambda s: (s[0] * s[1] * s[2] * s[3],), 80, "(864,) for (32, 3, 3, 3)"),
    ],
)
def test_values_in_another_order_of_axes_fail(layout, count, shapes):
    laid = {n: layout(s) if len(s) == 4 else s for n, s in BACKBONE_SHAPES.items()}
    (failure,) = verdict_on(laid).failures
    assert failure.what.startswith(f"{count} tensors of the backbone have as many values")
    assert shapes in failure.what


def test_stages_under_each_others_numbers_are_no_other_size():
    moved = named(lambda name: re.sub(r"stages\.(\d)", lambda m: f"stages.{int(m[1]) + 1}", name))
    verdict = verdict_on(moved)
    assert verdict == "failed"
    assert "under each other's names" in verdict.failures[0].what
    smaller = {n: tuple(max(1, size // 2) for size in s) for n, s in BACKBONE_SHAPES.items()}
    assert "another size" in verdict_on(smaller).failures[0].what


def test_a_deliberate_choice_of_what_is_reached_is_written(tmp_path):
    wrapped = {k.replace("stages.3.", "stages.3.my_wrap."): v for k, v in backbone().items()}
    source = save({"model": prefixed("backbone.", wrapped)}, tmp_path / "a.pth")
    with pytest.raises(ConversionRefusedError, match="under names that no rule leads"):
        convert(source, tmp_path / "whole.pth", CONFIG)
    assert not (tmp_path / "whole.pth").exists()
    done = convert(source, tmp_path / "stem.pth", CONFIG, include=["stem.*"])
    assert len(done.selection) == 25 and done.verdict == "warnings"
    renamed = convert(source, tmp_path / "t.pth", CONFIG, rename={r"\.my_wrap\.": "."})
    assert len(renamed.selection) == 400 and renamed.verdict == "ok"
    assert renamed.report.provenance["asked_renames"] == [r"\.my_wrap\.=."]
