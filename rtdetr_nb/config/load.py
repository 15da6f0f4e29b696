"""Official YAML files in, typed configuration out.

Files are read as the official code reads them: `__include__`d files first, in order, then the file
itself; mappings merge, everything else is replaced. Two configurations loaded in one process never
mix (in the official code the second inherits what the first had), and nothing is ever downloaded.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yaml import YAMLError

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.yaml_text import read_yaml
from rtdetr_nb.config.yaml_tree import copy_plain, in_one_line, merge
from rtdetr_nb.errors import ConfigError

_SHIPPED = Path(__file__).parent / "shipped"
_INCLUDE = "__include__"


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
    config = Config.from_yaml(_read_merged(path, ()), str(name_or_path))
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
        raise ConfigError(f"{path} is not a YAML file; a configuration ends in .yml or .yaml.")
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
        content = copy_plain(read_yaml(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        by = f", which {including[-1]} includes" if including else ""
        raise ConfigError(f"There is no file {path}{by}.") from error
    except (OSError, ValueError, YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {in_one_line(error)}") from error
    if content is None:  # an empty file
        content = {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}; expected a mapping of keys.")
    merged: dict[str, Any] = {}
    for included in _included(path, content.pop(_INCLUDE, None)):
        merge(merged, _read_merged(included, (*including, path)))
    return merge(merged, content)


def _included(path: Path, names: Any) -> list[Path]:
    """The files that the file at `path` includes."""
    listed = [names] if isinstance(names, str) else names or []
    if not (isinstance(listed, list) and all(isinstance(name, str) for name in listed)):
        raise ConfigError(f"{path}: {_INCLUDE} is {names!r}; expected a list of YAML files.")
    return [path.parent / _expanded(name) for name in listed]


def _expanded(name: str | os.PathLike[str]) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:  # `~name` of an unknown user
        raise ConfigError(f"There is no file {os.fspath(name)}: {error}.") from error
