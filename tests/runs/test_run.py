"""A run seen from outside, whatever is in its folder, and the things that end it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.file_names import METRICS_FILE, RUN_FILE, STOP_FILE
from rtdetr_nb.runs.previous import PreviousRun
from rtdetr_nb.runs.process_identity import process_start_time
from rtdetr_nb.runs.run import Run, attach_run, start_run
from tests.runs.one_folder import Runs
from tests.small_runs import await_steps, losses, narrow_config, steps


def test_a_file_asks_a_run_on_another_machine_to_stop(tmp_path: Path) -> None:
    description = {"status": "running", "pid": 1, "process_started": "1", "host": "elsewhere"}
    (tmp_path / "run.json").write_text(json.dumps(description))
    attach_run(tmp_path).stop()
    assert (tmp_path / "stop").exists()


@pytest.mark.parametrize("content", ["", '{"status": "run', "[]", "\xff"])
def test_a_description_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content, encoding="latin-1")
    assert Run(tmp_path).description == {} and Run(tmp_path).status == "starting"
    with pytest.raises(RunError, match="There is no run in"):
        attach_run(tmp_path)
    with pytest.raises(RunError, match="There is no run in"):
        attach_run(tmp_path / "run.json")
    nameless = {"status": "running", "host": socket.gethostname()}
    (tmp_path / "run.json").write_text(json.dumps(nameless))
    assert attach_run(tmp_path).status == "died"


def test_what_cannot_be_written_at_the_start_is_a_sentence(
    narrow_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    (folder / "train.log").mkdir(parents=True)
    with pytest.raises(RunError, match=r"cannot be started in .*train\.log"):
        start_run(load_config(narrow_file), output_dir=folder)
    assert not Run(folder).description
    before = {"run.json": '{"status": "finished"}', "config.yml": "epoches: 1\n"}
    for name, text in before.items():
        (folder / name).write_text(text)
    with pytest.raises(RunError, match="cannot be started"):
        start_run(load_config(narrow_file), output_dir=folder)
    assert {name: (folder / name).read_text() for name in before} == before
    assert not (folder / "previous").exists()


@pytest.mark.parametrize("name", ["a #b", "a: b"])
def test_the_folder_of_a_run_may_have_any_name(runs: Runs, name: str) -> None:
    runs.folder = runs.folder.with_name(name)
    runs.finish("-t", runs.file, status=2)  # that is no checkpoint
    assert runs.file.name in attach_run(runs.folder).error


def test_a_resumed_run_without_a_seed_keeps_the_order_it_began(runs: Runs) -> None:
    runs.file.write_text(runs.file.read_text().replace("seed: 3\n", ""))
    runs.finish("--max-steps", 2)
    first = attach_run(runs.folder).description["seed"]
    runs.finish("-r", runs.last, "--max-steps", 4)
    again = attach_run(runs.folder).description["seed"]
    assert first == again != 3
    whole = Runs(runs.server, runs.file, runs.folder.with_name("whole"))
    whole.finish("--max-steps", 4, "--seed", first)
    assert losses(whole.folder) == losses(runs.folder)


def test_a_run_resumed_with_another_batch_size_sees_the_rest_of_its_epoch(runs: Runs) -> None:
    runs.finish("--max-steps", 2)  # 4 of 8 pictures
    four = ("-u", "train_dataloader.total_batch_size=4")
    text = runs.finish("-r", runs.last, "--max-steps", 4, *four)
    assert "A step now has 4 pictures, not 2" in text
    assert [record.get("epoch") for record in steps(runs.folder)] == [0, 0, 0, 1]


def test_a_full_disk_keeps_the_last_good_checkpoint(runs: Runs) -> None:
    runs.finish("--max-steps", 4)
    before = runs.last.read_bytes()
    text = runs.finish("-r", runs.last, "--max-steps", 8, status=1, largest_file=len(before) // 2)
    assert text.count("last.pth cannot be written") == 1
    assert "The checkpoint before it is kept" in text
    assert runs.last.read_bytes() == before
    assert attach_run(runs.folder).status == "failed"
    assert not list(runs.folder.glob(".*.partial"))


def test_a_disk_too_full_for_a_record_ends_the_run_in_a_sentence(runs: Runs) -> None:
    runs.finish("--max-steps", 4)
    size = (runs.folder / "metrics.jsonl").stat().st_size
    text = runs.finish("-r", runs.last, "--max-steps", 8, status=1, largest_file=size + 100)
    assert "metrics.jsonl cannot be written" in text and "Make room" in text
    assert runs.saved_step() == 4


def test_pictures_that_vanish_end_the_run_with_its_last_step_saved(
    runs: Runs, shapes_folder: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(shapes_folder, tmp_path / "data")
    runs.file.write_text(narrow_config(data).to_yaml())
    child = runs.start()
    await_steps(runs.folder, 2)
    shutil.rmtree(data / "images" / "train")
    assert child.wait() == 2
    assert child.text().count("There is no picture") == 1
    assert "Traceback" not in child.text()
    assert attach_run(runs.folder).status == "failed"
    assert runs.saved_step() == max(losses(runs.folder))


def test_a_killed_data_worker_ends_the_run_in_a_sentence(runs: Runs) -> None:
    child = runs.start("-u", "train_dataloader.num_workers=1")
    await_steps(runs.folder, 5)  # behind the checkpoint of the first epoch
    words = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    os.kill(int(words[0]), signal.SIGKILL)
    assert child.wait() == 1
    assert child.text().count("A process that loads data was killed") == 1
    assert "Traceback" not in child.text()
    assert attach_run(runs.folder).status == "failed"
    assert runs.saved_step() == max(losses(runs.folder))


def describe(folder: Path, **facts: object) -> Run:
    """A run of this process, which lives, except for the facts."""
    own = {
        "status": "running",
        "pid": os.getpid(),
        "process_started": process_start_time(os.getpid()),
        "host": socket.gethostname(),
    }
    (folder / RUN_FILE).write_text(json.dumps({**own, **facts}))
    return Run(folder)


@pytest.mark.parametrize("pid", [None, "many", [1], 1.5, 0, -1])
def test_a_process_without_a_number_is_none_that_lives(tmp_path: Path, pid: object) -> None:
    run = describe(tmp_path, pid=pid)
    assert run.status == "died" and run.is_over
    assert run.error == "The process exited without recording an error."
    run.stop()
    assert not (tmp_path / STOP_FILE).exists()


def test_the_run_of_another_user_is_asked_by_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    run = describe(tmp_path)
    monkeypatch.setattr(os, "kill", refuse)
    run.stop()
    assert (tmp_path / STOP_FILE).exists()


@pytest.mark.parametrize(
    ("facts", "owns"),
    [
        ({}, False),
        ({"resume": "last.pth"}, True),  # as it was written once
        ({"resume": "elsewhere/last.pth", "goes_on": False}, False),
        ({"resume": "last.pth", "goes_on": True}, True),
    ],
)
def test_records_of_an_earlier_run_are_those_of_one_that_goes_on_with_it(
    tmp_path: Path, facts: dict[str, object], owns: bool
) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    assert describe(tmp_path, status="finished").describe().owns_records
    PreviousRun(tmp_path).move_description_away([RUN_FILE])
    run = describe(tmp_path, status="failed", **facts)
    assert run.describe().owns_records is owns
    assert run.records == ([{"step": 1}] if owns else [])


def test_the_end_that_a_process_has_just_recorded_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end_now(description: dict[str, object]) -> bool:
        describe(tmp_path, status="finished")
        return False

    run = describe(tmp_path)
    monkeypatch.setattr("rtdetr_nb.runs.run.is_alive", end_now)
    assert run.status == "finished"


def test_a_long_file_of_records_is_not_read_for_a_line_about_the_run(tmp_path: Path) -> None:
    run = describe(tmp_path)
    assert repr(run) == f"Run({str(tmp_path)!r}, running)"
    records = [json.dumps({"step": step, "loss": 1.0}) for step in range(1, 9000)]
    lines = ["not JSON", *records, json.dumps({"event": "checkpoint"}), '{"step": 9000, "lo']
    (tmp_path / METRICS_FILE).write_text("\n".join(lines))
    assert repr(run) == f"Run({str(tmp_path)!r}, running, step 8999)"
    with pytest.raises(RunError, match="not JSON"):
        _ = run.records


WITHOUT_FILE_LOCKS = """
import sys
sys.modules["fcntl"] = None  # as on Windows
import rtdetr_nb as rt
folder = sys.argv[1]
run = rt.attach_run(folder)
print(run.status, list(run.history.index), rt.live_plot(run).text)
try:
    rt.start_run(rt.load_config("quick_run"), output_dir=folder)
except rt.UserError as error:
    print(error)
"""


def test_reading_a_run_works_on_a_system_without_file_locks(tmp_path: Path) -> None:
    describe(tmp_path, status="finished")
    (tmp_path / METRICS_FILE).write_text('{"step": 1, "loss": 2.0}\n')
    words = [sys.executable, "-c", WITHOUT_FILE_LOCKS, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    read, refused = done.stdout.splitlines()
    assert read == f"finished [1] {tmp_path.name}: finished, step 1, loss 2.00"
    assert refused.startswith("Training needs the file locks of Linux or macOS")
