"""JupyterLab refuses to run as root unless it is told otherwise; better to hear that first."""

import os
from collections.abc import Iterable
from pathlib import Path

from rtdetr_nb.errors import UserError


def check_root_is_allowed(arguments: Iterable[str]) -> None:
    """Refuse to start JupyterLab as root where it would refuse too.

    Args:
        arguments: for JupyterLab.

    Raises:
        UserError: the user is root, and neither an argument nor a configuration file mentions it.
    """
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    told = any("allow-root" in argument.replace("_", "-") for argument in arguments)
    if is_root and not told and not _is_configured():
        raise UserError(
            "JupyterLab does not start as root unless it is allowed to: `make lab "
            "ARGS=--allow-root`, or `rtdetr-nb lab --allow-root`."
        )


def _is_configured() -> bool:
    """Whether a configuration file of Jupyter mentions the permission; Jupyter then decides."""
    from jupyter_core.paths import jupyter_config_path

    patterns = ("jupyter_*config.*", "jupyter_*config.d/*.json")
    files = [
        file
        for folder in jupyter_config_path()
        for pattern in patterns
        for file in Path(folder).glob(pattern)
    ]
    # `jupyter_*config.d` is a folder that the first pattern matches too.
    return any("allow_root" in file.read_text(errors="replace") for file in files if file.is_file())
