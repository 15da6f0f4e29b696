"""Plain YAML values, nested dicts and lists: copied, merged, and changed by dotted keys."""

import numbers
import os
import re
from collections.abc import Mapping
from typing import Any

from yaml import YAMLError

from rtdetr_nb.config.yaml_text import read_yaml
from rtdetr_nb.errors import ConfigError


def copy_plain(value: Any) -> Any:
    """Copy into dicts, lists, numbers and texts that share nothing.

    What a YAML file names by an alias (`*name`) becomes a copy too.
    """
    if isinstance(value, Mapping):
        return {key: copy_plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [copy_plain(inner) for inner in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):  # those of numpy too
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    return value


def merge(base: dict[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings in place, key by key; any other value of `top` replaces that of `base`."""
    for key, value in top.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value
    return base


def apply_override(merged: dict[str, Any], override: str) -> None:
    """Apply an assignment such as `HGNetv2.freeze_at=-1` in place.

    Raises:
        ConfigError: it has no `=`, its value is not YAML, or its key leads nowhere.
    """
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"The override {override!r} is not an assignment; expected section.key=value, for "
            "example HGNetv2.freeze_at=-1."
        )
    try:
        assign(merged, key.strip(), copy_plain(read_yaml(value)))
    except (YAMLError, ConfigError, RecursionError) as error:
        raise ConfigError(
            f"The override {override!r} cannot be applied: {in_one_line(error)}"
        ) from error


def assign(merged: dict[str, Any], key: str, value: Any) -> None:
    """Set the value at a dotted key, in place; a mapping is merged into the one that is there.

    Raises:
        ConfigError: the key asks for an element that a list does not have.
    """
    # `params[0]` is another way to write `params.0`.
    *path, last = re.sub(r"\[(\w+)\]", r".\1", key).split(".")
    owner: Any = merged
    for name in path:
        inner = _get(owner, name, key)
        if not isinstance(inner, dict | list):
            inner = {}
            _set(owner, name, inner)
        owner = inner
    present = _get(owner, last, key)
    if isinstance(present, dict) and isinstance(value, dict):
        merge(present, value)
    else:
        _set(owner, last, value)


def _get(owner: dict[str, Any] | list[Any], name: str, key: str) -> Any:
    """The element of a mapping, or None without one; or the element of a list."""
    if isinstance(owner, dict):
        return owner.get(name)
    if not name.isdecimal() or int(name) >= len(owner):
        raise ConfigError(
            f"{key!r} asks for the element {name!r} of a list of {len(owner)}; expected a number "
            "from 0, below that."
        )
    return owner[int(name)]


def _set(owner: Any, name: str, value: Any) -> None:
    owner[int(name) if isinstance(owner, list) else name] = value


def in_one_line(error: BaseException) -> str:
    """The message of an error without its line breaks."""
    return " ".join(str(error).split())
