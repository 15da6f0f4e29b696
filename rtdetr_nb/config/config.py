"""A whole configuration, checked and typed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from rtdetr_nb.config.check import check
from rtdetr_nb.config.config_file import ConfigFile
from rtdetr_nb.config.typed import read_sections
from rtdetr_nb.config.yaml_text import write_yaml
from rtdetr_nb.config.yaml_tree import apply_override, assign, copy_plain


@dataclass(frozen=True, kw_only=True)
class Config(ConfigFile):
    """A whole configuration: the top-level values of the file, and its sections.

    Attributes:
        yaml: the merged content of the files under the official names, as plain dicts and lists.
            Do not change it: derive another configuration with `override`.
        source: what the configuration was loaded by, for messages.
    """

    yaml: Mapping[str, Any]
    source: str

    @classmethod
    def from_yaml(cls, merged: Mapping[str, Any], source: str) -> "Config":
        """Check the merged content of files and give it types.

        Raises:
            ConfigError: a key that is not known, or a value that cannot be used.
        """
        config = cls(**read_sections(merged, source), yaml=merged, source=source)
        check(config, source)
        return config

    def __repr__(self) -> str:
        return (
            f"Config({self.source}: HGNetv2-{self.backbone.name}, {self.num_classes} classes, "
            f"{self.epoches} epochs)"
        )

    def _repr_html_(self) -> str:
        """The merged file, folded: it has more than a hundred lines."""
        return (
            f"<details><summary>{escape(repr(self))}: the whole configuration</summary>"
            f"<pre>{escape(self.to_yaml())}</pre></details>"
        )

    def override(self, overrides: Iterable[str]) -> "Config":
        """A new configuration with `section.key=value` assignments applied.

        Raises:
            ConfigError: an assignment has no `=`, or a key or value that is not known.
        """
        merged = copy_plain(self.yaml)
        for override in overrides:
            apply_override(merged, override)
        return Config.from_yaml(merged, self.source)

    def with_values(self, values: Mapping[str, Any]) -> "Config":
        """A new configuration with values put in as they are, by dotted key.

        Unlike `override` it reads no YAML, which would cut a path off at ` #`, and take a folder
        named `007` or `yes` for a number or a truth value.

        Args:
            values: for example `{"output_dir": "runs/a #1", "optimizer.params.0.lr": 1e-5}`.

        Raises:
            ConfigError: a key or value that is not known.
        """
        merged = copy_plain(self.yaml)
        for key, value in values.items():
            assign(merged, key, copy_plain(value))
        return Config.from_yaml(merged, self.source)

    def to_yaml(self) -> str:
        """The merged configuration as YAML that this and the official code read."""
        return write_yaml(dict(self.yaml))
