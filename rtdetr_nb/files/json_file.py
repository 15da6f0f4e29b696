"""JSON as the kit writes and reads it: files that may be missing, numbers that are not finite.

JSON has no infinity and no NaN. They are written as the words "inf", "-inf" and "nan", which any
reader of JSON accepts, and become numbers again where a number is expected.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_WORDS = ("inf", "-inf", "nan")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; empty if the file is missing or holds no JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def to_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON text, numbers that are not finite as words; see `as_number`."""
    return json.dumps(_with_words(value), indent=indent, allow_nan=False)


def as_number(value: Any) -> Any:
    """Return the number that `to_json` wrote as a word; any other value as it is."""
    return float(value) if isinstance(value, str) and value in _WORDS else value


def _with_words(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _with_words(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_words(item) for item in value]
    return value
