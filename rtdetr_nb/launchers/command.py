"""The command line of a training."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

TOKEN_VARIABLE = "RTDETR_NB_RUN"
"""Environment variable by which a process knows that a folder was prepared for it."""

PathLike = str | os.PathLike[str]


def train_arguments(
    config: PathLike,
    output_dir: PathLike,
    tuning: PathLike | None = None,
    resume: PathLike | None = None,
    max_steps: int | None = None,
) -> list[str]:
    """Return what follows `rtdetr-nb`: the command `train` with its flags."""
    flags: Mapping[str, object] = {
        "-c": config,
        "--output-dir": output_dir,
        "-t": tuning,
        "-r": resume,
        "--max-steps": max_steps,
    }
    words = [word for flag, value in flags.items() if value for word in (flag, str(value))]
    return ["train", *words]


def python_command(arguments: Sequence[str], processes: int = 1) -> list[str]:
    """Return the command that runs this package here, by torchrun if in several processes."""
    if processes == 1:
        return [sys.executable, "-m", "rtdetr_nb", *arguments]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return [*torchrun, f"--nproc_per_node={processes}", "-m", "rtdetr_nb", *arguments]
