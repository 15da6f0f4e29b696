"""How a run is asked to stop, and that it then saves its state."""

import os
import signal

import pytest

from rtdetr_nb.runs.run import attach_run
from tests.runs.one_folder import Runs
from tests.small_runs import await_steps, losses


def test_a_file_asks_the_run_to_stop(runs: Runs) -> None:
    child = runs.start()
    await_steps(runs.folder, 1)
    request = runs.folder / "stop"
    request.touch()
    assert child.wait() == 0
    assert attach_run(runs.folder).status == "stopped"
    assert not request.exists()
    assert runs.saved_step() == max(losses(runs.folder))
    request.touch()  # too late: a request to the run that has ended
    runs.finish("-r", runs.last, "--max-steps", runs.saved_step() + 2)
    assert attach_run(runs.folder).status == "finished"


def test_a_request_to_a_run_that_is_gone_is_none_to_the_next(runs: Runs) -> None:
    runs.folder.mkdir()
    (runs.folder / "stop").touch()
    runs.finish("--max-steps", 1)
    assert attach_run(runs.folder).status == "finished"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_behind_its_step_in_spite_of_data_workers(
    runs: Runs, number: signal.Signals
) -> None:
    child = runs.start("-u", "train_dataloader.num_workers=2")
    await_steps(runs.folder, 1)
    os.killpg(child.pid, number)  # as a terminal and torchrun do: the whole group
    assert child.wait() == 0, child.text()
    assert attach_run(runs.folder).status == "stopped"
    assert runs.saved_step() == max(losses(runs.folder))
