"""The way back: a selection written as another library would have saved it.

To hand a backbone on, and to see the dialects side by side without installing the libraries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.naming.dialects import BATCH_NORM_EPS, ULTRALYTICS_EPS, Rule
from rtdetr_nb.errors import TuningError
from rtdetr_nb.files.atomic_file import write_atomically

if TYPE_CHECKING:
    import pandas
    import torch

_PLAIN_STEM = Rule("plain stem", r"^(stem\.stem2[ab]\.conv)\.1\.", r"\1.")
_AGGREGATION = (
    _PLAIN_STEM,
    Rule("squeeze", r"\.aggregation_squeeze_conv\.", ".aggregation.0."),
    Rule("excitation", r"\.aggregation_excitation_conv\.", ".aggregation.1."),
)


@dataclass(frozen=True)
class Spelling:
    """How a library saves HGNetv2.

    Attributes:
        title: the library.
        rules: from the official names behind `backbone.` to the library's.
        prefix: what stands before these names.
        wrapper: the top-level key that holds the state dict; "" for none.
        numbered: whether stages and blocks are numbered through, as Ultralytics does.
        eps: the epsilon of the library's norms.
    """

    title: str
    rules: tuple[Rule, ...] = ()
    prefix: str = ""
    wrapper: str = ""
    numbered: bool = False
    eps: float = BATCH_NORM_EPS


SPELLINGS: Mapping[str, Spelling] = {
    "timm": Spelling(
        "timm, features only",
        (Rule("stages", r"^stages\.(\d)\.", r"stages_\1."), *_AGGREGATION),
    ),
    "huggingface": Spelling(
        "Hugging Face transformers",
        (
            *_AGGREGATION,
            Rule("norm", r"\.bn\.", ".normalization."),
            Rule("convolution", r"\.conv\.", ".convolution."),
            Rule("stages", r"^stages\.", "encoder.stages."),
            Rule("embedder", r"^stem\.", "embedder."),
        ),
        prefix="model.backbone.model.",
    ),
    "ultralytics": Spelling(
        "Ultralytics",
        (
            _PLAIN_STEM,
            Rule("layers", r"\.layers\.(\d+)\.", r".m.\1."),
            Rule("squeeze", r"\.aggregation_squeeze_conv\.", ".sc."),
            Rule("excitation", r"\.aggregation_excitation_conv\.", ".ec."),
        ),
        prefix="model.",
        wrapper="model",
        numbered=True,
        eps=ULTRALYTICS_EPS,
    ),
    "paddle": Spelling(
        "PaddleDetection",
        (
            _PLAIN_STEM,
            Rule("mean", r"\.running_mean$", "._mean"),
            Rule("variance", r"\.running_var$", "._variance"),
        ),
        prefix=BACKBONE,
    ),
    "mmengine": Spelling("mmengine", prefix=BACKBONE, wrapper="state_dict"),
}


def spell(names: Iterable[str], spelling: Spelling) -> dict[str, str]:
    """Return official names without `backbone.` -> the library's names with its prefix."""
    names = list(names)
    numbers = _layer_numbers(names) if spelling.numbered else {}
    spelled = {}
    for name in names:
        renamed = name
        for rule in spelling.rules:
            renamed = re.sub(rule.pattern, rule.replacement, renamed)
        if numbers:
            part = _numbered_part(name)
            renamed = f"{numbers[part]}{renamed.removeprefix(part)}"
        spelled[name] = spelling.prefix + renamed
    return spelled


def spelling_table(names: Iterable[str]) -> pandas.DataFrame:
    """Return one line a tensor and library: the official name, the library, and its name.

    Args:
        names: names of the backbone, with or without `backbone.`.
    """
    import pandas

    official = [name.removeprefix(BACKBONE) for name in names]
    spelled = {library: spell(official, spelling) for library, spelling in SPELLINGS.items()}
    lines = [
        (BACKBONE + name, library, theirs[name])
        for name in official
        for library, theirs in spelled.items()
    ]
    return pandas.DataFrame(lines, columns=["official", "library", "name there"])


def write_as(selection: Selection, path: str | PathLike[str], library: str) -> Path:
    """Write the selected backbone as `library` would have saved it; replaces an existing file.

    Args:
        selection: what to write; only tensors of the backbone have names elsewhere.
        path: the file.
        library: one of `SPELLINGS`.

    Raises:
        TuningError: the library is not known, the backbone is not in the selection, or the file
            cannot be written.
    """
    if library not in SPELLINGS:
        raise TuningError(f"There is no spelling {library!r}; known: {', '.join(SPELLINGS)}.")
    spelling, path = SPELLINGS[library], Path(path)
    state = {
        key.removeprefix(BACKBONE): value
        for key, value in selection.read().items()
        if key.startswith(BACKBONE)
    }
    if not state:
        raise TuningError("The selection has no tensor of the backbone.")
    renamed = {
        name: _with_eps(official, state[official], spelling)
        for official, name in spell(state, spelling).items()
    }
    content = {spelling.wrapper: renamed} if spelling.wrapper else renamed
    try:
        write_atomically(path, lambda temporary: _save(content, temporary))
    except (OSError, RuntimeError) as error:
        raise TuningError(f"{path} cannot be written: {error}.") from error
    return path


def _save(content: Mapping[str, Any], path: Path) -> None:
    import torch

    torch.save(dict(content), path)


def _with_eps(official: str, value: torch.Tensor, spelling: Spelling) -> torch.Tensor:
    """Take out of the variance what the library's norm adds beyond the official epsilon."""
    if spelling.eps == BATCH_NORM_EPS or not official.endswith(".running_var"):
        return value
    return (value.double() - (spelling.eps - BATCH_NORM_EPS)).float()


def _layer_numbers(names: Iterable[str]) -> dict[str, int]:
    """Number the parts through: the stem, then each stage's downsampling and blocks."""
    return {part: i for i, part in enumerate(dict.fromkeys(map(_numbered_part, names)))}


def _numbered_part(name: str) -> str:
    match = re.match(r"stem|stages\.\d+\.(?:downsample|blocks\.\d+)", name)
    return match[0] if match else name.partition(".")[0]
