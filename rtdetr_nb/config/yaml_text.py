"""YAML as configurations are written: numbers such as `1e-4` are numbers, dates are text."""

from __future__ import annotations

import re
from typing import Any

import yaml

# Several times as fast where PyYAML was built with libyaml.
_SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_FLOAT_TAG = "tag:yaml.org,2002:float"
_MERGE_TAG = "tag:yaml.org,2002:merge"  # of the key `<<`
_TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"
# YAML 1.1, which PyYAML reads, wants a point in every float and a sign in every exponent.
_EXPONENT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


class _Loader(_SafeLoader):  # type: ignore[misc, valid-type]
    """Reads what `read_yaml` promises; a key that comes twice in a mapping is refused."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._checked: dict[int, yaml.MappingNode] = {}

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put merged keys (`<<`) in place; before that, and only then, a key stands there once."""
        if id(node) not in self._checked:
            self._checked[id(node)] = node
            _refuse_twins(node)
        super().flatten_mapping(node)


def _refuse_twins(node: yaml.MappingNode) -> None:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE_TAG:
            if (key.tag, key.value) in seen:
                message = f"the key {key.value!r} comes twice"
                raise yaml.constructor.ConstructorError(None, None, message, key.start_mark)
            seen.add((key.tag, key.value))


# Line breaks of YAML 1.1 that PyYAML writes as they are, and folds into blanks when it reads.
_FOLDED_BREAKS = re.compile("[\x85\u2028\u2029]")


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that `read_yaml` or another reader would take for numbers or dates."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Write a text; within double quotes, which escape them, if it has folded line breaks."""
        style = '"' if _FOLDED_BREAKS.search(text) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _Dumper.represent_text)

# Unicode's own ends of lines: PyYAML writes them as they are, and reads them as a blank.
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if _LINE_ENDS.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)

_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP_TAG]
    for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
}
for _cls in (_Loader, _Dumper):
    _cls.add_implicit_resolver(
        _FLOAT_TAG, re.compile(f"^{_EXPONENT.pattern}$"), list("-+.0123456789")
    )


def read_yaml(text: str) -> Any:
    """The value of a YAML text.

    Raises:
        yaml.YAMLError: it is not YAML, a mapping has a key twice, or a value does not fit its tag.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except (ValueError, LookupError, AttributeError, RecursionError) as error:
        # What PyYAML lets through of a tag that its value does not fit, such as `!!int x`.
        raise yaml.YAMLError(f"a value does not fit its tag ({error})") from error


def write_yaml(value: Any) -> str:
    """YAML of dicts, lists, numbers and texts, in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
