"""The input format that a file states: in words of mmengine, LightlyTrain, timm, or ours.

Nothing in the file is run: a configuration that is stored as Python text is parsed, not executed.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rtdetr_nb.checkpoint.checkpoint import Checkpoint
from rtdetr_nb.checkpoint.reading.tensor_info import Opaque, TensorInfo
from rtdetr_nb.checkpoint.tuning.input_format import FORMATS, InputFormat, Triple, canonical
from rtdetr_nb.errors import TuningError

_MOST_VALUES = 50_000  # of a file that are looked at
_LONGEST_TEXT = 1 << 20  # characters of a configuration
_LONGEST_NEIGHBOUR = 1 << 20  # bytes of a file beside the weights
_MM_SECTIONS = ("data_preprocessor", "img_norm_cfg")
_BESIDE = 99  # deeper than anything in the file: what the file says comes first
_NEIGHBOURS = ("config.json", "preprocessor_config.json")


@dataclass(frozen=True)
class Statement:
    """A format and the place in the file (or the file beside it) that names it."""

    format: InputFormat
    where: str


def stated_formats(checkpoint: Checkpoint) -> list[Statement]:
    """Every input format that the file states, or the settings beside it, the outermost first.

    Statements of one file can differ: that of a distillation may describe its teacher too.
    """
    found = [*_in_tree(checkpoint.tree), *_beside(checkpoint.path)]
    kept: list[Statement] = []
    for _, statement in sorted(found, key=lambda item: item[0]):
        if not any(statement.format.same_as(other.format) for other in kept):
            kept.append(statement)
    return kept


Found = tuple[int, Statement]  # how deep it lies, and what


def _in_tree(tree: object) -> Iterator[Found]:
    for depth, path, key, value in _walk(tree):
        if key == "rtdetr_nb":
            yield from _own(depth, path, value)
        elif key == "normalize_args" or key in ("pretrained_cfg", "default_cfg"):
            yield from _as_found(depth, path, _mean_and_std(value), 1.0)
        elif key in _MM_SECTIONS:
            yield from _of_mm(depth, path, _named(value))
        elif key in ("cfg", "config") and isinstance(value, str):
            yield from _in_text(depth, path, value)


def _walk(tree: object) -> Iterator[tuple[int, str, str, object]]:
    """Depth, path, key and value of everything that has a name, nearest to the top first."""
    level: list[tuple[str, object]] = [("", tree)]
    depth, seen = 0, 0
    while level and seen < _MOST_VALUES:
        deeper: list[tuple[str, object]] = []
        for path, node in level:
            for key, value in _named(node).items():
                if isinstance(value, TensorInfo) or not isinstance(key, str):
                    continue
                seen += 1
                inner = f"{path}.{key}" if path else key
                yield depth, inner, key, value
                deeper.append((inner, value))
        level, depth = deeper, depth + 1


def _named(node: object) -> Mapping[object, object]:
    if isinstance(node, Opaque):
        return {**node.items, **node.attributes}
    return node if isinstance(node, Mapping) else {}


def _own(depth: int, path: str, value: object) -> Iterator[Found]:
    """A tuning file of ours into whose stem a format was folded expects plain pictures."""
    if _named(value).get("input_format"):
        yield depth, Statement(FORMATS["zero_one"], f"{path}.input_format (folded into the stem)")


def _mean_and_std(value: object) -> tuple[object, object]:
    named = _named(value)
    return named.get("mean"), named.get("std")


def _as_found(
    depth: int, path: str, figures: tuple[object, object], scale: float, order: str = "RGB"
) -> Iterator[Found]:
    mean, std = map(_triple, figures)
    if mean and std:
        try:
            stated = InputFormat("stated", mean, std, scale, order)
        except TuningError:
            return
        yield depth, Statement(canonical(stated), path)


def _triple(value: object) -> Triple | None:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 3:
        numbers = [float(v) for v in value if isinstance(v, int | float)]
        if len(numbers) == 3:
            return numbers[0], numbers[1], numbers[2]
    return None


def _of_mm(depth: int, path: str, section: Mapping[object, object]) -> Iterator[Found]:
    """Of `data_preprocessor` or the older `img_norm_cfg`: values 0 to 255, read as BGR."""
    turned = section.get("bgr_to_rgb", section.get("to_rgb", "img_norm_cfg" in path))
    figures = section.get("mean"), section.get("std")
    if figures == (None, None) and "type" in section:
        figures = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)  # no normalisation
    yield from _as_found(depth, path, figures, 255.0, "RGB" if turned else "BGR")


def _in_text(depth: int, path: str, text: str) -> Iterator[Found]:
    """Sections of a configuration in Python's words, as mmengine saves it."""
    if len(text) > _LONGEST_TEXT:
        return
    try:
        parsed = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    level: list[ast.AST] = [parsed]
    while level:
        for node in level:
            for name, value in _assigned(node):
                if name in _MM_SECTIONS:
                    yield from _of_mm(depth, f"{path}: {name}", _literal_dict(value))
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        depth += 1


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, node.value
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


def _literal_dict(node: ast.AST) -> dict[object, object]:
    """Entries of `dict(...)` or `{...}` that are plain values; the rest is left out."""
    if isinstance(node, ast.Call):
        pairs = [(keyword.arg, keyword.value) for keyword in node.keywords if keyword.arg]
    else:
        pairs = list(_assigned(node)) if isinstance(node, ast.Dict) else []
    plain: dict[object, object] = {}
    for name, value in pairs:
        try:
            plain[name] = ast.literal_eval(value)  # pyright: ignore[reportArgumentType]
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
    return plain


def _beside(path: Path) -> Iterator[Found]:
    """The settings that timm and Hugging Face save in a file of the same folder."""
    folder = path if path.is_dir() else path.parent
    if path.suffix not in (".safetensors", ".bin", ".json") and path != folder:
        return  # other libraries do not save that way, and the folder may hold anything
    for name in _NEIGHBOURS:
        content = _read_json(folder / name)
        yield from _as_found(_BESIDE, f"{name} beside it", _neighbour_figures(content), 1.0)


def _neighbour_figures(content: Mapping[object, object]) -> tuple[object, object]:
    if "pretrained_cfg" in content:
        return _mean_and_std(content["pretrained_cfg"])
    if content.get("do_normalize") is False and content.get("do_rescale", True):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if content.get("do_normalize"):
        return content.get("image_mean"), content.get("image_std")
    return None, None


def _read_json(path: Path) -> Mapping[object, object]:
    try:
        if path.stat().st_size > _LONGEST_NEIGHBOUR:
            return {}
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
