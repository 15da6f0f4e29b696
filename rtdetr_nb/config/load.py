"""Official YAML files in, typed configuration out.

Files are read as the official code reads them: `__include__`d files first, in order, then the file
itself; mappings merge, everything else is replaced. Two configurations loaded in one process never
mix (in the official code the second inherits what the first had), and nothing is ever downloaded.
"""

import numbers
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
from yaml import YAMLError

from rtdetr_nb.config import schema
from rtdetr_nb.config.check import check
from rtdetr_nb.config.yaml_text import read_yaml, write_yaml
from rtdetr_nb.errors import ConfigError
from rtdetr_nb.text.suggestion import suggest

_SHIPPED = Path(__file__).parent / "shipped"
_INCLUDE = "__include__"


@dataclass(frozen=True)
class Config(schema.Settings):
    """A whole configuration: the top-level values of the file, and its sections.

    `yaml` is the merged content of the files under the official names, as plain dicts and lists.
    Do not change it: derive another configuration with `override`.
    """

    parts: schema.PartsConfig = schema.PartsConfig()
    backbone: schema.BackboneConfig = schema.BackboneConfig()
    encoder: schema.EncoderConfig = schema.EncoderConfig()
    decoder: schema.DecoderConfig = schema.DecoderConfig()
    postprocess: schema.PostProcessorConfig = schema.PostProcessorConfig()
    loss: schema.CriterionConfig = schema.CriterionConfig()
    optimizer: schema.OptimizerConfig = schema.OptimizerConfig()
    lr_scheduler: schema.LRSchedulerConfig = schema.LRSchedulerConfig()
    lr_warmup_scheduler: schema.LRWarmupConfig | None = None
    ema: schema.EmaConfig = schema.EmaConfig()
    scaler: schema.ScalerConfig = schema.ScalerConfig()
    train_dataloader: schema.DataLoaderConfig = schema.DataLoaderConfig()
    val_dataloader: schema.DataLoaderConfig = schema.DataLoaderConfig()
    evaluator: schema.EvaluatorConfig = schema.EvaluatorConfig()
    yaml: Mapping[str, Any] = None  # type: ignore[assignment]  # always given by `_typed`
    source: str = ""

    def __repr__(self) -> str:
        return (
            f"Config({self.source}: HGNetv2-{self.backbone.name}, {self.num_classes} classes, "
            f"{self.epoches} epochs)"
        )

    def override(self, overrides: Iterable[str]) -> "Config":
        """A new configuration with `section.key=value` assignments applied.

        Raises:
            ConfigError: an assignment has no `=`, or a key or value that is not known.
        """
        merged = _copy(self.yaml)
        for override in overrides:
            _apply_override(merged, override)
        return _typed(merged, self.source)

    def with_values(self, values: Mapping[str, Any]) -> "Config":
        """A new configuration with values put in as they are, by dotted key.

        Unlike `override` it reads no YAML, which would cut a path off at ` #`, and take a folder
        named `007` or `yes` for a number or a truth value.

        Args:
            values: for example `{"output_dir": "runs/a #1", "optimizer.params.0.lr": 1e-5}`.

        Raises:
            ConfigError: a key or value that is not known.
        """
        merged = _copy(self.yaml)
        for key, value in values.items():
            _assign(merged, key, _copy(value))
        return _typed(merged, self.source)

    def to_yaml(self) -> str:
        """The merged configuration as YAML that this and the official code read."""
        return write_yaml(dict(self.yaml))


def shipped_configs() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(path.stem for path in _SHIPPED.glob("*.yml"))


def load_config(name_or_path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Config:
    """Load a shipped configuration or any official YAML file.

    Args:
        name_or_path: the path of a .yml or .yaml file, or the name of a shipped configuration or an
            unambiguous beginning of it, such as "rtdetrv2_hgnetv2_l".
        overrides: assignments such as "HGNetv2.freeze_at=-1" or "optimizer.params.0.lr=1e-5".

    Raises:
        ConfigError: no such file or name, YAML that cannot be read, a key that is not known (the
            nearest known one is named), or a value of the wrong type.
    """
    path = _find(name_or_path)
    config = _typed(_read_merged(path, ()), str(name_or_path))
    return config.override(overrides) if overrides else config


def _find(name_or_path: str | os.PathLike[str]) -> Path:
    path = _expanded(name_or_path)
    if path.suffix in {".yml", ".yaml"} and path.is_file():
        return path
    name = path.name.removesuffix(".yml").removesuffix(".yaml")
    if len(path.parts) == 1:
        names = [known for known in shipped_configs() if known.startswith(name)]
        if name in names or len(names) == 1:
            return _SHIPPED / f"{name if name in names else names[0]}.yml"
    if path.is_file():
        raise ConfigError(f"{path} is no YAML file; a configuration ends in .yml or .yaml.")
    raise ConfigError(
        f"There is no configuration {str(name_or_path)!r}. Give the path of a .yml file, or one of "
        f"the shipped names: {', '.join(shipped_configs())}."
    )


def _read_merged(path: Path, including: tuple[Path, ...]) -> dict[str, Any]:
    """The content of a file on top of that of the files it includes."""
    path = Path(os.path.abspath(path))
    if path in including:
        raise ConfigError(f"{path} includes itself (by way of {including[-1]}).")
    try:
        content = _copy(read_yaml(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        by = f", which {including[-1]} includes" if including else ""
        raise ConfigError(f"There is no file {path}{by}.") from error
    except (OSError, ValueError, YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {_in_one_line(error)}") from error
    if content is None:  # an empty file
        content = {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}; expected a mapping of keys.")
    merged: dict[str, Any] = {}
    for included in _included(path, content.pop(_INCLUDE, None)):
        _merge(merged, _read_merged(included, (*including, path)))
    return _merge(merged, content)


def _included(path: Path, names: Any) -> list[Path]:
    """The files that the file at `path` includes."""
    listed = [names] if isinstance(names, str) else names or []
    if not (isinstance(listed, list) and all(isinstance(name, str) for name in listed)):
        raise ConfigError(f"{path}: {_INCLUDE} is {names!r}; expected a list of YAML files.")
    return [path.parent / _expanded(name) for name in listed]


def _expanded(name: str | os.PathLike[str]) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:  # a user who is not known
        raise ConfigError(f"There is no file {os.fspath(name)}: {error}.") from error


def _copy(value: Any) -> Any:
    """The same in plain types, with nothing shared: an alias (`*name`) is as if written out."""
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(inner) for inner in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool):  # those of numpy too
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    return value


def _merge(base: dict[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings in place, key by key; any other value of `top` replaces that of `base`."""
    for key, value in top.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value
    return base


def _apply_override(merged: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"The override {override!r} is no assignment; expected section.key=value, for example "
            "HGNetv2.freeze_at=-1."
        )
    try:
        _assign(merged, key.strip(), _copy(read_yaml(value)))
    except (YAMLError, ConfigError, RecursionError) as error:
        raise ConfigError(
            f"The override {override!r} cannot be applied: {_in_one_line(error)}"
        ) from error


def _assign(merged: dict[str, Any], key: str, value: Any) -> None:
    """Put a value in place; a mapping is merged into the one that is there."""
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
        _merge(present, value)
    else:
        _set(owner, last, value)


def _get(owner: dict[str, Any] | list[Any], name: str, key: str) -> Any:
    """The element of a mapping, None if it has none, or of a list."""
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


def _typed(merged: Any, source: str) -> Config:
    settings_names = [f.name for f in fields(schema.Settings)]
    # First, lest a wrong value that is handed down be reported for a section that has no such key.
    top = {key: value for key, value in merged.items() if key in settings_names}
    settings = _section(schema.Settings, top, None, source)
    values = {name: getattr(settings, name) for name in settings_names}
    for key, value in merged.items():
        if key in schema.SECTIONS:
            name, cls = schema.SECTIONS[key]
            if value is not None:
                values[name] = _section(cls, _with_shared(cls, value, merged), key, source)
        elif key not in settings_names and key not in schema.FOREIGN_SECTIONS:
            known = [*settings_names, *schema.SECTIONS]
            raise ConfigError(f"{source}: there is no key {str(key)!r}.{_nearest(key, known)}")
    config = Config(**values, yaml=merged, source=source)
    check(config)
    return config


def _with_shared(cls: type, section: Any, merged: Mapping[str, Any]) -> Any:
    if not isinstance(section, dict):
        return section
    names = {f.name for f in fields(cls)}
    shared = {k: merged[k] for k in schema.SHARED_VALUES if k in names and k in merged}
    if cls is schema.CriterionConfig and isinstance(section.get("matcher"), dict):
        matcher = _with_shared(schema.MatcherConfig, section["matcher"], merged)
        section = {**section, "matcher": matcher}
    if cls is schema.DataLoaderConfig and isinstance(section.get("dataset"), dict):
        dataset = _with_shared(schema.DatasetConfig, section["dataset"], merged)
        section = {**section, "dataset": dataset}
    return {**section, **shared}


def _section(cls: type, content: Any, name: str | None, source: str) -> Any:
    where = f"section {name}" if name else "the top level"
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: {where} is {content!r}; expected a mapping of keys.")
    try:
        _refuse_unknown(cls, content, ())
        return msgspec.convert(content, cls)
    except msgspec.ValidationError as error:
        found = _explain(str(error), content)
        raise ConfigError(f"{source}: in {where}, {found}") from error
    except ConfigError as error:
        raise ConfigError(f"{source}: in {where}, {error}") from error


def _refuse_unknown(cls: Any, content: Any, path: tuple[str, ...]) -> None:
    """Refuse keys that a dataclass, or one in its fields, does not have."""
    if get_origin(cls) is tuple and isinstance(content, list):
        for index, element in enumerate(content):
            _refuse_unknown(get_args(cls)[0], element, (*path, str(index)))
    if not is_dataclass(cls) or not isinstance(content, dict):
        return
    types = {f.name: f.type for f in fields(cls)}
    for key, value in content.items():
        if key not in types:
            dotted = ".".join((*path, str(key)))
            raise ConfigError(f"there is no key {dotted!r}.{_nearest(key, types)}")
        _refuse_unknown(types[key], value, (*path, key))


def _explain(message: str, content: Any) -> str:
    """Of msgspec's "Expected `int`, got `str` - at `$.params[0].lr`": key, value, what is wrong."""
    wrong, _, place = message.partition(" - at ")
    value, names = content, []
    for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", place):
        value = value[name or int(index)]
        names.append(name or index)
    if "[...]" in place:  # of a mapping of numbers msgspec does not say which
        name, value = next((n, v) for n, v in value.items() if type(v) not in (int, float))
        names.append(name)
    for theirs, ours in (("object", "mapping"), ("array", "list")):
        wrong = wrong.replace(f"`{theirs}", f"`{ours}")
    return f"key {'.'.join(names)!r} is {value!r}: {wrong[0].lower()}{wrong[1:]}"


def _nearest(key: object, known: Iterable[str]) -> str:
    """A hint at the known key that is most like `key`, or at all known keys."""
    known = list(known)
    hint = suggest(key, known) or f"Known keys are: {', '.join(sorted(known))}."
    return f" {hint}"


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
