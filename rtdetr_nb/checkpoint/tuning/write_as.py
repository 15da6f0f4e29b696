"""The way back: a selection written as another library would have saved it.

To hand a backbone on, and to see the dialects side by side without installing the libraries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.naming.dialects import BATCH_NORM_EPS, DIALECTS, Dialect
from rtdetr_nb.checkpoint.naming.renaming import rename_back
from rtdetr_nb.errors import TuningError
from rtdetr_nb.files.atomic_file import write_atomically

if TYPE_CHECKING:
    import pandas
    import torch

LIBRARIES: Mapping[str, Dialect] = {each.library: each for each in DIALECTS if each.library}
"""The dialects that `write_as` writes, by the name of the library."""


def dialect_table(names: Iterable[str]) -> pandas.DataFrame:
    """Return one line a tensor and library: the official name, the library, and its name.

    Args:
        names: names of the backbone, with or without `backbone.`.
    """
    import pandas

    official = [name.removeprefix(BACKBONE) for name in names]
    renamed = {library: rename_back(official, dialect) for library, dialect in LIBRARIES.items()}
    lines = [
        (BACKBONE + name, library, theirs[name])
        for name in official
        for library, theirs in renamed.items()
    ]
    return pandas.DataFrame(lines, columns=["official", "library", "name there"])


def write_as(selection: Selection, path: str | PathLike[str], library: str) -> Path:
    """Write the selected backbone as `library` would have saved it; replaces an existing file.

    Args:
        selection: what to write; only tensors of the backbone have names elsewhere.
        path: the file.
        library: one of `LIBRARIES`.

    Raises:
        TuningError: the library is not known, the backbone is not in the selection, or the file
            cannot be written.
    """
    if library not in LIBRARIES:
        raise TuningError(f"There is no library {library!r}; known: {', '.join(LIBRARIES)}.")
    dialect, path = LIBRARIES[library], Path(path)
    state = {
        key.removeprefix(BACKBONE): value
        for key, value in selection.read().items()
        if key.startswith(BACKBONE)
    }
    if not state:
        raise TuningError("The selection has no tensor of the backbone.")
    renamed = {
        name: _with_eps(official, state[official], dialect)
        for official, name in rename_back(state, dialect).items()
    }
    content = {dialect.wrapper: renamed} if dialect.wrapper else renamed
    try:
        write_atomically(path, lambda temporary: _save(content, temporary))
    except (OSError, RuntimeError) as error:
        raise TuningError(f"{path} cannot be written: {error}.") from error
    return path


def _save(content: Mapping[str, Any], path: Path) -> None:
    import torch

    torch.save(dict(content), path)


def _with_eps(official: str, value: torch.Tensor, dialect: Dialect) -> torch.Tensor:
    """Take out of the variance what the library's norm adds beyond the official epsilon."""
    if dialect.eps == BATCH_NORM_EPS or not official.endswith(".running_var"):
        return value
    return (value.double() - (dialect.eps - BATCH_NORM_EPS)).float()
