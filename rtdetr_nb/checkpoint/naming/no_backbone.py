"""What a file without an HGNetv2 seems to hold, and what to do."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from rtdetr_nb.checkpoint.naming.anchors import looks_like_first_hgnet
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.printable import printable


def explain_no_backbone(path: Path, keys: Collection[str], hint: str = "") -> str:
    """Explain what a file without an HGNetv2 seems to hold, and what to do.

    Args:
        path: the file.
        keys: its keys.
        hint: what is known from elsewhere, instead of what the names tell.
    """
    if not keys:
        return (
            f"{path} holds no tensors. Choose the file that the training or the "
            f"distillation saved its weights in."
        )
    first = first_of([printable(key) for key in keys], more="")
    return (
        f"{path} holds {len(keys)} tensors but no HGNetv2 backbone (no "
        f"`stem.stem1.conv.weight` under any prefix; the keys begin with {first}). "
        + (
            hint
            or f"{_seems(keys)}; choose a file with HGNetv2-L, -X or -H weights, or check --subkey."
        )
    )


def _seems(keys: Collection[str]) -> str:
    if any(".res_layers." in key for key in keys):
        return "It looks like RT-DETR's PResNet"
    if looks_like_first_hgnet(keys):
        return "It looks like HGNet, the predecessor, which has other layers"
    if any(re.search(r"(^|\.)layer[1-4]\.\d+\.conv\d", key) for key in keys):
        return "It looks like a ResNet"
    return "It may be another architecture"
