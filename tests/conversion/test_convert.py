"""The whole conversion in one call: read once, judged once, proved, or refused."""

import pytest
import torch

import rtdetr_nb as rt
from rtdetr_nb.checkpoint.checkpoint import Checkpoint, open_checkpoint
from rtdetr_nb.checkpoint.comparison import judge as judging
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.tuning import judged as judged_writing
from rtdetr_nb.checkpoint.tuning import proof
from rtdetr_nb.checkpoint.tuning.judged import ConversionRefusedError
from rtdetr_nb.conversion import convert as converting
from rtdetr_nb.conversion.convert import convert
from rtdetr_nb.errors import ConfigError, SelectionError, TuningError
from tests.checkpoint.wild import CONFIG, as_ultralytics, backbone, detector, prefixed, save

NAME = "rtdetrv2_hgnetv2_l"


def statuses(diff):
    return [
        (row.model_key, row.status, row.checkpoint_shape, row.model_key is None or row.part)
        for row in diff.rows
    ]


def with_nan():
    weight = torch.full((32, 3, 3, 3), torch.nan)
    return {
        "model": {**prefixed("backbone.", backbone()), "backbone.stem.stem1.conv.weight": weight}
    }


# --- what comes out -----------------------------------------------------------------------------


def test_one_call_writes_judges_and_proves(backbone_file, tmp_path):
    done = rt.convert(backbone_file, tmp_path / "t.pth", NAME)
    assert isinstance(done, rt.Conversion)
    assert done.verdict == "ok" and done.report.bit_equal
    assert done.proof is not None and done.proof.bit_equal and len(done.proof.equal) == 400
    assert len(done.proof.match.loaded) == 400 and len(done.proof.match.missed) == 469
    written = torch.load(tmp_path / "t.pth", weights_only=True)["model"]
    assert all(torch.equal(written[f"backbone.{k}"], v) for k, v in backbone().items())
    for text in (str(done), done._repr_html_()):
        assert "Only a backbone" in text and "400 tensors bit-equal" in text


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "options",
    [{}, {"include": ["stem.*", "stages.0"]}, {"exclude": ["*.running_*"]}, {"base": True}],
    ids=["all", "some", "without", "base"],
)
def test_the_file_is_what_was_judged(backbone_file, detector_file, tmp_path, suffix, options):
    """What is compared before the file is written is what the file then holds."""
    if "base" in options:
        options = {"base": detector_file}
    done = convert(backbone_file, tmp_path / f"t{suffix}", CONFIG, **options)
    again = compare(open_checkpoint(done.report.path), CONFIG)
    assert done.filled is not None and statuses(done.filled) == statuses(again)


def test_the_loaded_values_are_those_of_other_libraries_after_their_fix(tmp_path):
    path = save({"model": as_ultralytics(backbone())}, tmp_path / "a.pth")
    done = convert(path, tmp_path / "t.pth", CONFIG)
    assert done.proof is not None and done.proof.bit_equal
    written = torch.load(tmp_path / "t.pth", weights_only=True)["model"]
    ours = backbone()["stem.stem1.bn.running_var"]
    torch.testing.assert_close(
        written["backbone.stem.stem1.bn.running_var"], ours + 1e-3 - 1e-5, rtol=3e-7, atol=0
    )


def test_another_prefix_is_not_loaded(backbone_file, tmp_path):
    done = convert(backbone_file, tmp_path / "t.pth", CONFIG, prefix="net.")
    assert done.proof is None and done.filled is None and done.report.bit_equal


def test_too_little_to_recognise_a_backbone_is_written_and_proved(backbone_file, tmp_path):
    done = convert(backbone_file, tmp_path / "t.pth", CONFIG, include="stem.stem1.bn.bias")
    assert done.filled is None and done.verdict == "ok"
    assert done.proof is not None and done.proof.match.loaded == ("backbone.stem.stem1.bn.bias",)


def test_an_opened_checkpoint_and_a_candidate(detector_file, tmp_path):
    done = convert(open_checkpoint(detector_file), tmp_path / "t.pth", CONFIG, candidate="model")
    assert done.selection.diff.candidate.name == "model"
    written = torch.load(tmp_path / "t.pth", weights_only=True)["model"]
    assert torch.equal(
        written["backbone.stem.stem1.bn.bias"], detector("raw")["backbone.stem.stem1.bn.bias"]
    )


# --- once ---------------------------------------------------------------------------------------


def test_the_source_is_read_once_and_judged_once(backbone_file, tmp_path, monkeypatch):
    read: dict[str, list[str]] = {"source": [], "output": []}
    judged = []
    read_numpy, iterate, judge = Checkpoint.read_numpy, Checkpoint.iterate_numpy, judging.judge

    def note(self, keys):
        keys = list(keys)
        read["source" if self.path == backbone_file else "output"] += keys
        return keys

    monkeypatch.setattr(
        Checkpoint, "read_numpy", lambda self, keys: read_numpy(self, note(self, keys))
    )
    monkeypatch.setattr(
        Checkpoint, "iterate_numpy", lambda self, keys: iterate(self, note(self, keys))
    )

    def count(*arguments, **options):
        judged.append(options)
        return judge(*arguments, **options)

    monkeypatch.setattr(judged_writing, "judge", count)
    done = convert(backbone_file, tmp_path / "t.pth", CONFIG)
    assert done.proof is not None and done.proof.bit_equal
    assert sorted(read["source"]) == sorted(f"state_dict.{key}" for key in backbone())
    assert read["output"] == [f"model.backbone.{key}" for key in backbone()]
    assert len(judged) == 1


def test_files_are_opened_no_more_than_needed(backbone_file, tmp_path, monkeypatch):
    """Listing, values, checksum; the written file: listing and values."""
    opened = []
    real = open_checkpoint
    for module in (converting, proof):
        monkeypatch.setattr(
            module, "open_checkpoint", lambda path, **o: opened.append(path) or real(path, **o)
        )
    convert(backbone_file, tmp_path / "t.pth", CONFIG)
    assert len(opened) == 2 and opened[0] == backbone_file


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (with_nan, "not a number"),
        (lambda: {"model": detector(variant="x")}, "HGNetv2-X"),
        (lambda: {"model": prefixed("backbone.", backbone(use_lab=True))}, "LAB"),
    ],
    ids=["NaN", "variant", "LAB"],
)
def test_a_failed_verdict_writes_nothing_unless_forced(tmp_path, content, words):
    path = save(content(), tmp_path / "a.pth")
    output = tmp_path / "t.pth"
    with pytest.raises(ConversionRefusedError, match=words) as caught:
        convert(path, output, CONFIG)
    assert caught.value.verdict == "failed" and caught.value.verdict.findings
    assert "force=True" in str(caught.value) and not output.exists()
    done = convert(path, output, CONFIG, force=True)
    assert done.verdict == "failed" and output.exists() and done.report.bit_equal


def test_the_reason_is_the_verdict_also_where_nothing_can_be_selected(tmp_path):
    path = save({"model": detector(variant="x")}, tmp_path / "a.pth")
    with pytest.raises(ConversionRefusedError, match="HGNetv2-X"):
        convert(path, tmp_path / "t.pth", CONFIG, include="stem.stem1.conv.weight")


def test_a_pattern_that_matches_nothing_is_named(backbone_file, tmp_path):
    with pytest.raises(SelectionError, match="stem5"):
        convert(backbone_file, tmp_path / "t.pth", CONFIG, include="stem5.*")


def test_refusals_come_before_values_are_read(backbone_file, tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "read_numpy", None)
    with pytest.raises(TuningError, match="ends in .txt"):
        convert(backbone_file, tmp_path / "t.txt", CONFIG)
    with pytest.raises(TuningError, match="is what the tensors come from"):
        convert(backbone_file, backbone_file, CONFIG, force=True)
    with pytest.raises(TuningError, match="does not end in a dot"):
        convert(backbone_file, tmp_path / "t.pth", CONFIG, prefix="net")
    with pytest.raises(ConfigError, match="no configuration 'nothing'"):
        convert(backbone_file, tmp_path / "t.pth", "nothing")


# --- deliberate faults --------------------------------------------------------------------------


def test_an_output_that_is_not_what_was_written_is_removed(backbone_file, tmp_path, monkeypatch):
    write = proof._write_torch

    def lose_a_digit(path, tensors, provenance):
        write(path, {name: value.half().to(value.dtype) for name, value in tensors.items()}, {})

    monkeypatch.setattr(proof, "_write_torch", lose_a_digit)
    (tmp_path / "t.pth").write_text("mine")
    with pytest.raises(TuningError, match="did not come back"):
        convert(backbone_file, tmp_path / "t.pth", CONFIG, force=True)
    assert (tmp_path / "t.pth").read_text() == "mine"
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.pth"]


def test_a_model_that_does_not_hold_the_values_is_told(backbone_file, tmp_path, monkeypatch):
    build = converting._build

    def forgetful(config):
        model = build(config)
        load = model.load_state_dict

        def forget_the_stem(state, strict):
            return load({k: v for k, v in state.items() if ".stem1." not in k}, strict=strict)

        monkeypatch.setattr(model, "load_state_dict", forget_the_stem)
        return model

    monkeypatch.setattr(converting, "_build", forgetful)
    done = convert(backbone_file, tmp_path / "t.pth", CONFIG)
    assert done.proof is not None and not done.proof.bit_equal
    # Its bias, mean and variance start at the values that norms start with.
    assert not done.proof.equal["backbone.stem.stem1.conv.weight"]
    assert "NOT EQUAL" in str(done)


def test_an_input_format_is_folded_into_the_stem_and_told(backbone_file, tmp_path):
    plain = convert(backbone_file, tmp_path / "plain.pth", CONFIG)
    mended = convert(backbone_file, tmp_path / "mended.pth", CONFIG, input_format="imagenet")
    assert plain.report.stem is None and mended.report.stem is not None
    assert "398 unchanged and read back bit-equal" in str(mended)
    assert mended.proof is not None and mended.proof.bit_equal
    changed = [
        key
        for key, value in torch.load(tmp_path / "mended.pth")["model"].items()
        if not torch.equal(value, torch.load(tmp_path / "plain.pth")["model"][key])
    ]
    assert sorted(changed) == [
        "backbone.stem.stem1.bn.running_mean",
        "backbone.stem.stem1.conv.weight",
    ]


def test_an_unknown_input_format_is_refused_with_the_names(backbone_file, tmp_path):
    with pytest.raises(TuningError, match="Did you mean 'imagenet'"):
        convert(backbone_file, tmp_path / "t.pth", CONFIG, input_format="imagenets")
    assert not (tmp_path / "t.pth").exists()
