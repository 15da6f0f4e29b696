"""A backbone as a distillation on other pictures would have saved it, to try what that does.

The new file computes of such pictures what the old one computes of plain ones: names, shapes and
all tensors but two are the same, and nothing but the values of those two tells them apart.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.tuning.input_format import InputFormat, fold_into_stem, named_format
from rtdetr_nb.checkpoint.tuning.output_path import check_output_path
from rtdetr_nb.errors import TuningError
from rtdetr_nb.files.atomic_file import write_atomically


def write_as_trained_on(
    selection: Selection, path: str | PathLike[str], input_format: InputFormat | str
) -> Path:
    """Write a backbone for pictures of `input_format`; replaces an existing file.

    The file is that of a distillation trainer: bare names below `state_dict`, and no word of the
    pictures.

    Args:
        selection: a backbone that expects RGB pictures of values 0 to 1, its stem among it.
        path: the file, for torch.save.
        input_format: of the pictures that the new backbone expects, or its name ("imagenet").

    Raises:
        TuningError: there is no such format, the stem is not selected, or the file cannot be
            written.
    """
    import torch

    target = check_output_path(path, [selection.diff.checkpoint], overwrite=True)
    tensors = fold_into_stem(selection.read(), named_format(input_format).inverse())
    state = {k.removeprefix(BACKBONE): v for k, v in tensors.items() if k.startswith(BACKBONE)}
    content = {"meta": {"exported_from": "student.backbone"}, "state_dict": state}
    try:
        write_atomically(target, lambda temporary: torch.save(content, temporary))
    except (OSError, RuntimeError) as error:
        raise TuningError(f"{target} cannot be written: {error}.") from error
    return target
