"""A run that is killed, again and again, at moments that nobody chose."""

import random
import signal
import time
from pathlib import Path

import pytest
import torch

from rtdetr_nb.runs.run import attach_run
from tests.small_runs import TrainServer, await_steps, losses, narrow_config, steps

KILLS = 20


@pytest.mark.slow
def test_twenty_kills_change_no_loss(
    train_server: TrainServer, shapes_folder: Path, tmp_path: Path
) -> None:
    # Two steps an epoch, each epoch with a checkpoint: some kills hit the writing of one.
    file = tmp_path / "narrow.yml"
    file.write_text(narrow_config(shapes_folder, batch_size=4).to_yaml())
    folder, last = tmp_path / "killed", tmp_path / "killed" / "last.pth"
    moments = random.Random(5)
    reached = 0
    for kill in range(KILLS):
        known = len(steps(folder))
        resume = ["-r", last] if last.exists() else []
        words = ["train", "-c", file, "--output-dir", folder, *resume]
        child = train_server.start(*words, output=tmp_path / f"{kill}.log")
        if kill % 4:  # every fourth is killed while it starts, the others while they train
            await_steps(folder, known + moments.randint(1, 4))
        time.sleep(moments.uniform(0, 0.3))
        child.kill(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        if kill % 4:
            assert attach_run(folder).status == "died"
        if last.exists():
            step = torch.load(last, weights_only=True)["rtdetr_nb"]["step"]
            assert step >= reached and step % 2 == 0
            reached = step
    assert reached >= 6, "the run has hardly come forward"

    end = max(losses(folder)) + 1
    runs = {"killed": ["-r", last], "whole": []}
    for name, resume in runs.items():
        words = ["train", "-c", file, "--output-dir", tmp_path / name, "--max-steps", end, *resume]
        child = train_server.start(*words, output=tmp_path / f"{name}.log")
        assert child.wait() == 0, child.text()
    whole = losses(tmp_path / "whole")
    assert list(whole) == list(range(1, end + 1))
    # Every record, also of the steps that were trained again and again.
    records = steps(folder)
    assert len(records) > end
    assert [r["loss"] for r in records] == [whole[r["step"]] for r in records]
    assert not list(folder.glob(".*.partial"))
