"""How libraries name the tensors of HGNetv2: one table, read in both directions.

A dialect is recognised inside the tensors that share a prefix. Its rules turn the names behind that
prefix into official names relative to the backbone (`stem.stem1.conv.weight`), and back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

BATCH_NORM_EPS = 1e-5
"""The epsilon of the official norms."""
ULTRALYTICS_EPS = 1e-3


@dataclass(frozen=True)
class Rule:
    """One renaming in both directions: a regular expression, and what replaces it.

    Attributes:
        name: what the renaming is called where it is shown.
        pattern, replacement: from the library's name behind the prefix to the official one.
        back_pattern, back_replacement: from the official name to the library's.
    """

    name: str
    pattern: str
    replacement: str
    back_pattern: str
    back_replacement: str


@dataclass(frozen=True)
class Dialect:
    """The names of one library.

    Attributes:
        name: what it is called here.
        title: the library.
        anchor: finds the first convolution of the stem and captures the prefix before the backbone.
        signature: some name has to match it; among dialects with one anchor the first that does is
            meant.
        rules: the renamings to the official names, in order; back they are applied in reverse.
        numbered: stages and blocks are numbered through, as the layers of one list.
        eps: the epsilon that the library's norms compute with.
        library: what `write_as` calls the dialect; empty for dialects that are only read.
        prefix: what the library writes before these names.
        wrapper: the top-level key that holds the state dict; empty if the file is the state dict.
    """

    name: str
    title: str
    anchor: str
    signature: str
    rules: tuple[Rule, ...]
    numbered: bool = False
    eps: float = BATCH_NORM_EPS
    library: str = ""
    prefix: str = ""
    wrapper: str = ""


def _swap(name: str, theirs: str, official: str, start: str = "", end: str = "") -> Rule:
    """Make a rule of two words that take each other's place, if wanted at one end of the name."""
    pattern, back_pattern = (f"{start}{re.escape(word)}{end}" for word in (theirs, official))
    return Rule(name, pattern, official, back_pattern, theirs)


_STEM_ANCHOR = r"^(?P<prefix>(?:.*\.)?)stem\.stem1\.conv\.weight$"
_HUGGING_FACE_ANCHOR = r"^(?P<prefix>(?:.*\.)?)embedder\.stem1\.convolution\.weight$"
_ULTRALYTICS_ANCHOR = r"^(?P<prefix>(?:.*\.)?)\d+\.stem1\.conv\.weight$"

# A file of some stages only has no stem to find it by; only HGNetv2 has these parts.
PARTIAL_ANCHORS = (
    r"^(?P<prefix>(?:.*\.)?)stages[._]\d\.blocks\.\d+\.layers\.\d+\.(?:conv[12]\.)?conv\.weight$",
    r"^(?P<prefix>(?:.*\.)?)stages[._]\d\.blocks\.\d+\.aggregation[._a-z01]*\.conv\.weight$",
    r"^(?P<prefix>(?:.*\.)?)stem\.stem(?:2[ab]|3|4)\.conv\.(?:1\.)?weight$",
    r"^(?P<prefix>(?:.*\.)?)encoder\.stages\.\d\.blocks\.\d+\.layers\.\d+\..*convolution\.weight$",
)

# A convolution of the stem that pads stands behind its padding in the official model.
_PADDED_STEM = Rule(
    "padded stem",
    r"^(stem\.stem2[ab]\.conv)\.(weight|bias)$",
    r"\1.1.\2",
    r"^(stem\.stem2[ab]\.conv)\.1\.",
    r"\1.",
)
_AGGREGATION = (
    _swap("squeeze", ".aggregation.0.", ".aggregation_squeeze_conv."),
    _swap("excitation", ".aggregation.1.", ".aggregation_excitation_conv."),
    _PADDED_STEM,
)

DIALECTS: tuple[Dialect, ...] = (
    Dialect(
        "huggingface",
        "Hugging Face transformers",
        _HUGGING_FACE_ANCHOR,
        r"(^embedder|\.convolution)\.",
        (
            _swap("embedder", "embedder.", "stem.", start="^"),
            _swap("encoder stages", "encoder.stages.", "stages.", start="^"),
            _swap("convolution", ".convolution.", ".conv."),
            _swap("normalization", ".normalization.", ".bn."),
            *_AGGREGATION,
        ),
        library="huggingface",
        prefix="model.backbone.model.",
    ),
    Dialect(
        "ultralytics",
        "Ultralytics",
        _ULTRALYTICS_ANCHOR,
        r"^\d+\.stem1\.",
        (
            Rule("layers", r"\.m\.(\d+)\.", r".layers.\1.", r"\.layers\.(\d+)\.", r".m.\1."),
            _swap("squeeze", ".sc.", ".aggregation_squeeze_conv."),
            _swap("excitation", ".ec.", ".aggregation_excitation_conv."),
            _PADDED_STEM,
        ),
        numbered=True,
        eps=ULTRALYTICS_EPS,
        library="ultralytics",
        prefix="model.",
        wrapper="model",
    ),
    Dialect(
        "paddle",
        "PaddleDetection or PaddleClas",
        _STEM_ANCHOR,
        r"\.bn\._(mean|variance)$",
        (
            _swap("running mean", "._mean", ".running_mean", end="$"),
            _swap("running variance", "._variance", ".running_var", end="$"),
            _PADDED_STEM,
        ),
        library="paddle",
        prefix="backbone.",
    ),
    Dialect(
        "timm_features",
        "timm, features only",
        _STEM_ANCHOR,
        r"^stages_\d\.",
        (
            Rule("stage list", r"^stages_(\d)\.", r"stages.\1.", r"^stages\.(\d)\.", r"stages_\1."),
            *_AGGREGATION,
        ),
        library="timm",
    ),
    Dialect(
        "timm",
        "timm classifier",
        _STEM_ANCHOR,
        r"^head\.(last_conv|fc)\.",
        _AGGREGATION,
    ),
    Dialect(
        "dfine",
        "D-FINE, DEIM, RT-DETRv4 or timm without its head",
        _STEM_ANCHOR,
        r"\.aggregation\.[01]\.|^stem\.stem2[ab]\.conv\.weight$",
        _AGGREGATION,
        library="dfine",
    ),
    Dialect(
        "official",
        "official RT-DETRv2",
        _STEM_ANCHOR,
        r"",
        (),
        library="mmengine",
        prefix="backbone.",
        wrapper="state_dict",
    ),
)
"""The dialects in the order in which they are tried; any name matches the last."""


def recognise_dialect(names: Iterable[str]) -> Dialect:
    """Return the dialect of names that follow one prefix; official if nothing else shows."""
    names = list(names)
    for dialect in DIALECTS:
        signature = re.compile(dialect.signature)
        if any(signature.search(name) for name in names):
            return dialect
    raise AssertionError("the official dialect matches any name")
