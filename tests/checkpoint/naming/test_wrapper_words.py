"""Words of wrappers inside names, wherever they stand."""

import re

import pytest

from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.comparison.judge import judge
from rtdetr_nb.checkpoint.naming.wrapper_words import (
    WRAPPER_WORDS,
    without_wrappers,
    wrapped_prefix,
)
from tests.checkpoint.listed import below, listed, named
from tests.checkpoint.wild import CONFIG


def test_words_are_taken_out_whole():
    assert without_wrappers("a._orig_mod.b.module.c") == ("a.b.c", ("_orig_mod", "module"))
    assert without_wrappers("modules.my_module.c") == ("modules.my_module.c", ())


@pytest.mark.parametrize(
    ("name", "plain", "prefix"),
    [
        ("stem.stem1.x", "", ""),
        ("module.stem.x", "", "module."),
        ("model._orig_mod.stem._orig_mod.stem1", "model.", "model._orig_mod."),
        ("module.backbone.module.stem.x", "backbone.", "module.backbone.module."),
    ],
)
def test_what_stands_before_the_names_belongs_to_the_prefix(name, plain, prefix):
    assert wrapped_prefix(name, plain) == prefix


@pytest.mark.parametrize("word", WRAPPER_WORDS)
@pytest.mark.parametrize(
    "place", [r"(stages\.\d)\.", r"(blocks\.\d)\.", r"(layers\.\d)\.", r"(stem)\."]
)
def test_each_word_is_looked_through_and_told(word, place):
    wrapped = named(lambda name: re.sub(place, rf"\1.{word}.", name))
    diff = compare(listed(below("state_dict.backbone.", wrapped)), CONFIG)
    assert diff.counts["matched"] == 400 and diff.counts["unused"] == 0
    rules = {row.rule for row in diff.rows if row.rule}
    assert rules == {f"{word} taken out"}
    said = [finding.what for finding in judge(diff, rows=()).findings if word in finding.what]
    assert len(said) == 1 and count_of(wrapped, word) in said[0]


def count_of(names, word):
    return f"{sum(f'.{word}.' in name for name in names)} names"


def test_wrappers_around_wrappers_and_around_everything():
    shapes = named(
        lambda name: (
            "_fsdp_wrapped_module.backbone._fsdp_wrapped_module."
            + re.sub(
                r"(blocks\.\d)\.", r"\1._fsdp_wrapped_module._checkpoint_wrapped_module.", name
            )
        )
    )
    diff = compare(listed({**shapes, "_fsdp_wrapped_module.encoder.x": (3,)}), CONFIG)
    assert diff.counts["matched"] == 400
    assert diff.candidate.root == "_fsdp_wrapped_module."


def test_two_keys_that_differ_in_a_wrapper_only_stay_two():
    shapes = {**below(""), "stages.0._orig_mod.downsample.conv.weight": (1,)}
    diff = compare(listed({**shapes, "stages.1._orig_mod.downsample.conv.weight": (1,)}), CONFIG)
    assert diff.counts["matched"] == 400
    assert [r.checkpoint_key for r in diff.rows if r.status == "unused"] == [
        "stages.0._orig_mod.downsample.conv.weight", "stages.1._orig_mod.downsample.conv.weight",
    ]  # fmt: skip
