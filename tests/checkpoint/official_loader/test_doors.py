"""The doors of the official code, against what it did with the same files."""

import subprocess
import sys

import pytest
import torch

from rtdetr_nb.checkpoint.checkpoint import Checkpoint, open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.official_loader.doors import DOORS, find_door
from rtdetr_nb.checkpoint.official_loader.every_door import doors_of, predict_doors
from rtdetr_nb.checkpoint.official_loader.prediction import predict_official
from rtdetr_nb.checkpoint.reading.containers.detect import list_container
from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import UserError
from tests.checkpoint.official_loader.door_cases import CONTENTS, write
from tests.checkpoint.official_loader.golden_doors import check_doors, check_listed
from tests.checkpoint.wild import CONFIG, backbone, detector, save


@pytest.mark.parametrize("name", CONTENTS)
def test_each_door_does_what_the_official_code_did(name, tmp_path):
    path = write(name, tmp_path)
    exact = predict_doors(path, CONFIG)
    check_doors(name, exact)
    listing = list_container(path)
    listed = Checkpoint(
        path, listing.container, {}, {}, listing.tree, (path,), refusal=listing.refusal
    )
    check_listed(doors_of(listed, CONFIG), exact)


@pytest.mark.parametrize(
    ("name", "door", "words"),
    [
        ("bare, live norms", "-r", "no error: trains from random weights"),
        ("bare, live norms", "-r --test-only", "no error: evaluates random weights"),
        ("bare, live norms", "pretrained", "loads the backbone, no heads"),
        ("model and ema", "-t", "loads the model"),
        ("model and ema", "-r", "loads the weights; the optimizer starts anew"),
        ("model and ema", "-r --test-only", "evaluates ema.module"),
        ("all epochs done", "-r", "trains no step: its epochs are done"),
        ("bare, one missing", "pretrained", "stops: RuntimeError: 1 missing"),
        ("bare, a class head", "pretrained", "stops: RuntimeError: 1 unexpected"),
        ("bare, another shape", "pretrained", "stops: RuntimeError: 1 of another shape"),
        ("pickle protocol 4", "-t", "stops: UnpicklingError: Unsupported operand 149"),
    ],
)
def test_the_outcome_is_said_in_a_few_words(name, door, words, tmp_path):
    assert predict_official(write(name, tmp_path), CONFIG, door).outcome == words


def test_weights_without_an_average_are_evaluated_as_random_ones(tmp_path):
    path = save({"model": detector()}, tmp_path / "a.pth")
    prediction = predict_official(path, CONFIG, "-r --test-only")
    assert prediction.loaded == 0 and prediction.verdict == "failed"
    assert "Load model.state_dict" in prediction.printed
    assert "the average, which it lacks, evaluated" in str(prediction.findings[0])
    resumed = predict_official(path, CONFIG, "-r")
    assert resumed.verdict == "warnings" and "average begins" in resumed.findings[0].what
    without_average = load_config("rtdetrv2_hgnetv2_l", ["use_ema=False"])
    sound = predict_official(path, without_average, "-r --test-only")
    assert sound.loaded == 869 and sound.verdict == "ok"
    assert "ema" not in " ".join(sound.printed)


def test_live_norms_count_from_0_but_not_where_a_new_file_lacks_the_counter(tmp_path):
    live = load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.freeze_norm=False"])
    path = save(backbone(), tmp_path / "a.pth")
    assert predict_official(path, live, "pretrained").loaded == 400
    from rtdetr_nb.model.build import build_backbone

    state = build_backbone(live).state_dict()  # carries the versions of its norms
    for name in [name for name in state if name.endswith("num_batches_tracked")]:
        del state[name]
    torch.save(state, path)
    stopped = predict_official(path, live, "pretrained")
    with pytest.raises(RuntimeError) as error:
        build_backbone(live).load_state_dict(torch.load(path))
    assert stopped.exception == "RuntimeError" and stopped.message == str(error.value)
    assert stopped.outcome == "stops: RuntimeError: 80 missing"


@pytest.mark.parametrize("name", [name for name in CONTENTS if name.startswith("bare")])
def test_a_strict_load_says_what_pytorch_says(name, tmp_path):
    from rtdetr_nb.model.build import build_backbone

    path = write(name, tmp_path)
    prediction = predict_official(path, CONFIG, "pretrained")
    try:
        build_backbone(CONFIG).load_state_dict(torch.load(path))
    except RuntimeError as error:
        assert prediction.message == str(error)
    else:
        assert prediction.verdict == "ok" and prediction.loaded == 400


@pytest.mark.parametrize(
    ("door", "words"),
    [
        ("-T", "Did you mean '-t'"),
        ("--resume", "Did you mean '-r'"),
        ("-r --test_only", "Did you mean '-r --test-only'"),
        ("HGNetv2.pretrained", "Did you mean 'pretrained'"),
        ("x", "its doors are '-t', '-r', '-r --test-only', 'pretrained'."),
    ],
)
def test_an_unknown_door_is_a_sentence(door, words, tmp_path):
    with pytest.raises(UserError, match="no door") as error:
        predict_official(tmp_path / "none.pth", CONFIG, door)
    assert words in str(error.value)


def test_blanks_in_a_doors_name_do_not_count():
    assert find_door("  -r   --test-only ") == "-r --test-only"


def test_the_table_has_a_row_a_door_and_names_the_commit(tmp_path):
    doors = predict_doors(save(backbone(), tmp_path / "a.pth"), CONFIG)
    text = str(doors)
    assert "commit 068dfde" in text and [line.split()[0] for line in text.splitlines()[2:]] == [
        "-t", "-r", "-r", "pretrained",
    ]  # fmt: skip
    assert max(map(len, text.splitlines())) <= 80
    assert "<td" in doors._repr_html_() and "evaluates random weights" in doors._repr_html_()
    assert doors.open == ("pretrained",) and doors.verdict == "warnings"
    assert len(doors.verdict.warnings) == 2


def test_a_file_that_fits_a_door_and_stops_at_the_others_is_sound(tmp_path):
    tuning = {"model": {f"backbone.{key}": value for key, value in backbone().items()}}
    doors = predict_doors(save(tuning, tmp_path / "a.pth"), CONFIG)
    assert doors.open == ("-t",) and doors.verdict == "ok"
    assert {finding.level for finding in doors.findings} == {"note"}


def test_a_file_that_fits_no_door_is_failed(tmp_path):
    wrapped = {"state_dict": {f"net.{key}": value for key, value in backbone().items()}}
    doors = predict_doors(save(wrapped, tmp_path / "a.pth"), CONFIG)
    assert doors.open == () and doors.verdict == "failed"
    assert "No door" in doors.verdict.failures[0].what


def test_a_comparison_shows_the_doors(tmp_path):
    diff = compare(save(backbone(), tmp_path / "a.pth"), CONFIG)
    assert diff.doors["pretrained"].loaded == 400
    assert str(diff.doors) in str(diff)
    assert diff.doors._repr_html_() in diff._repr_html_()


def test_a_comparison_asks_the_doors_without_torch(tmp_path):
    path = save(backbone(), tmp_path / "a.pth")
    code = (
        "import sys, rtdetr_nb as rt\n"
        f"d = rt.compare({str(path)!r}, rt.load_config('rtdetrv2_hgnetv2_l')).doors\n"
        "print(d['-r'].outcome, 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "no error: trains from random weights False"


def test_a_prediction_shows_itself(tmp_path):
    path = save(backbone(), tmp_path / "a.pth")
    for door in DOORS:
        prediction = predict_official(path, CONFIG, door)
        assert f"official {door}" in prediction._repr_html_().replace("<code>", "").replace(
            "</code>", ""
        )
        assert prediction.commit == "068dfde"
    quiet = predict_official(path, CONFIG, "-r")
    assert str(quiet).startswith("Not load model.state_dict\n")
    assert quiet.log_line is not None and quiet.log_line.count("Not load") == 7
    assert "trains from random weights" in quiet._repr_html_()


def test_a_file_of_safetensors_comes_through_where_torch_reads_it(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "a.safetensors"
    save_file({key: value.clone() for key, value in backbone().items()}, path)
    check_listed(doors_of(open_checkpoint(path), CONFIG), predict_doors(path, CONFIG))


def test_batch_counters_that_a_file_lacks_are_no_weights_that_stay_random(tmp_path):
    live = CONFIG.with_values({"HGNetv2.freeze_norm": False})
    weights = {f"backbone.{key}": value for key, value in backbone().items()}
    weights = {k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")}
    whole = predict_official(save({"model": weights}, tmp_path / "whole.pth"), live, "-t")
    assert whole.outcome == "loads the backbone, no heads"
    weights.pop("backbone.stem.stem1.conv.weight")
    partial = predict_official(save({"model": weights}, tmp_path / "partial.pth"), live, "-t")
    assert partial.outcome == "no error: 1 of the backbone's 400 stay random"
