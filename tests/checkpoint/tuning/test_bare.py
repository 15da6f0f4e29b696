"""The bare form: what `HGNetv2.pretrained` loads strictly, and `-t` cannot read."""

from typing import Any

import pytest
import torch

from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.official_loader.every_door import predict_doors
from rtdetr_nb.checkpoint.tuning.write import write_tuning_file
from rtdetr_nb.config.load import load_config
from rtdetr_nb.conversion.convert import convert
from rtdetr_nb.errors import TuningError
from rtdetr_nb.model.build import build_backbone
from tests.checkpoint.wild import CONFIG, as_dfine, backbone, detector, prefixed, save


def test_a_bare_file_is_the_whole_backbone_and_nothing_else(backbone_diff, tmp_path):
    path = tmp_path / "bare.pth"
    report = write_tuning_file(backbone_diff.select(), path, bare=True)
    assert report.bare and report.bit_equal and len(report.equal) == 400
    assert "for HGNetv2.pretrained, not for -t" in str(report)
    written = torch.load(path, weights_only=True)
    assert list(written) == list(backbone())
    assert all(torch.equal(written[key], value) for key, value in backbone().items())
    doors = predict_doors(path, CONFIG)
    assert doors.open == ("pretrained",) and doors["-t"].exception == "KeyError"


def test_a_tuning_file_of_the_same_selection_is_for_the_other_door(backbone_diff, tmp_path):
    path = tmp_path / "tuning.pth"
    assert not write_tuning_file(backbone_diff.select(), path).bare
    assert predict_doors(path, CONFIG).open == ("-t",)


@pytest.mark.parametrize("live", [False, True])
def test_a_bare_file_loads_strictly_into_frozen_and_live_norms(live, tmp_path):
    source = save({"model": as_dfine(backbone(live=live))}, tmp_path / "a.pth")
    config = load_config("rtdetrv2_hgnetv2_l", [f"HGNetv2.freeze_norm={not live}"])
    done = convert(source, tmp_path / "bare.pth", config, bare=True)
    assert done.proof is not None and done.proof.bit_equal and len(done.proof.equal) >= 400
    assert "strictly into a fresh backbone" in str(done.proof)
    model = build_backbone(config.with_values({"HGNetv2.pretrained": str(tmp_path / "bare.pth")}))
    state = model.state_dict()
    for name, value in backbone().items():
        assert torch.equal(state[name], value), name


def test_a_bare_file_of_a_detector_has_no_heads(tmp_path):
    source = save({"model": detector()}, tmp_path / "a.pth")
    done = convert(source, tmp_path / "bare.pth", CONFIG, bare=True)
    assert len(done.report.equal) == 400
    assert predict_doors(tmp_path / "bare.pth", CONFIG).open == ("pretrained",)


def test_a_mended_stem_goes_into_a_bare_file_too(tmp_path):
    source = save(backbone(), tmp_path / "a.pth")
    done = convert(source, tmp_path / "b.pth", CONFIG, bare=True, input_format="imagenet")
    assert done.report.stem is not None and done.proof is not None and done.proof.bit_equal
    written = torch.load(tmp_path / "b.pth", weights_only=True)
    changed = [key for key, value in backbone().items() if not torch.equal(written[key], value)]
    assert changed == ["stem.stem1.conv.weight", "stem.stem1.bn.running_mean"]


def test_a_part_is_never_written_as_the_whole(backbone_diff, tmp_path):
    path = tmp_path / "bare.pth"
    with pytest.raises(TuningError, match="399 of 400 tensors are lacking"):
        write_tuning_file(backbone_diff.select("stem.stem1.conv.weight"), path, bare=True)
    with pytest.raises(TuningError, match="1 of 400 tensors are lacking .*stem1.bn.bias"):
        convert(save(backbone(), tmp_path / "a.pth"), path, CONFIG, bare=True,
                exclude="stem.stem1.bn.bias")  # fmt: skip
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("b.safetensors", {}, "ends in .pth"),
        ("b.pth", {"prefix": "net."}, "has no prefix"),
        ("b.pth", {"base": "base.pth"}, "a base has no place in it"),
    ],
)
def test_what_contradicts_the_bare_form_is_refused(name, options: dict[str, Any], words, tmp_path):
    source = save(prefixed("backbone.", backbone()), tmp_path / "a.pth")
    if "base" in options:
        save({"model": detector()}, tmp_path / "base.pth")
        options = {"base": str(tmp_path / "base.pth")}
    with pytest.raises(TuningError, match=words):
        convert(source, tmp_path / name, CONFIG, bare=True, **options)
    with pytest.raises(TuningError, match=words):
        selection = compare(source, CONFIG).select()
        write_tuning_file(selection, tmp_path / name, bare=True, **options)
    assert not (tmp_path / name).exists()
