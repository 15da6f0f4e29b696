"""From merged YAML to the typed sections of the schema; what does not fit is named by its key."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec

from rtdetr_nb.config import schema
from rtdetr_nb.config.config_file import FOREIGN_SECTIONS, SECTIONS, SHARED_VALUES
from rtdetr_nb.errors import ConfigError

Parts = list[tuple[str, Any, Any]]
"""Name, type and value of each part of a value."""


def read_sections(merged: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The fields of `ConfigFile`, as the merged content of a file gives them.

    Args:
        merged: plain dicts and lists under the official names.
        source: what the messages call the file.

    Raises:
        ConfigError: a key that is not known, or a value of the wrong type.
    """
    settings_names = [field.name for field in fields(schema.Settings)]
    # Checked first: a wrong value would otherwise be reported for each section that gets it.
    top = {key: value for key, value in merged.items() if key in settings_names}
    settings = _read_section(schema.Settings, top, "the top level", source)
    values = {name: getattr(settings, name) for name in settings_names}
    for key, value in merged.items():
        if key in SECTIONS:
            name, kind = SECTIONS[key]
            if value is not None:
                content = _with_shared(kind, value, merged)
                values[name] = _read_section(kind, content, f"section {key}", source)
        elif key not in settings_names and key not in FOREIGN_SECTIONS:
            known = [*settings_names, *SECTIONS]
            raise ConfigError(f"{source}: there is no key {str(key)!r}.{_nearest(key, known)}")
    return values


def _with_shared(kind: type, section: Any, merged: Mapping[str, Any]) -> Any:
    """A section with the top-level values that the official code hands down to it."""
    if not isinstance(section, dict):
        return section
    names = {field.name for field in fields(kind)}
    shared = {k: merged[k] for k in SHARED_VALUES if k in names and k in merged}
    if kind is schema.CriterionConfig and isinstance(section.get("matcher"), dict):
        matcher = _with_shared(schema.MatcherConfig, section["matcher"], merged)
        section = {**section, "matcher": matcher}
    if kind is schema.DataLoaderConfig and isinstance(section.get("dataset"), dict):
        dataset = _with_shared(schema.DatasetConfig, section["dataset"], merged)
        section = {**section, "dataset": dataset}
    return {**section, **shared}


def _read_section(kind: type, content: Any, where: str, source: str) -> Any:
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: {where} is {content!r}; expected a mapping of keys.")
    try:
        refuse_unfit(kind, content)
        return msgspec.convert(content, kind)
    except (ConfigError, msgspec.ValidationError) as error:
        raise ConfigError(f"{source}: in {where}, {error}") from error


def refuse_unfit(kind: Any, value: Any, path: tuple[str, ...] = ()) -> None:
    """Refuse the first key or value inside `value` that a type of the schema does not have.

    msgspec says where in its messages only. Here each value is looked at by itself, so that its
    key is known.

    Raises:
        ConfigError: names the key by its dotted path.
    """
    if is_dataclass(kind) and isinstance(value, dict):
        parts = _fields_of(kind, value, path)
    else:
        parts = _elements_of(kind, value)
    for name, inner_kind, inner in parts or ():
        refuse_unfit(inner_kind, inner, (*path, name))
    if parts is None:
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            key = ".".join(path)
            raise ConfigError(f"key {key!r} is {value!r}: {_reworded(str(error))}") from error


def _fields_of(kind: Any, value: dict[Any, Any], path: tuple[str, ...]) -> Parts:
    kinds = {field.name: field.type for field in fields(kind)}
    for key in value:
        if key not in kinds:
            dotted = ".".join((*path, str(key)))
            raise ConfigError(f"there is no key {dotted!r}.{_nearest(key, kinds)}")
    return [(key, kinds[key], inner) for key, inner in value.items()]


def _elements_of(kind: Any, value: Any) -> Parts | None:
    """The elements of a list or mapping whose type says what they are; None for other values."""
    if get_origin(kind) in (Union, UnionType):
        choices = [choice for choice in get_args(kind) if choice is not NoneType]
        return None if value is None or len(choices) > 1 else _elements_of(choices[0], value)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is dict and isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return [(key, inner[1], element) for key, element in value.items()]
    if origin is not tuple or not isinstance(value, list):
        return None
    kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
    if len(kinds) != len(value):
        return None
    pairs = zip(kinds, value, strict=True)
    return [(str(index), *pair) for index, pair in enumerate(pairs)]


def _reworded(message: str) -> str:
    """A message of msgspec in the words of YAML, without its own way of naming a place."""
    wrong = message.partition(" - at ")[0]
    for theirs, ours in (("object", "mapping"), ("array", "list")):
        wrong = wrong.replace(f"`{theirs}", f"`{ours}")
    return f"{wrong[:1].lower()}{wrong[1:]}"


def _nearest(key: object, known: Iterable[str]) -> str:
    """A hint at the known key that is most like `key`, if one is."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(key).lower(), by_lower, n=1, cutoff=0.6)
    if close:
        return f" Did you mean {by_lower[close[0]]!r}?"
    return f" Known keys are: {', '.join(sorted(by_lower.values()))}."
