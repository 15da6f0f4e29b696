"""`rtdetr-nb train` as users call it."""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from rtdetr_nb.cli.main import main
from rtdetr_nb.cli.train import _flags, _write_evaluation, add_command
from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.record_file import read_records
from rtdetr_nb.runs.records import events, is_step
from rtdetr_nb.runs.run import attach_run, start_run
from tests.small_runs import losses

pytestmark = pytest.mark.slow


@pytest.fixture
def config_file(small_config: Config, tmp_path: Path) -> Path:
    path = tmp_path / "small.yml"
    path.write_text(small_config.to_yaml())
    return path


def train(config_file: Path, folder: Path, *flags: object) -> int:
    words = ["train", "-c", str(config_file), "--output-dir", str(folder)]
    return main([*words, *map(str, flags)])


def test_a_run_leaves_what_the_documents_say(config_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert train(config_file, folder, "--max-steps", 5, "-u", "print_freq=2", "eval_freq=1") == 0
    records = read_records(folder / "metrics.jsonl")
    steps = [record for record in records if is_step(record)]
    assert [record["step"] for record in steps] == [1, 2, 3, 4, 5]
    assert [record.get("epoch") for record in steps] == [0, 0, 0, 0, 1]
    first: dict[str, Any] = dict(steps[0])
    parts = [value for name, value in first.items() if name.startswith("loss_")]
    assert math.isclose(sum(parts), first["loss"], rel_tol=1e-5)
    assert len(first["lr"]) == 3 and first["lr"][0] < first["lr"][1]
    assert first["seconds"] >= first["data_seconds"] >= 0
    assert [e.get("epoch") for e in events(records, "evaluation")] == [1, 1]
    run = json.loads((folder / "run.json").read_text())
    assert (run["status"], run["seed"], run["total_steps"]) == ("finished", 3, 5)
    log = (folder / "train.log").read_text()
    assert "step 4 of 5" in log and "number of trainable parameters" in log
    state = torch.load(folder / "last.pth", weights_only=True)
    official = {"model", "ema", "optimizer", "lr_scheduler", "lr_warmup_scheduler", "last_epoch"}
    assert official <= set(state)
    assert state["last_epoch"] == 0
    assert state["ema"]["module"].keys() == state["model"].keys()


def test_the_same_seed_gives_the_same_losses_to_the_last_digit(
    config_file: Path, tmp_path: Path
) -> None:
    runs = {"a": ["--seed", 1], "b": ["--seed", 1, "-u", "train_dataloader.num_workers=2"]}
    runs["other"] = ["--seed", 2]
    for name, flags in runs.items():
        assert train(config_file, tmp_path / name, "--max-steps", 3, *flags) == 0
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert losses(tmp_path / "a")[1] != losses(tmp_path / "other")[1]


def test_resuming_within_an_epoch_changes_no_loss(config_file: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(config_file, whole, "--max-steps", 6) == 0
    assert train(config_file, parts, "--max-steps", 2) == 0
    assert train(config_file, parts, "--max-steps", 6, "-r", parts / "last.pth") == 0
    assert losses(parts) == losses(whole)
    assert len(losses(whole)) == 6


def test_resuming_goes_on_where_the_run_lives(config_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert train(config_file, folder, "--max-steps", 1) == 0
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert train(config_file, folder, "-t", tmp_path / "no.pth") == 2
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    words = ["train", "-c", str(config_file), "-r", str(folder / "last.pth")]
    assert main([*words, "--max-steps", "2"]) == 0
    assert sorted(losses(folder)) == [1, 2]
    elsewhere = tmp_path / "elsewhere"
    assert main([*words, "--max-steps", "3", "-u", f"output_dir={elsewhere}"]) == 0
    assert sorted(losses(folder)) == [1, 2] and sorted(losses(elsewhere)) == [3]


def test_a_loss_that_is_not_finite_is_told_and_keeps_the_last_good_state(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    code = train(config_file, folder, "-u", "optimizer.lr=1e18", "clip_max_norm=0",
                 "optimizer.params.0.lr=1e18", "--max-steps", 6)  # fmt: skip
    assert code == 1
    captured = capsys.readouterr().err
    assert "images of the batch: [" in captured and "Traceback" not in captured
    run = attach_run(folder)
    assert run.status == "failed" and "At step" in run.error
    state = torch.load(folder / "last.pth", weights_only=True)
    assert state["rtdetr_nb"]["step"] == max(losses(folder))
    values = [v for v in state["model"].values() if v.is_floating_point()]
    assert not any(v.isnan().any() for v in values)


def test_test_only_prints_the_figures_of_the_run(
    config_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert train(config_file, folder, "--max-steps", 1) == 0
    recorded = events(read_records(folder / "metrics.jsonl"), "evaluation")[-1]["statistics"]
    capsys.readouterr()
    assert train(config_file, tmp_path / "test", "--test-only", "-r", folder / "last.pth") == 0
    printed = capsys.readouterr().out
    for name, value in recorded.items():
        assert f"{name:<10} {'no boxes' if value is None else format(value, '.3f')}" in printed
    assert "4 images" in printed
    average = torch.load(folder / "last.pth", weights_only=True)["ema"]["module"]
    torch.save({"ema": {"module": average}}, tmp_path / "released.pth")  # as models are released
    assert (
        train(config_file, tmp_path / "test", "--test-only", "-r", tmp_path / "released.pth") == 0
    )
    again = capsys.readouterr().out
    assert again.replace("released.pth", "last.pth") == printed
    torch.save(average, tmp_path / "bare.pth")
    assert train(config_file, tmp_path / "test", "--test-only", "-r", tmp_path / "bare.pth") == 2
    assert "neither an average (ema) nor a model" in capsys.readouterr().err
    assert train(config_file, tmp_path / "test", "--test-only") == 2
    assert "--test-only needs weights" in capsys.readouterr().err


def test_an_evaluation_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").mkdir()
    with pytest.raises(RunError, match="The evaluation cannot be written to"):
        _write_evaluation({"statistics": {}}, tmp_path)


def test_a_flag_is_no_yaml() -> None:
    words = ["-c", "quick_run", "--output-dir", "007", "--summary-dir", "a #b", "--use-amp"]
    parser = argparse.ArgumentParser()
    add_command(parser.add_subparsers())
    config = load_config("quick_run").with_values(_flags(parser.parse_args(["train", *words])))
    assert (config.output_dir, config.summary_dir, config.use_amp) == ("007", "a #b", True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-t", "a.pth", "-r", "b.pth"], "not allowed with argument"),
        (["-t", "a.pth"], "There is no file a.pth to start from"),
        (["-r", "a.pth"], "There is no file a.pth to resume from"),
        (["-u", "HGNetv2.freez_at=1"], "Did you mean 'freeze_at'"),
        (["-d", "cuda:9"], "The device 'cuda:9' cannot be used"),
        (["--max-steps", "0"], "0 is not a positive number"),
        (["-u", "train_dataloader.dataset.ann_file=nowhere.json"], "nowhere.json"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    config_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: Sequence[str],
    message: str,
) -> None:
    try:
        code = train(config_file, tmp_path / "run", *flags)
    except SystemExit as stop:  # argparse
        code = stop.code
    captured = capsys.readouterr().err.strip()
    assert code == 2
    assert message in captured.splitlines()[-1]
    assert "Traceback" not in captured


def test_a_started_run_is_watched_stopped_and_resumed(small_config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run = start_run(small_config, output_dir=folder)
    assert run.status in ("starting", "running")
    deadline = time.monotonic() + 180
    while len(run.history) < 2 and not run.is_over:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert attach_run(folder).status == "running", run.error
    run.stop()
    assert run.wait(timeout=120) == "stopped"
    trained = run.history
    assert len(trained) >= 2
    steps = int(trained.index[-1]) + 1
    resumed = start_run(small_config, output_dir=folder, resume=run.checkpoint, max_steps=steps)
    assert resumed.wait(timeout=180) == "finished", resumed.error
    assert list(resumed.history.index) == list(range(1, steps + 1))
    assert resumed.evaluations


def test_a_run_that_dies_says_why(small_config: Config, tmp_path: Path) -> None:
    config = small_config.override(["train_dataloader.dataset.ann_file=nowhere.json"])
    run = start_run(config, output_dir=tmp_path / "run")
    assert run.wait(timeout=120) == "failed"
    assert "nowhere.json" in run.error
    again = start_run(small_config, output_dir=tmp_path / "killed")
    subprocess.run(["kill", "-9", str(again.description["pid"])], check=True)
    assert again.wait(timeout=60) == "died"
    assert "The process was killed by SIGKILL" in again.error


def test_a_run_that_is_stopped_while_it_starts_ends_in_order(
    small_config: Config, tmp_path: Path
) -> None:
    run = start_run(small_config, output_dir=tmp_path / "run")
    assert run.status == "starting"
    with pytest.raises(RunError, match="A run is still going on in .* starting"):
        start_run(small_config, output_dir=tmp_path / "run")
    run.stop()
    assert run.wait(timeout=120) == "stopped", run.error
    assert len(run.history) == 0 and run.checkpoint.exists()


def test_module_and_script_are_the_same_program() -> None:
    script = Path(sys.executable).with_name("rtdetr-nb")
    for command in ([sys.executable, "-m", "rtdetr_nb"], [str(script)]):
        shown = subprocess.run([*command, "train", "--help"], capture_output=True, text=True)
        assert shown.returncode == 0
        assert "--max-steps" in shown.stdout
