"""Go, or what is in the way: one fault by itself, many at once, and a sound training."""

import json
from pathlib import Path

import pytest

from rtdetr_nb.cli.main import main
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.shapes.generate import write_shapes_dataset
from rtdetr_nb.diagnostics.preflight import preflight as whole
from rtdetr_nb.diagnostics.preflight.preflight import preflight
from rtdetr_nb.errors import RunError
from tests.datasets.builders import write_yolo
from tests.paths import DATA

RESIZED = "val_dataloader.dataset.transforms.ops.0.size"


@pytest.fixture
def data(tmp_path) -> Path:
    """A data set of the test's own, to break."""
    return write_shapes_dataset(tmp_path / "shapes", num_train=12, num_val=6, seed=1)


def look(config, tmp_path, **options):
    """A preflight without a rehearsal."""
    options.setdefault("output_dir", tmp_path / "runs" / "one")
    return preflight(config, rehearse=False, **options)


def reasons(report) -> str:
    return "\n".join(map(str, report.verdict.failures))


def test_a_sound_training_is_go(sound, tmp_path):
    report = look(sound, tmp_path)
    assert report.go and report.verdict == "ok", report
    assert report.sentence.startswith("Go.")
    assert [part.name for part in report.parts] == ["configuration", "data", "weights", "disk"]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([f"{RESIZED}=[128,128]"], "pictures are evaluated at [128, 128]"),
        (["num_classes=7"], "has no place among num_classes: 7"),
        (["lr_scheduler.milestones=[8,12]"], "to fall at epoch 12"),
        (["train_dataloader.total_batch_size=128"], "A step takes 128 pictures"),
        (["checkpoint_freq=1", "epoches=10000000"], "are free"),
        (["eval_spatial_size=[100,100]"], "multiples of 32"),
        (["no_such_key=1"], "no_such_key"),
        (["data=nowhere"], "There is no nowhere"),
    ],
)
def test_a_fault_is_the_one_reason(sound, tmp_path, overrides, words):
    report = look(sound, tmp_path, overrides=overrides)
    assert not report.go and len(report.verdict.failures) == 1, report
    assert words in reasons(report)


def test_pictures_that_are_not_there(sound, data, tmp_path):
    source = open_data(data)
    assert look(sound, tmp_path, data=source).go
    source.train.image_path(0).unlink()
    report = look(sound, tmp_path, data=data)
    assert not report.go and source.train.image_path(0).name in reasons(report)


def test_all_reasons_are_told_at_once(sound, data, tuning, tmp_path):
    open_data(data).train.image_path(3).unlink()
    (tmp_path / "runs").write_text("no folder")
    report = look(
        sound,
        tmp_path,
        tuning=tuning,
        data=data,
        official=tmp_path,
        overrides=[
            "HGNetv2.name=X",
            "num_classes=7",
            f"{RESIZED}=[128,128]",
            "lr_scheduler.milestones=[8,12]",
            "train_dataloader.total_batch_size=128",
            "mistyped=1",
        ],
    )
    told = reasons(report)
    for words in (
        "pictures are evaluated at",
        "num_classes: 7",
        "to fall at epoch 12",
        "A step takes 128",
        "holds HGNetv2-L",
        "cannot be written",
        "'mistyped'",
        "is not a checkout",
        "000003",
    ):
        assert words in told, f"{words} in {told}"
    assert len(report.verdict.failures) == len(set(report.verdict.failures))


def test_a_configuration_that_is_not_there(tmp_path):
    report = look("nothing_like_it", tmp_path)
    assert not report.go and [part.name for part in report.parts] == ["configuration"]
    assert "nothing_like_it" in reasons(report)


def test_a_rehearsal_that_would_not_begin_is_left_out(sound, tmp_path):
    too_many = sound.override(["train_dataloader.total_batch_size=128"])
    report = preflight(too_many, output_dir=tmp_path / "run")
    assert report.parts[-1].word == "left out" and "rehearsal      left out" in str(report)
    assert "The run 0" not in str(report) and "warm-up lasts" not in str(report)


def test_a_wrong_number_of_processes(sound, tmp_path):
    with pytest.raises(RunError, match="at least 1"):
        look(sound, tmp_path, processes=0)


def test_a_part_that_breaks_is_a_finding_and_not_the_end(sound, tmp_path, monkeypatch):
    def broken(_training):
        raise ZeroDivisionError("by hand")

    monkeypatch.setitem(whole._LOOKS, "disk", broken)
    report = look(sound, tmp_path)
    assert report.go and report.verdict == "warnings"
    (found,) = report.verdict.warnings
    assert "'disk'" in found.what and "ZeroDivisionError: by hand" in found.what
    monkeypatch.setitem(whole._LOOKS, "data", broken)
    assert len(look(sound, tmp_path).verdict.warnings) == 2


def test_the_data_that_are_given_take_the_place_of_the_configured(sound, data, tmp_path):
    report = look(sound.override(["num_classes=12"]), tmp_path, data=data)
    assert report.figures["pictures to train on"].value == 12
    assert any("12 classes, and the data 10" in str(found) for found in report.findings)


def test_a_layout_that_only_the_key_data_names(sound, tmp_path):
    folder = write_yolo(tmp_path / "yolo")
    report = look(sound, tmp_path, overrides=[f"data={folder}"])
    assert report.figures["pictures to train on"].value == 6
    assert "num_classes" not in reasons(report)


def test_the_report_in_every_form(sound, tmp_path):
    report = look(sound.override([f"{RESIZED}=[128,128]"]), tmp_path)
    for width in (80, 120):
        assert max(map(len, report.text(width).split("\n"))) <= width
    assert report.sentence == "Not yet: 1 reason stands in the way."
    assert "In the way:\n  1. eval_spatial_size" in str(report)
    assert {"part", "name", "value"} <= set(report.table.columns) and len(report.table) > 5
    assert "<table>" in report._repr_html_() and "evaluated at [128, 128]" in report.html()
    page = report.save(tmp_path / "page.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and "color-scheme: light dark" in page
    values = json.loads(json.dumps(report.to_json()))
    assert values["go"] is False and values["findings"][0]["level"] == "failure"
    assert "PreflightReport" in repr(report)


def test_the_command_says_go_or_exits_with_2(sound, tmp_path, capsys):
    path = tmp_path / "config.yml"
    path.write_text(sound.to_yaml())
    command = [
        "preflight",
        "-c",
        str(path),
        "--output-dir",
        str(tmp_path / "run"),
        "--no-rehearsal",
    ]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("Go.")
    assert main([*command, "--json", "-u", "num_classes=7", f"{RESIZED}=[128,128]"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert sum(each["level"] == "failure" for each in told["findings"]) == 2


@pytest.mark.slow
def test_a_whole_preflight_of_the_real_backbone(sound, tuning, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    report = preflight(sound, tuning, output_dir=tmp_path / "run")
    assert report.go, report
    assert report.figures["tensors loaded"].value == 400
    written = report.figures["size of the written checkpoint"].value
    expected = report.figures["size of a checkpoint"].value
    assert 0.97 < expected / written < 1
    assert report.figures["time of the whole training"].value > 10
    assert sorted(tmp_path.rglob("*")) == before
    assert str(DATA) not in report.sentence
