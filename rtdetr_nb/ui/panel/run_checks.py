"""What a run is given, looked at before its process starts: device, tuning file, data, batch.

A start that fails costs seconds and takes the place of an earlier run, so a panel asks while one
types. What was found sound is not looked at again until the file or folder changes.
"""

import os
import re
from functools import lru_cache
from pathlib import Path

from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.file_names import LAST_FILE
from rtdetr_nb.runs.records import events, is_step
from rtdetr_nb.runs.run import Run

_DEVICE = re.compile(r"cpu|cuda(:(?P<number>\d+))?")


def check_device(name: str) -> None:
    """Refuse a device that a run could not use; empty takes what there is.

    Raises:
        RunError: there is no such device here.
    """
    found = _DEVICE.fullmatch(name)
    if name and found is None:
        raise RunError(
            f"The device is {name!r}; expected cpu, cuda or cuda:N, or leave it empty for a GPU if "
            "there is one."
        )
    if not name.startswith("cuda"):
        return
    gpus = _count_gpus()
    if gpus <= int((found and found.group("number")) or 0):
        there = f"{gpus} of them" if gpus else "no GPU"
        raise RunError(
            f"The device is {name}, but this machine offers {there} to PyTorch. Choose "
            f"{'a smaller number' if gpus else 'cpu'}, or leave it empty."
        )


def check_tuning(path: str, backbone_of: str) -> None:
    """Refuse a file that the official `-t` would fail on, or load nothing from.

    Args:
        path: of the tuning file.
        backbone_of: the configuration whose backbone the run has.

    Raises:
        UserError: there is no such file, it cannot be read, or nothing in it has the name and
            shape of a tensor of the model.
    """
    if not Path(path).is_file():
        raise RunError(f"There is no tuning file {path}. Leave it empty to start from random "
                       "weights.")  # fmt: skip
    _match(path, backbone_of, _state(path))


def check_data(data: str, batch_size: int) -> None:
    """Refuse data that cannot be opened, and a step that needs more pictures than there are.

    Raises:
        UserError: what cannot be used, in a sentence.
    """
    pictures = _training_pictures(data, _state(data))
    if batch_size > pictures:
        raise RunError(
            f"Batch size is {batch_size}, but {data} has {pictures} training pictures. Choose "
            f"{pictures} or less."
        )


def check_path(name: str, path: str) -> None:
    """Refuse a text that cannot be a path.

    Raises:
        RunError: the system takes no such path, or does not let it be looked at.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass  # what has to exist is checked where it is used
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(
            f"{name} is {path!r}, which cannot be a path ({reason}). Give another one."
        ) from error


def saved_step(run: Run) -> tuple[int, bool]:
    """Return the step of a run's last checkpoint, and whether that was evaluated.

    The last checkpoint of a run that was killed is older than its last step. If the records name no
    checkpoint, the last step counts.
    """
    records = run.records
    saved = [r["step"] for r in events(records, "checkpoint") if r["file"] == LAST_FILE]
    saved = saved or [r["step"] for r in records if is_step(r)] or [0]
    return saved[-1], any(r["step"] == saved[-1] for r in events(records, "evaluation"))


@lru_cache(maxsize=16)
def _match(path: str, backbone_of: str, _state: tuple[int, ...]) -> None:
    from rtdetr_nb.architecture.state_dict_table import model_keys
    from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
    from rtdetr_nb.checkpoint.tuning.load import match_tuning_file
    from rtdetr_nb.config.load import load_config

    shapes = {key: info.shape for key, info in model_keys(load_config(backbone_of)).items()}
    match_tuning_file(open_checkpoint(path), shapes)


@lru_cache(maxsize=16)
def _training_pictures(data: str, _state: tuple[int, ...]) -> int:
    from rtdetr_nb.datasets.open_data import open_data

    return len(open_data(data).train)


def _state(path: str) -> tuple[int, ...]:
    """What changes when a file is written, or one directly in a folder comes or goes."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _count_gpus() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
