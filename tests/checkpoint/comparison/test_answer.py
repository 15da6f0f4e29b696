"""The sentence above a comparison, and the order of what is below it."""

import re

import pytest

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.answer import answer
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.config.load import load_config
from tests.checkpoint.wild import CONFIG, backbone, detector, prefixed, save, tensor
from tests.paths import DATA


@pytest.fixture
def compared(tmp_path):
    def compare_content(content, config=CONFIG):
        return compare(open_checkpoint(save(content, tmp_path / "a.pth")), config)

    return compare_content


def test_a_whole_backbone_loads(compared):
    word, sentence = answer(compared({"state_dict": backbone()}))
    assert word == "Loads"
    assert sentence == "400 of 400 backbone tensors (100 % of the values), after renaming."


def test_counters_and_heads_are_counted_beside_the_backbone(compared):
    _, sentence = answer(compared({"state_dict": backbone(live=True)}))
    assert sentence.endswith("The file also has 80 batch counters.")
    _, sentence = answer(compared({"model": detector()}))
    assert "400 of 400 backbone tensors" in sentence and "encoder and decoder" in sentence
    assert "after renaming" not in sentence


def test_a_part_is_never_rounded_to_the_whole(compared):
    state = prefixed("backbone.", backbone())
    state["backbone.stem.stem1.conv.weight"] = tensor("four", (32, 4, 3, 3))
    word, sentence = answer(compared({"model": state}))
    assert word == "Loads in part" and sentence.startswith("399 of 400 backbone tensors (99.9 %")


def test_the_shipped_file_is_ok_and_its_answer_comes_first():
    diff = compare(DATA / "demo_backbone_mmdet.pth", load_config("rtdetrv2_hgnetv2_l"))
    assert diff.verdict == "ok" and not diff.verdict.warnings
    assert str(diff).startswith("verdict: ok. Loads: 400 of 400 backbone tensors (100 %")
    page = diff._repr_html_()
    words = ["<b>Loads:</b> 400 of 400", "6 notes", "<details>", "<table>", "unused: 6"]
    places = [page.index(word) for word in words]
    assert places == sorted(places)


def test_what_to_do_is_in_a_line_that_wraps_anywhere(compared):
    diff = compared({"state_dict": backbone()}, load_config("rtdetrv2_hgnetv2_x"))
    page = diff._repr_html_()
    assert "<b>Loads in part:</b>" in page and "1 failure" in page
    (line,) = re.findall(r"<div style='([^']*)'>(?:(?!<div).)*Use the configuration", page)
    assert "overflow-wrap:anywhere" in line
    assert re.search(r"<b>Use the configuration of that size[^<]*</b>", page)
