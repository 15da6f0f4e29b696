"""The first process of a training: its records and its status become those of the run."""

import logging
from typing import TYPE_CHECKING

from rtdetr_nb.cli.progress import Progress
from rtdetr_nb.errors import UserError

if TYPE_CHECKING:
    from rtdetr_nb.config.config import Config
    from rtdetr_nb.runs.folder import RunFolder
    from rtdetr_nb.runs.records import StartRecord
    from rtdetr_nb.training.assembly import TrainingOptions

logger = logging.getLogger(__name__)


def train_and_record(config: "Config", options: "TrainingOptions", folder: "RunFolder") -> int:
    """Train, and write each record to the claimed folder, the terminal and TensorBoard.

    Returns:
        The exit status. An error that the user can do something about ends the run and is logged.
    """
    from rtdetr_nb.runs.folder import how_to_go_on

    try:
        status = _record(config, options, folder)
        folder.end(status)
    except UserError as error:
        logger.error("%s", error)
        folder.fail(str(error), type(error).__name__)
        return error.exit_code
    except BaseException as error:
        kind = type(error).__name__
        folder.fail(str(error), kind, f"{kind}: {error}")
        raise
    logger.info("%s; everything is in %s", status, folder.path)
    if status == "stopped":
        logger.info("%s", how_to_go_on(folder.path))
    return 0


def _record(config: "Config", options: "TrainingOptions", folder: "RunFolder") -> str:
    """Write every record of the training, show the progress, and return the status at the end."""
    from rtdetr_nb.training.loop import train
    from rtdetr_nb.training.tensorboard import open_summary

    status = "finished"
    with (
        open_summary(config.summary_dir, config.to_yaml()) as add_to_summary,
        Progress(config.print_freq) as progress,
    ):
        for record in train(config, options):
            add_to_summary(record)
            if "event" in record and record["event"] == "start":
                _start_recording(folder, record)
            folder.append(record)
            progress.show(record)
            if record.get("event") == "stop":
                status = "stopped"
    return status


def _start_recording(folder: "RunFolder", start: "StartRecord") -> None:
    """Let the run take the place of an earlier one: all that it was given could be used."""
    from rtdetr_nb.runs.folder import start_facts

    kept = folder.start_recording(**start_facts(start))
    if kept:
        logger.info("the files of the earlier run are kept in %s", kept)
