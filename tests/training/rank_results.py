"""What programs of `rank_programs` have saved in each rank."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.small_runs import TrainServer

_PROGRAMS = "tests.training.rank_programs"


def run_ranks(server: TrainServer, count: int, *arguments: object, output: Path) -> list[Any]:
    """Run a program of `rank_programs` in each rank; what they have saved, by rank."""
    return [torch.load(path) for path in run_to_files(server, count, *arguments, output=output)]


def run_to_files(server: TrainServer, count: int, *arguments: object, output: Path) -> list[Path]:
    """Run a program of `rank_programs` in each rank; the files that they have written, by rank."""
    result = output / "result"
    function, *rest = arguments
    words = ["call", _PROGRAMS, function, *rest, result]
    children = server.start_ranks(count, *words, output=output / "log")
    assert [child.wait() for child in children] == [0] * count, children[0].text()
    return [output / f"result.{rank}" for rank in range(count)]


def norm(tensors: Mapping[str, Tensor]) -> float:
    """Of all values together."""
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors.values()))


def difference(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """Norm of the difference over the norm of what is expected."""
    assert found.keys() == expected.keys()
    return norm({name: found[name] - expected[name] for name in found}) / norm(expected)
