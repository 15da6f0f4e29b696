"""Checkpoint files as users have them, built small and with known values.

All tensors of a file are views of one storage of random numbers, at an offset that depends on the
tensor's name: shapes are the real ones, values differ from tensor to tensor, and a whole detector
takes 24 MB instead of 130.
"""

import sys
import types
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtdetr_nb.architecture.state_dict_table import backbone_keys, model_keys
from rtdetr_nb.config.load import load_config

_STORAGE_SIZE = 6_000_000

CONFIG = load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.pretrained=False"])


@cache
def _numbers() -> Tensor:
    """Positive numbers around 1, which also do for variances."""
    return torch.rand(_STORAGE_SIZE, generator=torch.Generator().manual_seed(0)) + 0.5


def tensor(name: str, shape: tuple[int, ...], dtype: str = "float32", salt: str = "") -> Tensor:
    """The tensor of that name; `salt` tells copies of one model apart."""
    if dtype == "int64":
        return torch.tensor(7 + len(salt))
    if dtype == "bool":
        return torch.ones(shape, dtype=torch.bool)
    numel = torch.Size(shape).numel()
    start = zlib.crc32((salt + name).encode()) % (_STORAGE_SIZE - numel)
    return _numbers()[start : start + numel].view(shape)


def detector(salt: str = "", overrides: tuple[str, ...] = (), variant: str = "l") -> dict:
    """An official state dict: 869 keys for L with frozen norms."""
    config = load_config(f"rtdetrv2_hgnetv2_{variant}_6x_coco", overrides)
    return {
        key: tensor(key, info.shape, info.dtype, salt) for key, info in model_keys(config).items()
    }


def backbone(salt: str = "", live: bool = False, use_lab: bool = False, variant: str = "L") -> dict:
    """A bare official backbone: 400 keys for L, 480 with live norms."""
    table = backbone_keys(variant, freeze_norm=not live, use_lab=use_lab)
    return {
        key: tensor(f"backbone.{key}", info.shape, info.dtype, salt) for key, info in table.items()
    }


def prefixed(prefix: str, state: Mapping[str, Any]) -> dict[str, Any]:
    return {prefix + key: value for key, value in state.items()}


def as_dfine(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """D-FINE's, DEIM's, RT-DETRv4's and timm's spelling of a state dict."""
    return {
        key.replace("_squeeze_conv.", ".0.", 1)
        .replace("_excitation_conv.", ".1.", 1)
        .replace("conv.1.weight", "conv.weight"): value
        for key, value in state.items()
    }


def as_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        key.replace("stem.", "embedder.", 1)
        .replace("stages.", "encoder.stages.", 1)
        .replace(".conv.", ".convolution.")
        .replace(".bn.", ".normalization."): value
        for key, value in as_dfine(state).items()
    }


def as_paddle(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """PaddleDetection's spelling, as arrays of numpy."""
    return {
        key.replace("conv.1.weight", "conv.weight")
        .replace("running_mean", "_mean")
        .replace("running_var", "_variance"): value.numpy()
        for key, value in state.items()
    }


_ULTRALYTICS_PARTS = (
    ("stem.", "0."),
    ("stages.0.blocks.0.", "1."),
    ("stages.1.downsample.", "2."),
    ("stages.1.blocks.0.", "3."),
    ("stages.2.downsample.", "4."),
    ("stages.2.blocks.0.", "5."),
    ("stages.2.blocks.1.", "6."),
    ("stages.2.blocks.2.", "7."),
    ("stages.3.downsample.", "8."),
    ("stages.3.blocks.0.", "9."),
)


def as_ultralytics(state: Mapping[str, Tensor], fused: bool = False) -> dict[str, Tensor]:
    """Ultralytics' rtdetr-l, with the first convolution of its neck behind the backbone."""
    renamed = {}
    for key, value in state.items():
        old, new = next(part for part in _ULTRALYTICS_PARTS if key.startswith(part[0]))
        key = new + key.removeprefix(old)
        key = key.replace("layers.", "m.").replace("conv.1.weight", "conv.weight")
        key = key.replace("aggregation_squeeze_conv", "sc").replace(
            "aggregation_excitation_conv", "ec"
        )
        if fused and ".bn." in key:
            if not key.endswith("bn.bias"):
                continue
            key = key.replace("bn.bias", "conv.bias")
        renamed[key] = value
    renamed["10.conv.weight"] = tensor("neck", (256, 2048, 1, 1))
    return prefixed("model.", renamed)


def nest(state: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": x} -> {"a": {"b": x}}."""
    root: dict[str, Any] = {}
    for key, value in state.items():
        *folders, leaf = key.split(".")
        place = root
        for folder in folders:
            place = place.setdefault(folder, {})
        place[leaf] = value
    return root


@contextmanager
def foreign_class(path: str, base: type = object) -> Iterator[type]:
    """A class of a module that exists while a file is written, and not when it is read."""
    module_name, _, name = path.rpartition(".")
    parents = [module_name.rsplit(".", depth)[0] for depth in range(module_name.count(".") + 1)]
    added = [parent for parent in parents if parent not in sys.modules]
    for parent in added:
        sys.modules[parent] = types.ModuleType(parent)
    cls = type(name, (base,), {"__module__": module_name})
    setattr(sys.modules[module_name], name, cls)
    try:
        yield cls
    finally:
        for parent in added:
            del sys.modules[parent]


def as_module(state: Mapping[str, Tensor], root: type, norm_eps: float = 1e-5) -> nn.Module:
    """A pickled-able module tree with the given state dict, as some libraries save whole."""
    top = root()
    for key, value in state.items():
        *path, leaf = key.split(".")
        place = top
        for word in path:
            if word not in place._modules:
                is_norm = word in ("bn", "norm")
                child = nn.BatchNorm2d(1, eps=norm_eps) if is_norm else nn.Module()
                child._parameters.clear()
                child._buffers.clear()
                place.add_module(word, child)
            place = place.get_submodule(word)
        if leaf in ("weight", "bias") and value.is_floating_point():
            place.register_parameter(leaf, nn.Parameter(value))
        else:
            place.register_buffer(leaf, value)
    return top


def save(content: Any, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path
