"""What an earlier run has left steps aside whole, also when that is interrupted."""

from pathlib import Path

import pytest

from rtdetr_nb.runs.previous import PreviousRun, read_json
from rtdetr_nb.runs.folder import RunFolder, how_to_go_on

RECORDS = ("metrics.jsonl", "*.pth")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    leave_a_run(tmp_path, "first")
    return tmp_path


def leave_a_run(folder: Path, name: str) -> None:
    (folder / "run.json").write_text(f'{{"started": "2026-01-02T03:04:05+00:00", "n": "{name}"}}')
    for file in ("metrics.jsonl", "last.pth", "train.log"):
        (folder / file).write_text(name)


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_a_run_steps_aside_in_two_steps_and_the_log_stays(folder: Path) -> None:
    previous, before = PreviousRun(folder), content(folder)
    previous.step_aside(["run.json", "absent.json"])
    assert previous.is_in_place and content(folder).keys() == before.keys() - {"run.json"}
    kept = previous.keep(RECORDS)
    assert kept is not None and kept == folder / "previous" / "2026-01-02T03-04-05"
    assert not previous.is_in_place
    assert content(folder) == {"train.log": "first"}
    assert content(kept) == {k: v for k, v in before.items() if k != "train.log"}


def test_runs_that_started_at_once_get_folders_of_their_own(folder: Path) -> None:
    for name in ("second", "third"):
        PreviousRun(folder).step_aside(["run.json"])
        PreviousRun(folder).keep(RECORDS)
        leave_a_run(folder, name)
    kept = sorted((folder / "previous").iterdir())
    assert [read_json(path / "run.json")["n"] for path in kept] == ["first", "second"]


def test_a_run_that_never_began_leaves_nothing(folder: Path) -> None:
    PreviousRun(folder).step_aside(["run.json"])
    (folder / "run.json").write_text('{"n": "never began"}')
    PreviousRun(folder).step_aside(["run.json"])
    assert not (folder / "run.json").exists()
    kept = PreviousRun(folder).keep(RECORDS)
    assert kept is not None and read_json(kept / "run.json")["n"] == "first"


def test_a_move_that_was_interrupted_goes_on(folder: Path) -> None:
    PreviousRun(folder).step_aside(["run.json"])
    PreviousRun(folder)._move(folder / "metrics.jsonl")
    (folder / "last.pth").unlink()
    kept = PreviousRun(folder).keep(RECORDS)
    assert kept is not None and content(kept).keys() == {"run.json", "metrics.jsonl"}


@pytest.mark.parametrize("step", ["keep", "forget"])
def test_where_nothing_is_kept_no_folder_is_left(tmp_path: Path, step: str) -> None:
    (tmp_path / "run.json").write_text("{}")
    previous = PreviousRun(tmp_path)
    previous.step_aside(["run.json"])
    assert previous.keep(RECORDS) is None if step == "keep" else previous.forget() is None
    assert list(tmp_path.iterdir()) == []


def test_only_a_checkpoint_of_the_run_itself_is_named(folder: Path) -> None:
    assert how_to_go_on(folder).endswith(f"-r {folder / 'last.pth'}.")
    run = RunFolder(folder)
    run.claim(resumed=False)
    assert how_to_go_on(folder) == "The run has written no checkpoint yet."
    run.begin_records()
    assert how_to_go_on(folder) == "The run has written no checkpoint yet."
    (folder / "last.pth").touch()
    assert "go on with -r" in how_to_go_on(folder)
    run.update(status="stopped")
