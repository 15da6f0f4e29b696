"""Weights that are in a file as the parts that they are computed from, under torch's own names.

The parts are taken out of the list of tensors and the weight is put in, with a note on the formula.
Where the formula is not in the file, the weight keeps its place and says why it cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from rtdetr_nb.checkpoint.reading.computed import ComputedStorage, is_readable, result_dtype
from rtdetr_nb.checkpoint.reading.tensor_info import TensorInfo

_PARAMETRISATION = re.compile(r"^(?P<module>.*?)parametrizations\.(?P<name>[^.]+)\.(?P<part>.+)$")
_SUFFIXED = re.compile(r"^(?P<whole>.+)_(?P<part>orig|mask|g|v|u)$")
_LOW_RANK = re.compile(r"^(?P<module>.+)\.lora_(?:A|B|down|up|embedding_\w)(?:\.|$)")

_BAKE = "bake it in with torch.nn.utils.parametrize.remove_parametrizations and save again"


class _Group(NamedTuple):
    """The parts of one weight: the name of the whole, and its tensors by the name of the part."""

    whole: str
    parts: dict[str, TensorInfo]


def fold_parametrised(tensors: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Return the tensors of a file with each weight in place of its parts.

    Known are pruning (`weight_orig`, `weight_mask`), weight norm and spectral norm in the spelling
    of `torch.nn.utils` and of `torch.nn.utils.parametrizations`; low-rank adapters (LoRA) that were
    not merged are recognised.
    """
    folded = dict(tensors)
    for finder, fold in ((_parametrisation, _fold_parametrisation), (_suffixed, _fold_suffixed)):
        for group in _groups(folded, finder):
            made = fold(group)
            if made is not None and made.key not in folded:
                folded = _replaced(folded, {part.key for part in group.parts.values()}, made)
    return _without_adapters(folded)


_Finder = Callable[[str], tuple[str, str] | None]


def _parametrisation(key: str) -> tuple[str, str] | None:
    match = _PARAMETRISATION.match(key)
    return (match["module"] + match["name"], match["part"]) if match else None


def _suffixed(key: str) -> tuple[str, str] | None:
    match = _SUFFIXED.match(key)
    return (match["whole"], match["part"]) if match else None


def _groups(tensors: Mapping[str, TensorInfo], find: _Finder) -> list[_Group]:
    groups: dict[str, dict[str, TensorInfo]] = {}
    for key, tensor in tensors.items():
        if found := find(key):
            groups.setdefault(found[0], {})[found[1]] = tensor
    return [_Group(whole, parts) for whole, parts in groups.items()]


def _replaced(
    tensors: Mapping[str, TensorInfo], parts: set[str], made: TensorInfo
) -> dict[str, TensorInfo]:
    """Put the whole where the first of its parts stands."""
    result: dict[str, TensorInfo] = {}
    for key, tensor in tensors.items():
        if key not in parts:
            result[key] = tensor
        elif made.key not in result:
            result[made.key] = made
    return result


def _fold_suffixed(group: _Group) -> TensorInfo | None:
    """The older spelling, with the parts beside each other."""
    whole, parts = group
    if parts.keys() == {"orig", "mask"}:
        note = "pruned: the product of weight and mask"
        return _computed(whole, "product", note, parts["orig"], parts["mask"])
    if parts.keys() == {"g", "v"}:
        return _weight_norm(whole, parts["g"], parts["v"])
    if parts.keys() in ({"orig", "u", "v"}, {"orig", "u"}):
        return _spectral_norm(whole, parts["orig"], parts["u"], parts.get("v"))
    return None


def _fold_parametrisation(group: _Group) -> TensorInfo | None:
    """The newer spelling, with the parts below `parametrizations`."""
    whole, parts = group
    if parts.keys() == {"original0", "original1"}:
        return _weight_norm(whole, parts["original0"], parts["original1"])
    if "original" not in parts:
        return None
    original = parts["original"]
    if parts.keys() == {"original"}:
        note = "its parametrisation is a function that is in no file: the original is taken"
        return _renamed(whole, original, note)
    if parts.keys() == {"original", "0._u", "0._v"}:
        return _spectral_norm(whole, original, parts["0._u"], parts["0._v"])
    named = ", ".join(part for part in parts if part != "original")
    why = f"is parametrised by {named} with a formula that is not known here: {_BAKE}"
    return _lacking(whole, original, why)


def _weight_norm(whole: str, magnitude: TensorInfo, direction: TensorInfo) -> TensorInfo:
    sizes = magnitude.shape
    fits = len(sizes) == len(direction.shape) and all(
        size in (1, other) for size, other in zip(sizes, direction.shape, strict=True)
    )
    if not sizes or (fits and sum(size != 1 for size in sizes) <= 1):
        note = "weight norm: the direction, scaled to its magnitude"
        return _computed(whole, "weight norm", note, magnitude, direction, of=direction)
    why = f"is made of two originals that are no weight norm: {_BAKE}"
    return _lacking(whole, direction, why)


def _spectral_norm(
    whole: str, weight: TensorInfo, left: TensorInfo, right: TensorInfo | None
) -> TensorInfo:
    rows = weight.shape[:1]
    if right is not None and left.shape == rows and rows and rows[0]:
        columns = weight.numel // rows[0]
        if right.shape == (columns,):
            note = "spectral norm: the weight, divided by its largest singular value"
            return _computed(whole, "spectral norm", note, weight, left, right)
    why = f"is parametrised by a spectral norm of another layout: {_BAKE}"
    return _lacking(whole, weight, why)


def _computed(
    whole: str, formula: str, note: str, *parts: TensorInfo, of: TensorInfo | None = None
) -> TensorInfo:
    first = parts[0] if of is None else of
    if not all(map(is_readable, parts)):
        return _lacking(whole, first, "is made of parts that cannot be read here")
    if formula == "product" and parts[1].shape != first.shape:
        return _lacking(whole, first, "was pruned with a mask of another shape")
    dtype = result_dtype(first.dtype)
    storage = ComputedStorage(formula, first.shape, dtype, parts)
    return TensorInfo(whole, first.shape, dtype, first.kind, storage, note=note)


def _renamed(whole: str, tensor: TensorInfo, note: str) -> TensorInfo:
    return replace(tensor, key=whole, note=note)


def _lacking(whole: str, like: TensorInfo, why: str) -> TensorInfo:
    return TensorInfo(whole, like.shape, like.dtype, like.kind, lacking=why)


def _without_adapters(tensors: dict[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Mark the weights of layers with low-rank adapters: without them they are not the layer's."""
    modules = {match["module"] for key in tensors if (match := _LOW_RANK.match(key))}
    result = {}
    for key, tensor in tensors.items():
        module, _, leaf = key.rpartition(".")
        module = module.removesuffix(".base_layer")
        if leaf == "weight" and module in modules:
            why = (
                "has a low-rank adapter (LoRA) beside it that was not merged: "
                "call merge_and_unload() and save again"
            )
            key = f"{module}.weight"
            tensor = _lacking(key, tensor, why)
        result[key] = tensor
    return result
