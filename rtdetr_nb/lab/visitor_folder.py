"""A folder for one visitor of a class, which is deleted with the visitor's kernel.

A keeper, a small separate process, waits at a pipe from the kernel. The pipe closes when the kernel
ends, for whatever reason. Then the keeper ends the runs that were started in the folder, and
removes the folder.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

_SECONDS_TO_DIE = 10.0
# Kept, so that their pipes stay open for as long as this process lives.
_keepers: list["subprocess.Popen[bytes]"] = []


def visitor_folder(variable: str) -> str:
    """Make a folder that is removed, and whose runs are ended, when this process ends.

    Args:
        variable: environment variable of this process to set to the folder.

    Returns:
        The absolute path of the folder.
    """
    folder = os.path.realpath(tempfile.mkdtemp(prefix="rtdetr_nb_class_"))
    # In a new session: what ends the kernel and its group does not end the keeper.
    keeper = subprocess.Popen(
        [sys.executable, "-m", __name__, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    _keepers.append(keeper)
    os.environ[variable] = folder
    return folder


def clear_folder(folder: Path) -> None:
    """End the runs in a folder, and in those directly below it, and delete it.

    The runs are killed without saving, since what they would save is deleted too.
    """
    from rtdetr_nb.errors import RunError
    from rtdetr_nb.runs.find_or_start import find_runs

    alive = []
    with contextlib.suppress(RunError):  # the folder has no runs
        alive = [run for run in find_runs(folder) if not run.is_over]
    for run in alive:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(run.description["pid"]), signal.SIGKILL)
    for run in alive:
        with contextlib.suppress(RunError):  # it is still alive
            run.wait(_SECONDS_TO_DIE)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.buffer.read()  # returns when the other end is closed
    clear_folder(Path(sys.argv[1]))
