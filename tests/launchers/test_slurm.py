"""Jobs of SLURM: their script, and how a run stands by what scripts say in the cluster's place."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import rtdetr_nb as rt
from rtdetr_nb.errors import RunError
from rtdetr_nb.launchers import slurm_queue
from rtdetr_nb.runs.progress import RunProgress

CONFIG = rt.load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.pretrained=False"])


class Cluster:
    """`sbatch`, `scontrol` and `scancel` on the search path, as far as a test tells them."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        self.says("sbatch", 'cp "$2" "$(dirname "$0")/submitted"; echo "41;main"')
        self.says("scancel", 'echo "$1" >> "$(dirname "$0")/cancelled"')
        self.is_in("PENDING")

    def says(self, program: str, body: str) -> None:
        path = self.folder / program
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def is_in(self, state: str) -> None:
        """From now on the job is in this state; "" if the cluster has forgotten it."""
        self.says(
            "scontrol",
            f'echo "JobId=41 JobName=a JobState={state} Reason=None"'
            if state
            else 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1',
        )
        slurm_queue._answers.clear()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{cluster.folder}{os.pathsep}{os.environ['PATH']}")
    return cluster


@pytest.fixture
def submit(cluster: Cluster, tmp_path: Path) -> Callable[[], rt.Run]:
    return lambda: rt.start_run(
        CONFIG, output_dir=tmp_path / "run", launcher=rt.Slurm(partition="gpu", gpus=2)
    )


def options_of(script: str) -> dict[str, str]:
    found = re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", script, re.MULTILINE)
    return dict(found)


def test_a_script_has_what_was_asked_for(tmp_path: Path) -> None:
    job = rt.Slurm(partition="gpu", gpus=4, time="7-00:00:00", cpus=16,
                   lines=["#SBATCH --account=me", "module load cuda"])  # fmt: skip
    script = job.script("my config.yml", output_dir=tmp_path, tuning="t.pth", flags=["--use-amp"])
    options = options_of(script)
    assert options["partition"] == "gpu" and options["gres"] == "gpu:4"
    assert options["time"] == "7-00:00:00" and options["cpus-per-task"] == "16"
    assert options["account"] == "me" and options["output"] == str(tmp_path / "train.log")
    assert script.startswith("#!/bin/bash\n#SBATCH")
    assert script.index("module load cuda") < script.index("srun")
    command = shlex.split(script.splitlines()[-1])
    assert command[:3] == ["srun", "--kill-on-bad-exit=1", sys.executable]
    assert "--standalone" in command and "--nproc_per_node=4" in command
    assert command[command.index("rtdetr_nb") :] == [
        *("rtdetr_nb", "train", "-c", "my config.yml", "--output-dir", str(tmp_path)),
        *("-t", "t.pth", "--use-amp"),
    ]
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def test_several_nodes_meet_at_the_first_one(tmp_path: Path) -> None:
    script = rt.Slurm(gpus=8, nodes=2).script("c.yml", output_dir=tmp_path)
    assert options_of(script)["nodes"] == "2" and "partition" not in options_of(script)
    assert "scontrol show hostnames" in script and '--rdzv_endpoint="$head:29500"' in script
    assert "--nnodes=2" in script and "--standalone" not in script
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def test_one_gpu_and_none_need_no_torchrun(tmp_path: Path) -> None:
    for gpus in (0, 1):
        script = rt.Slurm(gpus=gpus).script("c.yml", output_dir=tmp_path)
        assert "torch.distributed.run" not in script
        assert ("gres" in options_of(script)) == bool(gpus)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"gpus": -1}, "gpus is -1"),
        ({"nodes": 0}, "nodes is 0"),
        ({"time": "soon"}, "no time limit"),
    ],
)
def test_what_no_job_can_have_is_a_sentence(wrong: dict, words: str) -> None:
    with pytest.raises(RunError, match=words):
        rt.Slurm(**wrong)


def test_a_run_waits_begins_and_is_found_again(submit, cluster: Cluster, tmp_path: Path) -> None:
    run = submit()
    assert run.status == "queued" and not run.is_over
    assert (cluster.folder / "submitted").read_text() == (run.folder / "job.sbatch").read_text()
    progress = RunProgress(run, "tuned")
    progress.update()
    assert progress.facts() == ["waiting in the queue of SLURM"] and not progress.is_over
    assert rt.attach_run(run.folder) == run and run.description["slurm_job"] == "41"
    with pytest.raises(RunError, match="still going on"):
        submit()
    cluster.is_in("RUNNING")
    assert run.status == "starting"


def test_stop_takes_a_waiting_run_out_of_the_queue(submit, cluster: Cluster) -> None:
    run = submit()
    run.stop()
    assert (cluster.folder / "cancelled").read_text() == "41\n"
    assert run.status == "stopped" and run.is_over and not run.reason
    assert submit().status == "queued"


@pytest.mark.parametrize(("state", "words"), [("CANCELLED", r"\(CANCELLED\)"), ("", "sacct -j 41")])
def test_a_job_that_ends_before_the_run_has_died(
    submit, cluster: Cluster, state: str, words: str
) -> None:
    run = submit()
    cluster.is_in(state)
    assert run.status == "died" and run.is_over
    assert re.search(words, run.reason) and "SLURM job 41" in run.reason


def test_a_run_on_a_node_dies_with_its_job(submit, cluster: Cluster) -> None:
    run = submit()
    description = {**run.description, "status": "running", "pid": 1, "host": "another-node"}
    (run.folder / "run.json").write_text(json.dumps(description))
    cluster.is_in("RUNNING")
    assert run.status == "running"
    run.stop()
    assert (run.folder / "stop").exists() and not (cluster.folder / "cancelled").exists()
    cluster.is_in("TIMEOUT")
    assert run.status == "died" and "(TIMEOUT)" in run.reason


def test_a_cluster_that_does_not_answer_is_no_end(submit, cluster: Cluster) -> None:
    run = submit()
    cluster.says("scontrol", "echo down >&2; exit 1")
    slurm_queue._answers.clear()
    assert run.status == "queued"


def test_what_slurm_refuses_leaves_the_earlier_run(
    submit, cluster: Cluster, tmp_path: Path
) -> None:
    submit().stop()
    before = (tmp_path / "run" / "run.json").read_text()
    cluster.says("sbatch", "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1")
    with pytest.raises(RunError, match=r"refuses the job \(.*invalid partition.*sinfo"):
        submit()
    assert (tmp_path / "run" / "run.json").read_text() == before


def test_without_slurm_it_says_where_to_start(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunError, match="no sbatch here"):
        rt.start_run(CONFIG, output_dir=tmp_path / "run", launcher=rt.Slurm())
    assert not (tmp_path / "run" / "run.json").exists()
