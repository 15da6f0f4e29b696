"""A training as a job of SLURM: its script, and how it is submitted."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rtdetr_nb.errors import RunError
from rtdetr_nb.launchers.command import TOKEN_VARIABLE, PathLike, train_arguments

_TIME = re.compile(r"\d+(-\d+(:\d+){0,2}|(:\d+){0,2})")
_PORT = 29500
_SECONDS_TO_SAVE = 120  # before the end of its time a job is asked to save and stop
_DIRECTIVE = "#SBATCH"


@dataclass(frozen=True)
class Slurm:
    """Where and how long a training runs on a cluster; give it to `start_run(launcher=...)`.

    The folder of the run and the data have to lie on a disk that the nodes share.

    Attributes:
        partition: of the cluster; None takes its default.
        gpus: of each node; one process trains on each. 0 trains in one process on the CPU.
        time: limit as `sbatch` takes it, "30" (minutes), "12:00:00", "7-00:00:00"; None takes the
            partition's. Two minutes before it ends the run saves and stops, to be resumed.
        lines: what the script does before the training, such as "module load cuda"; those that
            begin with #SBATCH are options of the job.
        nodes: that train together.
        cpus: for each node; None takes the partition's default.
        name: of the job.
    """

    partition: str | None = None
    gpus: int = 1
    time: str | None = None
    lines: Sequence[str] = ()
    nodes: int = 1
    cpus: int | None = None
    name: str = "rtdetr_nb"

    def __post_init__(self) -> None:
        """Refuse what no job can have.

        Raises:
            RunError: a number is too small, or the time is not written as `sbatch` takes it.
        """
        if isinstance(self.lines, str):
            object.__setattr__(self, "lines", self.lines.splitlines())
        for name, least in (("gpus", 0), ("nodes", 1), ("cpus", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise RunError(f"{name} is {value}; a job has {least} or more.")
        if self.time is not None and not _TIME.fullmatch(str(self.time)):
            raise RunError(
                f"{self.time!r} is no time limit of SLURM. Write minutes ('30'), hours "
                "('12:00:00') or days ('7-00:00:00')."
            )

    def script(
        self,
        config: PathLike,
        *,
        output_dir: PathLike,
        tuning: PathLike | None = None,
        resume: PathLike | None = None,
        max_steps: int | None = None,
        flags: Sequence[str] = (),
    ) -> str:
        """Return the text of the job, to look at or to hand to `sbatch`.

        Args:
            config: a YAML file or the name of a shipped configuration.
            output_dir: folder of the run; the job logs there too.
            tuning: tuning file to start from.
            resume: checkpoint to go on from.
            max_steps: stop after so many optimizer updates.
            flags: further flags of `rtdetr-nb train`, such as "--use-amp".
        """
        arguments = train_arguments(config, output_dir, tuning, resume, max_steps)
        return self.job([*arguments, *flags], Path(output_dir))

    def job(self, arguments: Sequence[str], folder: Path, token: str = "") -> str:
        """Return the text of a job that runs `rtdetr-nb` with these arguments.

        Args:
            arguments: what follows `rtdetr-nb`.
            folder: that its log is written to.
            token: tells the process that the folder was prepared for it.
        """
        own = [line for line in self.lines if line.startswith(_DIRECTIVE)]
        before = [line for line in self.lines if not line.startswith(_DIRECTIVE)]
        options = [f"{_DIRECTIVE} {option}" for option in self._options(folder.resolve())]
        known = [f"export {TOKEN_VARIABLE}={token}"] if token else []
        head = ['head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)']
        lines = [
            *("#!/bin/bash", *options, *own, ""),
            *before,
            *known,
            *(head if self.nodes > 1 else []),
            f"srun --kill-on-bad-exit=1 {self._command(arguments)}",
        ]
        return "\n".join(lines) + "\n"

    def _options(self, folder: Path) -> list[str]:
        given = {
            "job-name": self.name,
            "partition": self.partition,
            "nodes": self.nodes,
            "ntasks-per-node": 1,
            "gres": f"gpu:{self.gpus}" if self.gpus else None,
            "cpus-per-task": self.cpus,
            "time": self.time,
            "signal": f"TERM@{_SECONDS_TO_SAVE}",
            "output": folder / "train.log",
            "open-mode": "append",
            "chdir": os.getcwd(),
        }
        options = [f"--{name}={value}" for name, value in given.items() if value is not None]
        # Begun anew by the cluster, the run would meet its own folder.
        return [*options, "--no-requeue"]

    def _command(self, arguments: Sequence[str]) -> str:
        python, program = shlex.quote(sys.executable), f"-m rtdetr_nb {shlex.join(arguments)}"
        processes = max(self.gpus, 1)
        if self.nodes == 1 and processes == 1:
            return f"{python} {program}"
        meeting = "--standalone"
        if self.nodes > 1:
            meeting = f'--nnodes={self.nodes} --rdzv_id="$SLURM_JOB_ID" --rdzv_backend=c10d '
            meeting += f'--rdzv_endpoint="$head:{_PORT}"'
        return f"{python} -m torch.distributed.run {meeting} --nproc_per_node={processes} {program}"


def submit(script: Path) -> str:
    """Hand a job to SLURM and return its number.

    Raises:
        RunError: there is no `sbatch`, or it refuses the job; with its own words.
    """
    try:
        done = subprocess.run(
            ["sbatch", "--parsable", str(script)], capture_output=True, text=True, timeout=60
        )
    except FileNotFoundError as error:
        raise RunError(
            "There is no sbatch here. Start the run on a login node of a SLURM cluster, or leave "
            "launcher out to run it here."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise RunError("sbatch has not answered for a minute. Is the cluster up?") from error
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if line.strip()), "no reason given")
        raise RunError(
            f"SLURM refuses the job ({said.strip()}). Look at `sinfo`, and change "
            "rt.Slurm(partition=..., gpus=..., time=...)."
        )
    return done.stdout.strip().partition(";")[0]
