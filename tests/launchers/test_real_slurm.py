"""Runs as jobs of a real SLURM, which the tests start on this machine."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rtdetr_nb as rt
from rtdetr_nb.config.config import Config
from rtdetr_nb.diagnostics.ranking.made_stages import make_stages
from rtdetr_nb.launchers import slurm_queue
from tests.launchers.real_slurm import missing, real_slurm
from tests.paths import DATA

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(missing()), reason=f"no SLURM: {missing()}"),
]
DEMO = DATA / "demo_backbone_mmdet.pth"
CPU_JOB = rt.Slurm(partition="main", gpus=0, cpus=1)


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    slurm_queue._answers.clear()  # jobs are numbered from 1 in every cluster
    folder = tmp_path_factory.mktemp("slurm")
    with real_slurm(folder / "s") as environment, pytest.MonkeyPatch.context() as patch:
        for name in ("PATH", "SLURM_CONF"):
            patch.setenv(name, environment[name])
        yield


def wait_until(is_so: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_run_is_queued_trains_and_is_found_again(small_config: Config, tmp_path: Path) -> None:
    given = {"output_dir": tmp_path / "run", "max_steps": 2, "launcher": CPU_JOB}
    run = rt.ensure_run(small_config, **given)
    assert run.status in ("queued", "starting", "running")
    assert run.wait(180) == "finished", run.error
    assert len(run.history) == 2 and run.description["slurm_job"].isdecimal()
    assert rt.ensure_run(small_config, **given).description == run.description


def test_stop_cancels_what_waits_and_ends_in_order_what_runs(
    small_config: Config, tmp_path: Path
) -> None:
    first = rt.start_run(
        small_config,
        output_dir=tmp_path / "first",
        max_steps=10_000,
        launcher=rt.Slurm(gpus=0, lines=["#SBATCH --exclusive"]),
    )
    second = rt.start_run(small_config, output_dir=tmp_path / "second", launcher=CPU_JOB)
    wait_until(lambda: len(first.history) > 0)
    assert first.status == "running" and second.status == "queued"
    second.stop()
    assert second.status == "stopped" and second.is_over
    first.stop()
    assert first.wait(120) == "stopped" and first.checkpoint.is_file()


def test_a_killed_run_has_died_and_a_wrong_partition_is_refused(
    small_config: Config, tmp_path: Path
) -> None:
    run = rt.start_run(
        small_config, output_dir=tmp_path / "run", max_steps=10_000, launcher=CPU_JOB
    )
    wait_until(lambda: run.status == "running")
    os.kill(run.description["pid"], signal.SIGKILL)  # as the system does when memory runs out
    wait_until(lambda: run.is_over)
    assert run.status == "died" and "SLURM job" in run.reason
    with pytest.raises(rt.UserError, match="refuses the job"):
        rt.start_run(
            small_config, output_dir=tmp_path / "other", launcher=rt.Slurm(partition="nowhere")
        )


def test_the_short_runs_of_a_ranking_are_jobs_of_the_queue(tmp_path: Path) -> None:
    files = make_stages(DEMO, tmp_path / "stages", DATA / "shapes", noise=(1.6, 0.0))
    asked = {"steps": 2, "seeds": 1, "image_size": 128, "batch_size": 2}
    ranking = rt.rank_backbones(
        files,
        rt.load_config("rtdetrv2_hgnetv2_l"),
        DATA / "shapes",
        max_pictures=24,
        fine_tune={**asked, "output_dir": str(tmp_path / "runs"), "launcher": CPU_JOB},
        device="cpu",
    )
    assert [len(file.losses) for file in ranking.files] == [1, 1], ranking.fine_tuned
    runs = [run for folder in (tmp_path / "runs").iterdir() for run in rt.find_runs(folder)]
    jobs = {run.description["slurm_job"] for run in runs}
    assert len(runs) == len(jobs) == 2
