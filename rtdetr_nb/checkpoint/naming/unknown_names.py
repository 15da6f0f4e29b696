"""A file whose shapes are those of HGNetv2, under names that no rule knows."""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher
from shlex import quote

from rtdetr_nb.architecture.state_dict_table import backbone_keys
from rtdetr_nb.checkpoint.naming.rename_hint import Shapes, shared_shapes, suggest_renames

_SHARE = 0.9
_VARIANTS = ("L", "X", "H")


def explain_unknown_names(shapes: Shapes) -> str:
    """Say which HGNetv2 has the shapes of a file, and how its names could be led to the official.

    Args:
        shapes: the searched names of a file in which no backbone was found, and their shapes.

    Returns:
        A sentence or two; "" if the shapes are those of another network.
    """
    variant = _variant(shapes)
    if variant is None:
        return ""
    table = {name: info.shape for name, info in backbone_keys(variant, freeze_norm=True).items()}
    lead = _lead(table, shapes)
    wanted = {lead + name: shape for name, shape in table.items()}
    renames = suggest_renames(wanted, shapes)
    named = {name: name for name in shapes}
    for rename in renames:
        named = {key: rename.apply(name) for key, name in named.items()}
    reached = sum(wanted.get(name) == shapes[key] for key, name in named.items())
    found = f"Its shapes are those of HGNetv2-{variant}, under names that no rule knows."
    if reached:
        words = " ".join(f"--rename {quote(rename.text)}" for rename in renames)
        return f"{found} With {words} {reached} of {len(wanted)} tensors have their names."
    return (
        f"{found} Give --rename PATTERN=REPLACEMENT, as in re.sub, that leads them to the official "
        "names (stem.stem1.conv.weight, stages.0.blocks.0.layers.0.conv.weight)."
    )


def _variant(shapes: Shapes) -> str | None:
    """Return the size whose convolutions are nearly all there by their shapes."""
    for variant in reversed(_VARIANTS):  # a larger one has many shapes of a smaller one
        convolutions = {
            name: info.shape
            for name, info in backbone_keys(variant, freeze_norm=True).items()
            if len(info.shape) == 4
        }
        if shared_shapes(convolutions, shapes) >= _SHARE * len(convolutions):
            return variant
    return None


def _lead(table: Shapes, shapes: Shapes) -> str:
    """Return what most names of the file have before the first word that is an official one."""
    leads: Counter[str] = Counter()
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name, shape in shapes.items():
        by_shape.setdefault(shape, []).append(name)
    for name, shape in table.items():
        for other in by_shape.get(shape, ())[:2]:
            words = other.split(".")
            blocks = SequenceMatcher(None, words, name.split("."), autojunk=False)
            first = blocks.get_matching_blocks()[0]
            if first.size and first.b == 0:
                leads["".join(f"{word}." for word in words[: first.a])] += 1
    return leads.most_common(1)[0][0] if leads else ""
