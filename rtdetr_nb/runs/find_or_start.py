"""Start a run unless it is there already, so that a notebook can be run again from the top."""

import hashlib
import json
import logging
import os
import zipfile
from pathlib import Path
from typing import Any

from rtdetr_nb.config.config import Config
from rtdetr_nb.errors import RunError
from rtdetr_nb.files.json_file import read_json
from rtdetr_nb.launchers.slurm import Slurm
from rtdetr_nb.runs.file_names import REQUEST_FILE
from rtdetr_nb.runs.run import UNDER_WAY, Run, start_run

logger = logging.getLogger(__name__)


def ensure_run(
    config: Config,
    *,
    output_dir: str | os.PathLike[str],
    tuning: str | os.PathLike[str] | None = None,
    max_steps: int | None = None,
    processes: int = 1,
    launcher: Slurm | None = None,
) -> Run:
    """Return the run of exactly this: one that goes on or has finished in the folder, or a new one.

    After a restart of the kernel the same line finds the run again instead of starting a second
    one. A run with another configuration, length or tuning file (by its content), or one that was
    stopped or failed, is replaced: its files are kept in a folder below `previous/`.

    Args:
        config: what to train.
        output_dir: folder of the run.
        tuning: tuning file to start from.
        max_steps: stop after so many optimizer updates.
        processes, launcher: how a new run is started; see `start_run`.

    Raises:
        RunError: a run of something else lives in the folder, or the tuning file is missing.
    """
    run = find_run(config, output_dir=output_dir, tuning=tuning, max_steps=max_steps)
    if run is None:
        run = start_run(
            config,
            output_dir=output_dir,
            tuning=tuning,
            max_steps=max_steps,
            processes=processes,
            launcher=launcher,
        )
        _write_request(run, _request(config, tuning, max_steps))
    return run


def find_run(
    config: Config,
    *,
    output_dir: str | os.PathLike[str],
    tuning: str | os.PathLike[str] | None = None,
    max_steps: int | None = None,
) -> Run | None:
    """Return the run that `ensure_run` has started for this, if it goes on or has finished."""
    run = Run(Path(output_dir))
    seen = run.describe()
    if not seen.description or seen.status not in (*UNDER_WAY, "finished"):
        return None
    found = read_json(run.folder / REQUEST_FILE)
    # Another run may have been started in the folder since; it left the request as it was.
    wanted = _request(config, tuning, max_steps) | _process(seen.description)
    return run if found == wanted else None


def find_runs(folder: str | os.PathLike[str]) -> list[Run]:
    """Return the runs in a folder and in those directly below it, in the order of their starts.

    Raises:
        RunError: there is no run.
    """
    root = Path(folder)
    runs = [Run(path) for path in (root, *sorted(root.glob("*/")))]
    found = [run for run in runs if run.description]
    if not found:
        raise RunError(f"There is no run in {root}, nor in a folder directly below it.")
    return sorted(found, key=lambda run: str(run.description.get("started", "")))


def _request(
    config: Config, tuning: str | os.PathLike[str] | None, max_steps: int | None
) -> dict[str, Any]:
    return {
        "config": config.to_yaml(),
        "tuning": fingerprint(Path(tuning)) if tuning else None,
        "max_steps": max_steps,
    }


def _write_request(run: Run, request: dict[str, Any]) -> None:
    """Write the request, if the disk allows: a run that has been started goes on without it."""
    text = json.dumps(request | _process(run.description))
    try:
        (run.folder / REQUEST_FILE).write_text(text, encoding="utf-8")
    except OSError as error:
        logger.warning(
            "%s cannot be written (%s): the same line will not find this run again. Use "
            "attach_run(%r).",
            run.folder / REQUEST_FILE,
            error.strerror,
            str(run.folder),
        )


def _process(description: dict[str, Any]) -> dict[str, Any]:
    if token := description.get("token"):
        return {"token": token}  # the process is another one than was started
    return {name: description.get(name) for name in ("pid", "process_started", "host")}


def fingerprint(path: Path) -> str | None:
    """Return a digest of what a file holds; None if there is no such file.

    A torch file is a ZIP archive whose members stand below a folder named after the file that was
    first written; the name of that folder does not count.
    """
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.partition("/")[2]
                digest.update(f"{name} {member.CRC} {member.file_size}\n".encode())
    else:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
