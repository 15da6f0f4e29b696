"""`inspect`, `diff` and `convert` as a user runs them."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest
import torch

import rtdetr_nb as rt
from rtdetr_nb.cli.main import main
from tests.checkpoint.wild import as_dfine, backbone, detector, prefixed, save, tensor
from tests.paths import ROOT

DEMO = ROOT / "data" / "demo_backbone_mmdet.pth"


@pytest.fixture
def run(capsys):
    """Run a command; returns (exit code, standard output, standard error)."""

    def run_command(*arguments) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run_command


# --- inspect and diff ---------------------------------------------------------------------------


def test_inspect_lists_backbones_and_contents(run, backbone_file):
    code, out, err = run("inspect", backbone_file)
    assert (code, err) == (0, "")
    assert "torch zip, 401 tensors" in out
    assert "state_dict  model  L        official      400" in out
    assert "\x1b" not in out


def test_inspect_json(run, backbone_file):
    code, out, _ = run("inspect", backbone_file, "--json")
    listing = json.loads(out)
    assert code == 0 and listing["container"] == "torch zip"
    assert listing["candidates"][0]["prefix"] == "state_dict."
    assert listing["tensors"][0] == {
        "key": "state_dict.stem.stem1.conv.weight",
        "shape": [32, 3, 3, 3],
        "dtype": "float32",
        "kind": "tensor",
    }


def test_inspect_without_a_backbone_is_no_error(run, tmp_path):
    path = save({"fc.weight": torch.ones(2, 2)}, tmp_path / "a.pth")
    code, out, _ = run("inspect", path)
    assert code == 0 and "no HGNetv2 backbone" in out


def test_diff_shows_counts_and_verdict(run, backbone_file):
    code, out, err = run("diff", backbone_file)
    assert (code, err) == (0, "")
    assert "verdict: ok" in out and "stages.3" in out
    assert f"rtdetr-nb convert --input {backbone_file} --output tuning.pth" in out
    assert "the official -t finds none of the model's 869 tensors" in out
    assert "adapter_state_dict.adapters.0.weight" in out and "not applied" not in out


def test_diff_json(run, tmp_path):
    path = save({"model": as_dfine(backbone())}, tmp_path / "a.pth")
    code, out, _ = run("diff", path, "--json")
    diff = json.loads(out)
    assert code == 0 and diff["counts"]["matched"] == 400
    assert diff["verdict"] == "ok" and diff["findings"]
    row = next(row for row in diff["rows"] if row["rule"] == "padded stem")
    assert row["checkpoint_key"] == "model.stem.stem2a.conv.weight"


def test_diff_takes_a_candidate_and_a_configuration(run, tmp_path):
    content = {"model": detector(variant="x"), "ema": {"module": detector(variant="x")}}
    path = save(content, tmp_path / "a.pth")
    _, out, _ = run("diff", path, "-c", "rtdetrv2_hgnetv2_x", "--candidate", "model", "--json")
    diff = json.loads(out)
    assert diff["candidate"]["name"] == "model" and diff["verdict"] == "ok"


def test_a_terminal_gets_colours_and_drawn_tables(backbone_file):
    reader, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rtdetr_nb", "diff", str(backbone_file)],
        stdout=terminal,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "160"},
    )
    os.close(terminal)
    output = b""
    try:
        while chunk := os.read(reader, 65536):
            output += chunk
    except OSError:  # how Linux says that the other end was closed
        pass
    assert process.wait() == 0
    text = output.decode()
    assert "\x1b[" in text and "━━" in text and "stages.3" in text


# --- convert ------------------------------------------------------------------------------------


def test_convert_writes_proves_and_reports(run, backbone_file, tmp_path):
    output = tmp_path / "tuning.pth"
    code, out, err = run("convert", "--input", backbone_file, "--output", output)
    assert (code, err) == (0, "")
    assert "400 selected tensors" in out
    assert "loaded into a fresh model: 400 tensors bit-equal" in out
    state = torch.load(output, weights_only=True)["model"]
    assert state.keys() == prefixed("backbone.", backbone()).keys()


def test_the_verdict_of_convert_is_on_what_was_written(run, backbone_file, tmp_path):
    words = ("convert", "--input", backbone_file, "--output", tmp_path / "t.pth")
    _, out, _ = run(*words, "--include", "stem.*", "stages.0")
    assert "335 tensors of the backbone are not in the file and stay at random" in out
    assert "the official -t will load 65 of the model's 869 tensors" in out
    _, out, _ = run(*words, "--exclude", "*.running_*", "--force")
    assert "160 norm statistics are not loaded" in out
    assert "keep the statistics" not in out
    _, out, _ = run("diff", tmp_path / "t.pth")
    assert "finds 240 of the model's 869 tensors in this file: it is a tuning file" in out


def test_convert_never_replaces_what_it_reads(run, backbone_file, tmp_path):
    source = save({"model": detector()}, tmp_path / "full.pth")
    (tmp_path / "link.pth").symlink_to(source)
    before = source.read_bytes()
    for read, write in (
        (["--input", source], source),
        (["--input", tmp_path / "link.pth"], source),
        (["--input", source], tmp_path / "link.pth"),
        (["--input", backbone_file, "--base", source], source),
    ):
        code, out, err = run("convert", *read, "--output", write, "--force")
        assert (code, out) == (2, "") and "is what the tensors come from" in err
    assert source.read_bytes() == before


def test_near_names_are_applied_when_asked(run, tmp_path):
    state = {k.replace("aggregation", "agregation"): v for k, v in backbone().items()}
    path = save({"model": state}, tmp_path / "a.pth")
    _, out, _ = run("diff", path)
    assert "convert --accept-near" in out
    words = ("convert", "--input", path, "--output", tmp_path / "t.pth")
    code, _, err = run(*words)
    assert code == 2 and "under names that no rule leads to the model" in err
    assert not (tmp_path / "t.pth").exists()
    code, out, _ = run(*words, "--accept-near", "--force")
    assert code == 0 and "400 selected tensors" in out
    written = torch.load(tmp_path / "t.pth", weights_only=True)["model"]
    assert all(torch.equal(written[f"backbone.{key}"], v) for key, v in backbone().items())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "t.txt"], "ends in .txt; expected one of .pth"),
        (["--output", "t"], "ends in nothing; expected one of .pth"),
        (["--output", "t.pth", "--prefix", "net"], "does not end in a dot"),
    ],
)
def test_outputs_that_nothing_could_read_are_refused(run, backbone_file, tmp_path, words, message):
    words[1] = tmp_path / words[1]
    code, _, err = run("convert", "--input", backbone_file, *words)
    assert code == 2 and message in err and not list(tmp_path.iterdir())


def test_convert_selects_and_prints_json(run, backbone_file, tmp_path):
    code, out, _ = run(
        *("convert", "--input", backbone_file, "--output", tmp_path / "t.safetensors"),
        *("--include", "stem.*", "stages.0", "--exclude", "*.running_var", "--json"),
    )
    report = json.loads(out)
    assert code == 0 and len(report["selected"]) == 52
    assert report["bit_equal"] and report["loaded_bit_equal"]
    assert "13 convolutions" in report["warnings"][0]
    words = ("convert", "--input", backbone_file, "--output", tmp_path / "t.safetensors")
    assert "reads files of torch.save only" in run(*words, "--force")[1]


def test_convert_keeps_the_old_flags(run, tmp_path):
    content = {"nested": {"weights": backbone()}, "other": {"weights": backbone(salt="o")}}
    path = save(content, tmp_path / "a.pth")
    code, out, _ = run(
        *("convert", "--input", path, "--output", tmp_path / "t.pth"),
        *("--subkey", "nested.weights", "--prefix", "net."),
    )
    assert code == 0 and "official -t would load nothing" in out
    written = torch.load(tmp_path / "t.pth", weights_only=True)["model"]
    assert torch.equal(written["net.stem.stem1.conv.weight"], backbone()["stem.stem1.conv.weight"])


def test_convert_writes_the_bare_form(run, backbone_file, tmp_path):
    words = ("convert", "--bare", "--input", backbone_file, "--output", tmp_path / "b.pth")
    code, out, _ = run(*words)
    assert code == 0 and "loaded strictly into a fresh backbone: 400 tensors bit-equal" in out
    assert f"HGNetv2.pretrained={tmp_path / 'b.pth'}; its -t stops at this file" in out
    assert "will load" not in out
    code, _, err = run(*words, "--force", "--include", "stem.*")
    assert code == 2 and "375 of 400 tensors are lacking" in err
    _, out, _ = run("diff", tmp_path / "b.pth")
    assert "400 of 400  loads the backbone, no heads" in out


def test_diff_says_what_each_door_does(run, backbone_file, tmp_path):
    _, out, _ = run("diff", backbone_file)
    lines = {line.split("  ")[1].strip(): line for line in out.splitlines() if " of 869 " in line}
    assert "stops: KeyError: 'model'" in lines["-t"]
    assert "no error: trains from random weights" in lines["-r"]
    assert "no error: evaluates random weights" in lines["-r --test-only"]
    _, out, _ = run("diff", save({"ema": {"module": detector()}}, tmp_path / "a.pth"))
    assert "869 of 869  evaluates ema.module" in out and "869 of 869  loads the model" in out


def test_convert_grafts(run, backbone_file, tmp_path):
    base = save({"model": detector(salt="base")}, tmp_path / "base.pth")
    code, out, _ = run(
        *("convert", "--input", backbone_file, "--output", tmp_path / "t.pth", "--base", base)
    )
    assert code == 0 and "469 from the base" in out
    assert "the official -t will load 869 of the model's 869 tensors" in out
    assert "encoder and decoder start at random" not in out


def refused(content):
    return lambda folder: save(content(), folder / "a.pth")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (refused(lambda: {"model": detector(variant="x")}), "HGNetv2-X"),
        (refused(lambda: {"model": prefixed("backbone.", backbone(use_lab=True))}), "LAB"),
        (
            refused(
                lambda: {
                    "model": {
                        **prefixed("backbone.", backbone()),
                        "backbone.stem.stem1.conv.weight": torch.full((32, 3, 3, 3), torch.nan),
                    }
                }
            ),
            "not a number",
        ),
        (refused(lambda: {"fc.weight": tensor("fc", (2, 2))}), "no HGNetv2"),
        (refused(lambda: {"a": backbone(), "b": backbone(salt="b")}), "--candidate"),
        (lambda folder: folder / "none.pth", "no such file"),
        (lambda folder: folder, "folder"),
    ],
    ids=["variant", "LAB", "NaN", "no backbone", "ambiguous", "missing", "folder"],
)
def test_convert_writes_nothing_when_it_cannot_be_right(run, tmp_path, build, words):
    path = build(tmp_path)
    output = tmp_path / "out" / "t.pth"
    output.parent.mkdir()
    code, out, err = run("convert", "--input", path, "--output", output)
    assert code == 2 and words in err and out == ""
    assert not list(output.parent.iterdir())


def test_force_writes_what_can_be_written(run, tmp_path):
    path = save({"model": prefixed("backbone.", backbone(use_lab=True))}, tmp_path / "a.pth")
    output = tmp_path / "t.pth"
    output.write_text("old")
    code, out, _ = run("convert", "--input", path, "--output", output, "--force")
    assert code == 0 and "verdict: failed" in out and "400 selected tensors" in out


def test_an_existing_output_is_one_line_and_exit_2(run, backbone_file, tmp_path):
    (tmp_path / "t.pth").write_text("mine")
    code, _, err = run("convert", "--input", backbone_file, "--output", tmp_path / "t.pth")
    assert code == 2 and err.count("\n") == 1 and "--force" in err
    assert (tmp_path / "t.pth").read_text() == "mine"


@pytest.mark.parametrize(
    "arguments", [["convert"], ["inspect"], ["diff", "a", "--unknown"], ["convert", "--input", "a"]]
)
def test_wrong_usage_exits_2(arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


# --- pictures -----------------------------------------------------------------------------------


def test_diff_says_what_the_pictures_say_of_the_input_format(run, tmp_path):
    config = rt.load_config("rtdetrv2_hgnetv2_l")
    made = rt.write_as_trained_on(rt.compare(DEMO, config).select(), tmp_path / "a.pth", "imagenet")
    _, out, _ = run("diff", made)
    assert "No pictures given, so nothing is known of the input format." in out
    code, out, err = run("diff", made, "--data", ROOT / "data" / "shapes")
    assert (code, err) == (0, "") and "No pictures given" not in out
    assert "a.pth expects RGB, ImageNet's mean and standard deviation" in out
    assert "warning: The norms remember other pictures" in out
    _, out, _ = run("diff", made, "--data", ROOT / "data" / "shapes", "--json")
    listed = json.loads(out)["input"]
    assert (listed["found"]["name"], listed["to_mend"], listed["certain"]) == (
        ("imagenet", "imagenet", False)
    )


def test_convert_finds_no_format_without_pictures(run, backbone_file, tmp_path):
    words = ("convert", "--input", backbone_file, "--output", tmp_path / "t.pth")
    code, out, err = run(*words, "--input-format", "auto")
    assert (code, out, err.count("\n")) == (2, "", 1) and "--data DIR" in err
    code, _, err = run(*words, "--data", tmp_path / "nothing")
    assert code == 2 and "no folder" in err and not (tmp_path / "t.pth").exists()


def test_convert_json_has_what_was_folded(run, backbone_file, tmp_path):
    words = ("convert", "--input", backbone_file, "--output", tmp_path / "t.pth", "--json")
    _, out, _ = run(*words, "--input-format", "imagenet")
    done = json.loads(out)
    assert done["input_format"]["name"] == "imagenet" and done["input"] is None


# --- on a terminal --------------------------------------------------------------------------------


def on_terminal(columns: int, *arguments: object) -> list[str]:
    """What a command prints on a terminal of so many columns, without its colours."""
    reader, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rtdetr_nb", *map(str, arguments)],
        stdout=terminal,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)},
    )
    os.close(terminal)
    output = b""
    try:
        while chunk := os.read(reader, 65536):
            output += chunk
    except OSError:  # how Linux says that the other end was closed
        pass
    assert process.wait() == 0
    plain = re.sub(r"\x1b\[[0-9;]*m", "", output.decode())
    return [line.rstrip() for line in plain.replace("\r\n", "\n").splitlines()]


@pytest.mark.parametrize("columns", [80, 120])
def test_no_name_and_no_word_is_cut_on_a_terminal(backbone_file, columns):
    """A file of one size against the model of another: the widest table of parts."""
    lines = on_terminal(columns, "diff", backbone_file, "-c", "rtdetrv2_hgnetv2_x")
    assert all(len(line) <= columns for line in lines)
    assert "…" not in "".join(lines)
    head = next(line.split() for line in lines if line.startswith(" part"))
    assert head == [
        *("part", "tensors", "matched", "mismatched", "missing", "unused", "bookkeeping", "loads")
    ]
    parts = [line.split()[0] for line in lines if line.startswith(" stages.")]
    assert parts[:4] == ["stages.0", "stages.1", "stages.2", "stages.3"]
    assert "Use the configuration of that size" in " ".join(lines[-2:])
    whole = " ".join(line.strip() for line in lines)
    assert "The official loader would take the few tensors of equal shape" in whole


def test_the_next_command_has_the_options_that_were_given(run, tmp_path):
    content = {"model": detector(variant="x"), "ema": {"module": detector(variant="x")}}
    path = save(content, tmp_path / "a b.pth")
    words = ("diff", path, "-c", "rtdetrv2_hgnetv2_x", "--candidate", "model")
    last = run(*words)[1].splitlines()[-1]
    assert last == f"next: rtdetr-nb train -c rtdetrv2_hgnetv2_x -t '{path}'"
    content = {"state_dict": backbone(variant="X")}
    path = save(content, tmp_path / "b.pth")
    last = run("diff", path, "-c", "rtdetrv2_hgnetv2_x", "--subkey", "state_dict")[1].splitlines()
    assert last[-1] == (
        f"next: rtdetr-nb convert --input {path} --output tuning.pth -c rtdetrv2_hgnetv2_x "
        "--subkey state_dict"
    )


def test_the_command_alone_is_the_help(run):
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "usage: rtdetr-nb" in out and "convert" in out
