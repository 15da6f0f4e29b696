"""Checkpoints that were listed, without a file and without values: names and shapes only."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rtdetr_nb.architecture.state_dict_table import backbone_keys
from rtdetr_nb.checkpoint.checkpoint import Checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.comparison.judge import judge
from rtdetr_nb.checkpoint.naming.user_renames import read_renames
from rtdetr_nb.checkpoint.reading.tensor_info import TensorInfo
from rtdetr_nb.text.findings import Verdict
from tests.checkpoint.wild import CONFIG

Shapes = Mapping[str, tuple[int, ...]]

BACKBONE_SHAPES: Shapes = MappingProxyType(
    {name: info.shape for name, info in backbone_keys("L", freeze_norm=True).items()}
)


def named(change: Callable[[str], str], shapes: Shapes = BACKBONE_SHAPES) -> Shapes:
    """The tensors under other names."""
    return {change(name): shape for name, shape in shapes.items()}


def below(prefix: str, shapes: Shapes = BACKBONE_SHAPES) -> Shapes:
    """The tensors behind a prefix."""
    return named(lambda name: prefix + name, shapes)


def listed(shapes: Shapes, tree: Any = None, rename: Any = None, dtype: str = "float32"):
    """A checkpoint of these tensors."""
    tensors = {key: TensorInfo(key, tuple(shape), dtype) for key, shape in shapes.items()}
    renames = read_renames(rename)
    return Checkpoint(Path("file.pth"), "torch zip", tensors, {}, tree or {}, (), renames=renames)


def verdict_on(shapes: Shapes, **options: Any) -> Verdict:
    """The verdict on names and shapes; no value is looked at."""
    return judge(compare(listed(shapes, **options), CONFIG), rows=())
