"""Where a click may read and write, on a page whose visitors are not the user who serves it."""

from __future__ import annotations

import os
from pathlib import Path

from rtdetr_nb.errors import UserError

# Names the folder that a click may read and write; any if it is not set. A page for a class sets
# it.
WRITE_BELOW = "RTDETR_NB_WRITE_BELOW"


def allowed(path: str) -> str:
    """The path that a click may use; below `WRITE_BELOW`, where relative paths begin then.

    Raises:
        UserError: it lies elsewhere.
    """
    folder = os.environ.get(WRITE_BELOW)
    if folder is None:
        return path
    try:
        target = Path(folder, path).resolve()
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path!r} cannot be the path of a file ({error}). Give another."
        ) from error
    if not target.is_relative_to(Path(folder).resolve()):
        raise UserError(
            "This page reads and writes only below one folder. Give a name without a folder, "
            "for example tuning.pth."
        )
    return str(target)
