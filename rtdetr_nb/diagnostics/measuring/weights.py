"""Whatever stands for a backbone, as one selection of tensors with official names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from torch import Tensor

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.checkpoint import (
    Checkpoint,
    FileCandidate,
    choose_candidate,
    open_checkpoint,
)
from rtdetr_nb.checkpoint.comparison.diff import Diff, compare
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import CheckpointError

Weights = str | os.PathLike[str] | Checkpoint | FileCandidate | Diff | Selection
"""A file with a backbone or a tuning file, or what was opened, compared or selected from it."""

# What only a detector has, in the words of the libraries that train RT-DETR and its kin.
_HEADS = re.compile(
    r"(^|\.)(decoder|bbox_head|enc_score_head|dec_score_head|dec_bbox_head|class_embed|bbox_embed)\."
)


@dataclass(frozen=True)
class BackboneWeights:
    """One backbone of a file.

    Attributes:
        selection: its tensors.
        tensors: their values by official names without `backbone.`.
        is_detector: whether a trained encoder and decoder lie around it.
        is_fused: whether its norms are folded into the convolutions.
    """

    selection: Selection
    tensors: dict[str, Tensor]
    is_detector: bool
    is_fused: bool

    @property
    def candidate(self) -> FileCandidate:
        """Where in the file it lies."""
        return self.selection.diff.candidate

    @property
    def checkpoint(self) -> Checkpoint:
        """The file."""
        return self.selection.diff.checkpoint

    @property
    def variant(self) -> str:
        """ "L", "X" or "H"."""
        assert self.candidate.variant is not None
        return self.candidate.variant


def read_backbone(source: Weights, variant: str | None = None) -> BackboneWeights:
    """Read the backbone that `source` stands for, with all fixes of its dialect applied.

    Args:
        source: see `Weights`.
        variant: the configured size, which may decide between several backbones of a file.

    Raises:
        CheckpointError: there is none, or it is of a size that RT-DETRv2 does not have.
        AmbiguousCheckpointError: there are several that nothing tells apart.
    """
    if isinstance(source, Selection):
        selection = source
    elif isinstance(source, Diff):
        selection = source.select(f"{BACKBONE}*")
    else:
        selection = _whole(source, variant)
    values = selection.read()
    tensors = {k.removeprefix(BACKBONE): v for k, v in values.items() if k.startswith(BACKBONE)}
    candidate = selection.diff.candidate
    fused = any("fused bias" in origin.rules for origin in candidate.origins)
    return BackboneWeights(selection, tensors, _is_detector(candidate), fused)


def _whole(
    source: str | os.PathLike[str] | Checkpoint | FileCandidate, variant: str | None
) -> Selection:
    candidate = source if isinstance(source, FileCandidate) else None
    if candidate is None:
        opened = source if isinstance(source, Checkpoint) else open_checkpoint(source)  # pyright: ignore[reportArgumentType]
        candidate = choose_candidate(opened, variant=variant)
    if candidate.variant is None:
        raise CheckpointError(
            f"{candidate.name} is {candidate.sized}. Only HGNetv2-L, -X and -H belong to "
            "RT-DETRv2 and can be checked."
        )
    has_lab = any(".lab." in origin.name for origin in candidate.origins)
    config = official_config(candidate.variant, has_lab)
    return compare(candidate, config).select(f"{BACKBONE}*")


def official_config(variant: str, use_lab: bool = False) -> Config:
    """The official configuration of this size, without the download of weights."""
    lab = f"HGNetv2.use_lab={use_lab}"
    return load_config(f"rtdetrv2_hgnetv2_{variant.lower()}", ["HGNetv2.pretrained=False", lab])


def _is_detector(candidate: FileCandidate) -> bool:
    """Whether the weights around this backbone are those of a whole detector."""
    assert candidate.checkpoint is not None
    root = candidate.prefix.partition("backbone.")[0]
    own = {origin.checkpoint_key for origin in candidate.origins}
    is_teacher = candidate.role.startswith("teacher")
    beside = (
        key.removeprefix(root)
        for key in candidate.checkpoint.tensors
        if key.startswith(root) and key not in own
    )
    return any(_HEADS.search(key) and (is_teacher or "teacher" not in key) for key in beside)
