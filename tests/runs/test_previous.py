"""What an earlier run has left steps aside whole, also when that is interrupted."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rtdetr_nb.files.json_file import read_json
from rtdetr_nb.runs.file_names import DESCRIPTIONS
from rtdetr_nb.runs.previous import PreviousRun


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
    previous.move_description_away(["run.json", "absent.json"])
    assert previous.owns_results and content(folder).keys() == before.keys() - {"run.json"}
    kept = previous.move_results_away()
    assert kept is not None and kept == folder / "previous" / "2026-01-02T03-04-05"
    assert not previous.owns_results
    assert content(folder) == {"train.log": "first"}
    assert content(kept) == {k: v for k, v in before.items() if k != "train.log"}


def test_runs_that_started_at_once_get_folders_of_their_own(folder: Path) -> None:
    for name in ("second", "third"):
        PreviousRun(folder).move_description_away(["run.json"])
        PreviousRun(folder).move_results_away()
        leave_a_run(folder, name)
    kept = sorted((folder / "previous").iterdir())
    assert [read_json(path / "run.json")["n"] for path in kept] == ["first", "second"]


def test_a_run_that_never_began_leaves_nothing(folder: Path) -> None:
    PreviousRun(folder).move_description_away(["run.json"])
    (folder / "run.json").write_text('{"n": "never began"}')
    PreviousRun(folder).move_description_away(["run.json"])
    assert not (folder / "run.json").exists()
    kept = PreviousRun(folder).move_results_away()
    assert kept is not None and read_json(kept / "run.json")["n"] == "first"


def test_a_move_that_was_interrupted_goes_on(folder: Path) -> None:
    PreviousRun(folder).move_description_away(["run.json"])
    PreviousRun(folder)._move(folder / "metrics.jsonl")
    (folder / "last.pth").unlink()
    kept = PreviousRun(folder).move_results_away()
    assert kept is not None and content(kept).keys() == {"run.json", "metrics.jsonl"}


SECOND_STEPS = [PreviousRun.move_results_away, PreviousRun.leave_results]


@pytest.mark.parametrize("second_step", SECOND_STEPS)
def test_where_nothing_is_kept_no_folder_is_left(
    tmp_path: Path, second_step: Callable[[PreviousRun], Path | None]
) -> None:
    for name in DESCRIPTIONS:
        (tmp_path / name).write_text("{}")
    previous = PreviousRun(tmp_path)
    previous.move_description_away(DESCRIPTIONS)
    assert second_step(previous) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("second_step", SECOND_STEPS)
def test_a_configuration_that_no_run_has_written_is_kept(
    tmp_path: Path, second_step: Callable[[PreviousRun], Path | None]
) -> None:
    (tmp_path / "config.yml").write_text("# mine")
    previous = PreviousRun(tmp_path)
    previous.move_description_away(DESCRIPTIONS)
    kept = second_step(previous)
    assert kept is not None and content(kept) == {"config.yml": "# mine"}


def test_a_run_that_goes_on_removes_no_result_of_an_interrupted_move(folder: Path) -> None:
    PreviousRun(folder).move_description_away(["run.json"])
    PreviousRun(folder)._move(folder / "metrics.jsonl")
    kept = PreviousRun(folder).leave_results()
    assert kept is not None and content(kept)["metrics.jsonl"] == "first"
    assert content(folder).keys() == {"last.pth", "train.log"}


def test_a_run_that_could_not_be_started_leaves_the_folder_as_it_was(folder: Path) -> None:
    before, previous = content(folder), PreviousRun(folder)
    previous.move_description_away(["run.json"])
    previous.move_description_back()
    assert content(folder) == before and not (folder / "previous").exists()
