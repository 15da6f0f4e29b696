"""The bare form: the backbone's state dict and nothing else, as `HGNetv2.pretrained=FILE` reads it.

The official code gives such a file to a strict `load_state_dict`. So the names have no `backbone.`,
no tensor of the backbone may be missing, and nothing may lie beside them: not even a word on where
they come from. The official `-t` stops at it with `KeyError: 'model'`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rtdetr_nb.architecture.key_info import is_batch_counter
from rtdetr_nb.architecture.state_dict_table import BACKBONE, ModelConfig
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.official_loader.doors import PRETRAINED
from rtdetr_nb.checkpoint.official_loader.prediction import predict_official
from rtdetr_nb.checkpoint.official_loader.rules import OfficialMatch
from rtdetr_nb.errors import TuningError
from rtdetr_nb.text.listing import first_of


def check_bare(path: Path, prefix: str, has_base: bool) -> None:
    """Refuse what contradicts the bare form.

    Raises:
        TuningError: there is a base or another prefix, or the file would be one of safetensors.
    """
    if has_base:
        raise TuningError(
            "A bare file holds the backbone only, so a base has no place in it. Leave out --base "
            "(base=), or --bare (bare=True)."
        )
    if prefix != BACKBONE:
        raise TuningError(
            f"A bare file has no prefix, so {prefix!r} contradicts it. Leave out --prefix "
            "(prefix=), or --bare (bare=True)."
        )
    if path.suffix == ".safetensors":
        raise TuningError(
            f"{path} would be a file of safetensors, and HGNetv2.pretrained reads files of "
            "torch.save. Give a name that ends in .pth."
        )


def whole_backbone(selection: Selection) -> Selection:
    """Return the backbone of a selection, if all of it is there.

    Raises:
        TuningError: some of it is missing, which a strict load does not forgive.
    """
    keys = set(selection.keys)
    names = [name for name in selection.diff.model_shapes if name.startswith(BACKBONE)]
    missing = [name for name in names if name not in keys and not is_batch_counter(name)]
    if missing:
        raise TuningError(
            f"A bare file needs the whole backbone, since HGNetv2.pretrained loads strictly: "
            f"{len(missing)} of {len(names)} tensors are lacking ({first_of(missing)}). Select "
            "all of it, or write a tuning file for -t."
        )
    rows = tuple(row for row in selection.rows if (row.model_key or "").startswith(BACKBONE))
    if len(rows) == len(selection.rows):
        return selection
    return replace(selection, rows=rows, description=f"the backbone of: {selection.description}")


def prove_strict(path: Path, config: ModelConfig) -> OfficialMatch:
    """Prove that the official `HGNetv2.pretrained` loads a file that was written.

    Raises:
        TuningError: it would stop.
    """
    prediction = predict_official(path, config, PRETRAINED)
    if prediction.match is None:
        raise TuningError(
            f"{path} was written, but HGNetv2.pretrained cannot load it: {prediction.message}"
        )
    return prediction.match
