"""Loads a tuning file into a model by the official rules, and compares what arrived."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from rtdetr_nb.architecture.key_info import is_batch_counter
from rtdetr_nb.checkpoint.checkpoint import Checkpoint, open_checkpoint
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.official_loader.rules import (
    OfficialError,
    OfficialMatch,
    match_officially,
    official_state_dict,
)
from rtdetr_nb.checkpoint.tuning.input_format import InputFormat, fold_into_stem
from rtdetr_nb.checkpoint.tuning.proof import bit_equal
from rtdetr_nb.checkpoint.tuning.report import TuningReport
from rtdetr_nb.errors import TuningError
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.printable import printable

if TYPE_CHECKING:
    import torch
    from torch import nn

logger = logging.getLogger(__name__)


def load_tuning_file(model: nn.Module, path: str | PathLike[str]) -> TuningReport:
    """Load a tuning file into a model, by the official rules and without running its pickle.

    Every tensor of the same name and shape is copied; the rest of the model stays as it is. The
    two lines that the official code prints are logged, and the unused keys as a warning.

    Args:
        model: changed in place; inside a parallel wrapper or not.
        path: a checkpoint with `['ema']['module']` or `['model']`, or safetensors with the
            official names.

    Raises:
        CheckpointError: the file cannot be read.
        TuningError: the official code would fail on it, or would load nothing from it.
    """
    checkpoint = open_checkpoint(path)
    logger.info("tuning checkpoint from %s", path)
    module = _unwrapped(model)
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    source, params, match = match_tuning_file(checkpoint, shapes)
    values = checkpoint.read(params[key].key for key in match.loaded)
    state = {key: values[params[key].key] for key in match.loaded}
    module.load_state_dict(state, strict=False)
    logger.info("%s", match.log_line)
    _warn_of_unused(match.unused)
    return TuningReport(
        checkpoint.path, source, match.loaded, match.missed, match.unmatched, match.unused
    )


def match_tuning_file(
    checkpoint: Checkpoint, model_shapes: Mapping[str, tuple[int, ...]]
) -> tuple[str, Mapping[Any, Any], OfficialMatch]:
    """Say which tensors of a file the official loader copies into a model; reads no values.

    Returns:
        The name of the state dict that is taken, its tensors by name, and what becomes of each.

    Raises:
        TuningError: the official code would fail on the file, or would load nothing from it.
    """
    source, params = _tuning_state(checkpoint)
    try:
        match = match_officially(model_shapes, params)
    except OfficialError as error:
        raise TuningError(
            f"{checkpoint.path} cannot be loaded: a value is no tensor ({error})."
        ) from error
    if not match.loaded:
        raise TuningError(_explain_no_match(checkpoint, source, params))
    return source, params, match


def prove_loaded(
    model: nn.Module, selection: Selection, input_format: InputFormat | str | None = None
) -> dict[str, bool]:
    """Compare a model's tensors with the selection, bit for bit: name -> equal or not.

    Args:
        model: what the tuning file was loaded into.
        selection: what the tuning file was written from.
        input_format: what was folded into its stem, if anything was.
    """
    selected = selection.read()
    if input_format is not None:
        selected = fold_into_stem(selected, input_format)
    return compare_loaded(model, selected)


def compare_loaded(model: nn.Module, values: Mapping[str, torch.Tensor]) -> dict[str, bool]:
    """Compare a model's tensors with values by the same names: name -> equal or not."""
    state = _unwrapped(model).state_dict()
    return {key: bit_equal(state[key].cpu(), value) for key, value in values.items()}


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside a parallel wrapper, or the model."""
    from torch.nn.parallel import DataParallel, DistributedDataParallel

    wrapped = isinstance(model, DataParallel | DistributedDataParallel)
    return model.module if wrapped else model  # pyright: ignore[reportReturnType]


def _warn_of_unused(keys: Iterable[str]) -> None:
    # Frozen norms count no batches; that their counters go unused harms nothing.
    unused = [key for key in keys if not is_batch_counter(key)]
    if unused:
        logger.warning(
            "%d keys of the file are not in the model and were not used: %s", len(unused), unused
        )


def _tuning_state(checkpoint: Checkpoint) -> tuple[str, Mapping[Any, Any]]:
    if checkpoint.container.startswith("safetensors"):
        # The format cannot nest: the names themselves are the state dict.
        return "safetensors", checkpoint.tensors
    try:
        return official_state_dict(checkpoint.tree, checkpoint.modules)
    except OfficialError as error:
        raise TuningError(
            f"{checkpoint.path} is no tuning file: the official loader would stop with "
            f"`{error}`. {_explain_contents(checkpoint)}"
        ) from error


def _explain_contents(checkpoint: Checkpoint) -> str:
    candidates = checkpoint.candidates
    if not candidates:
        return "It holds no HGNetv2 backbone either; choose another file."
    held = ", ".join(f"{c.name} (HGNetv2-{c.size}, {c.dialect})" for c in candidates)
    return (
        f"It holds {held}; `rtdetr-nb convert --input {checkpoint.path} --output tuning.pth` "
        f"makes a tuning file of it."
    )


def _explain_no_match(checkpoint: Checkpoint, source: str, params: Mapping[Any, Any]) -> str:
    first = first_of([printable(str(key)) for key in params], more="") or "nothing"
    return (
        f"No tensor of {checkpoint.path} fits the model: {source!r} holds {len(params)} keys "
        f"beginning with {first}, and none has the name and shape of a tensor of the model. The "
        f"official loader would go on with random weights. {_explain_contents(checkpoint)}"
    )
