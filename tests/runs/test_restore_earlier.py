"""A start that fails before its first step leaves the run before it in its place."""

from pathlib import Path

import pytest

from rtdetr_nb.runs.folder import RunFolder
from rtdetr_nb.runs.run import Run
from tests.runs.one_folder import Runs
from tests.small_runs import losses


def finish_a_run(folder: Path) -> None:
    run = RunFolder(folder)
    run.claim_and_record(resumed=False, name="first")
    run.append({"step": 1, "loss": 2.0})
    (folder / "last.pth").write_text("first")
    run.end("finished")


def begin_again(folder: Path) -> RunFolder:
    run = RunFolder(folder)
    run.prepare()  # the run before is of this process too
    run.claim(resumed=False, name="second")
    return run


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "run.lock")
    return {str(path.relative_to(folder)): path.read_text() for path in files}


@pytest.mark.parametrize("records", [False, True])
def test_what_failed_before_a_step_gives_the_place_back(tmp_path: Path, records: bool) -> None:
    finish_a_run(tmp_path)
    before = content(tmp_path)
    second, run = begin_again(tmp_path), Run(tmp_path)
    if records:
        second.start_recording()
        (tmp_path / "last.pth").write_text("of a run without a step")
    second.fail("There is no memory.", "TrainingError")
    assert run.status == "failed"
    assert run.error.startswith("There is no memory. The run before it is kept: run.restore_")
    assert run.restore_earlier()
    assert content(tmp_path) == before
    assert run.status == "finished" and run.description["name"] == "first"
    assert not run.has_earlier and not run.restore_earlier()


def test_a_run_that_made_a_step_keeps_its_place(tmp_path: Path) -> None:
    finish_a_run(tmp_path)
    second, run = begin_again(tmp_path), Run(tmp_path)
    second.start_recording()
    second.append({"step": 1, "loss": float("nan")})
    second.fail("The loss is not finite.", "TrainingError")
    before = content(tmp_path)
    assert run.error == "The loss is not finite." and not run.has_earlier
    assert not run.restore_earlier() and content(tmp_path) == before


def test_a_run_that_lives_or_stands_alone_is_left_as_it_is(tmp_path: Path) -> None:
    finish_a_run(tmp_path)
    assert not Run(tmp_path).restore_earlier()
    begin_again(tmp_path)
    assert not Run(tmp_path).has_earlier


def test_records_that_cannot_be_read_are_not_removed(tmp_path: Path) -> None:
    finish_a_run(tmp_path)
    second, run = begin_again(tmp_path), Run(tmp_path)
    second.start_recording()
    (tmp_path / "metrics.jsonl").write_text("damaged\n")
    second.fail("It broke.", "ValueError")
    assert not run.has_earlier and not run.restore_earlier()


def test_a_real_start_that_fails_shows_its_own_log_and_gives_the_place_back(runs: Runs) -> None:
    runs.finish("--max-steps", 2)
    before = losses(runs.folder)
    runs.finish("-t", runs.file, "--max-steps", 2, status=2)  # that is no checkpoint
    run = Run(runs.folder)
    assert run.status == "failed" and run.history.empty
    tail = run.log_tail()
    assert runs.file.name in tail and "finished" not in tail
    assert "finished; everything is in" in (runs.folder / "train.log").read_text()
    assert run.restore_earlier()
    assert run.status == "finished" and dict(run.history["loss"]) == before
    assert runs.saved_step() == 2
