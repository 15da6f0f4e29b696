"""A run in several processes of this machine, as `start_run` starts it."""

from pathlib import Path

import pytest

from rtdetr_nb.config.config import Config
from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.find_or_start import ensure_run
from rtdetr_nb.runs.run import attach_run, start_run


@pytest.mark.parametrize("processes", [0, -1])
def test_less_than_one_process_is_refused(processes: int, small_config: Config, tmp_path) -> None:
    with pytest.raises(RunError, match="1 or more"):
        start_run(small_config, output_dir=tmp_path, processes=processes)


@pytest.mark.slow
def test_two_processes_train_stop_and_go_on(small_config: Config, tmp_path: Path) -> None:
    """Two processes over gloo: the same run folder as one process has."""
    given = {"output_dir": tmp_path / "run", "processes": 2}
    run = ensure_run(small_config, max_steps=2, **given)
    assert run.wait(120) == "finished", run.error
    assert run.description["processes"] == 2 and len(run.history) == 2
    assert ensure_run(small_config, max_steps=2, **given).description == run.description
    longer = start_run(small_config, resume=run.checkpoint, max_steps=10_000, **given)
    while not longer.is_over and attach_run(longer.folder).status != "running":
        pass
    longer.stop()
    assert longer.wait(120) == "stopped", longer.error
    assert len(longer.history) >= 2


@pytest.mark.slow
def test_a_failure_in_several_processes_is_told(small_config: Config, tmp_path: Path) -> None:
    wrong = small_config.override(["train_dataloader.total_batch_size=3"])
    run = start_run(wrong, output_dir=tmp_path / "run", processes=2)
    assert run.wait(120) in ("failed", "died")
    assert "batch" in run.error
