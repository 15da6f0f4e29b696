"""A backbone rewritten for other pictures computes of these what it did of plain ones."""

import pytest
import torch

import rtdetr_nb as rt
from rtdetr_nb.checkpoint.tuning.input_format import FORMATS, fold_into_stem
from rtdetr_nb.errors import TuningError
from tests.checkpoint.wild import CONFIG

ODD = rt.InputFormat("odd", (3.0, 20.0, 100.0), (50.0, 60.0, 70.0), scale=255.0).as_bgr()


@pytest.mark.parametrize("wanted", [*FORMATS.values(), ODD], ids=lambda each: each.name)
def test_the_inverse_takes_back_what_a_format_does(wanted: rt.InputFormat):
    pictures = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    back = wanted.inverse().apply(wanted.apply(pictures))
    torch.testing.assert_close(back, pictures, rtol=0, atol=1e-12)
    assert wanted.inverse().inverse().same_as(wanted)


@pytest.mark.parametrize("name", ["imagenet", "mean_only_255_bgr"])
def test_only_the_stem_changes_and_folding_brings_it_back(backbone_diff, tmp_path, name):
    selection = backbone_diff.select()
    path = rt.write_as_trained_on(selection, tmp_path / "a.pth", name)
    again = rt.compare(path, CONFIG)
    assert again.counts["matched"] == 400 and again.verdict != "failed"
    own, rewritten = selection.read(), again.select().read()
    changed = [key for key in own if not torch.equal(own[key], rewritten[key])]
    assert sorted(key.removeprefix("backbone.stem.stem1.") for key in changed) == [
        "bn.running_mean",
        "conv.weight",
    ]
    mended = fold_into_stem(rewritten, name)
    for key in changed:
        torch.testing.assert_close(mended[key], own[key], rtol=1e-4, atol=1e-5)


def test_without_a_stem_or_with_another_name_it_is_refused(backbone_diff, tmp_path):
    with pytest.raises(TuningError, match="Select the stem too"):
        rt.write_as_trained_on(backbone_diff.select("stages.*"), tmp_path / "a.pth", "imagenet")
    with pytest.raises(TuningError, match="Did you mean 'imagenet'"):
        rt.write_as_trained_on(backbone_diff.select(), tmp_path / "a.pth", "imagenets")
    assert not list(tmp_path.iterdir())
