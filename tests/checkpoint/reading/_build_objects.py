"""Objects that real checkpoints hold beside their tensors, and a class that goes missing."""

import argparse
import collections
import datetime
import pathlib
import sys
import types
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf


class Color(Enum):
    """An enum of the user's project."""

    RED = 1


def foreign_objects() -> dict[str, Any]:
    """Everything that `torch.load(weights_only=True)` refuses to load beside tensors."""
    return {
        "namespace": argparse.Namespace(lr=0.1, output=pathlib.PurePosixPath("/a/b")),
        "path": pathlib.PosixPath("/a/b"),
        "numpy scalar": np.float64(0.25),
        "numpy array": np.arange(6.0).reshape(2, 3),
        "numpy dtype": np.dtype("f4"),
        "numpy random": np.random.RandomState(0).get_state(),
        "omegaconf": OmegaConf.create({"a": {"b": [1, 2]}}),
        "defaultdict": collections.defaultdict(list, {"a": [1]}),
        "deque": collections.deque([1, 2]),
        "counter": collections.Counter("aab"),
        "datetime": datetime.datetime(2024, 5, 6, 7, 8),
        "timedelta": datetime.timedelta(seconds=3),
        "uuid": uuid.UUID(int=5),
        "simple": types.SimpleNamespace(value=3),
        "enum": Color.RED,
        "slice": slice(1, 2),
        "range": range(5),
        "complex": 1 + 2j,
        "set": {1, 2},
        "bytes": b"\x00\xff",
        "bytearray": bytearray(b"ab"),
        "size": torch.Size([2, 3]),
        "device": torch.device("cuda:1"),
        "dtype": torch.bfloat16,
        "class": torch.nn.Linear,
        "function": torch.relu,
        "partial": __import__("functools").partial(print, "x"),
        "sparse": torch.eye(3).to_sparse(),
        "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        "meta": torch.empty(3, device="meta"),
        "generator": torch.Generator().get_state(),
        "named tuple": torch.ones(2, 2).max(0),
    }


@contextmanager
def missing_module(name: str = "cvperception_core") -> Iterator[type]:
    """A class whose module is gone when the block is left."""
    module = types.ModuleType(name)
    exec("class Config:\n    pass\n", module.__dict__)
    sys.modules[name] = module
    try:
        yield module.Config
    finally:
        del sys.modules[name]
