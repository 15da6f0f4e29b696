"""From what is given to the training that would begin, and what is wrong with it by itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.datasets.configured import with_data_settings
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.diagnostics.preflight.data import open_configured
from rtdetr_nb.diagnostics.preflight.part import Part, part
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.errors import ConfigError, DatasetError, UserError
from rtdetr_nb.files.pasted_path import pasted_path
from rtdetr_nb.text.findings import FAILURE, Finding

_OUTPUT = "output"  # where `train` writes if nothing else is said


@dataclass(frozen=True)
class Planned:
    """What is known before anything is looked at.

    Attributes:
        training: as it would begin; None if the configuration cannot be read.
        part: what was refused on the way.
    """

    training: Training | None
    part: Part


def plan_training(
    config: Config | str | os.PathLike[str],
    overrides: Sequence[str],
    values: Mapping[str, Any],
    data: DataSource | str | os.PathLike[str] | None,
) -> Planned:
    """Read the configuration as `train` does; what is refused of it is left out and told.

    Args:
        config: a configuration, its name or its path.
        overrides: `section.key=value` assignments.
        values: by dotted key; they win over the overrides.
        data: takes the place of the configured data; `num_classes` stays as configured.
    """
    found: list[Finding] = []
    try:
        settings = config if isinstance(config, Config) else load_config(config)
    except ConfigError as error:
        refused = Finding(FAILURE, str(error), "-c")
        return Planned(None, part("configuration", "It cannot be read.", [refused]))
    settings = _overridden(settings, overrides, found).with_values(values)
    source = None
    try:
        if data is not None:
            source = open_data(data)
            chosen = {k: v for k, v in source.settings.items() if k != "num_classes"}
            settings = settings.with_values({"data": None, **chosen})
        elif settings.data is not None:
            others = [each for each in overrides if _key(each) != "data"]
            settings = _overridden(with_data_settings(settings), others, []).with_values(values)
        source = source or open_configured(settings)
    except DatasetError as error:
        found.append(Finding(FAILURE, str(error), "data"))
    folder = pasted_path(settings.output_dir or _OUTPUT)
    training = Training(settings, None, None, folder, source=source)
    return Planned(training, part("configuration", "", found))


def _overridden(config: Config, overrides: Sequence[str], refused: list[Finding]) -> Config:
    """The configuration with all assignments; where some are refused, with the others."""
    try:
        return config.override(overrides) if overrides else config
    except ConfigError:
        for each in overrides:
            try:
                config = config.override([each])
            except UserError as error:
                refused.append(Finding(FAILURE, str(error), f"-u {each}"))
        return config


def _key(override: str) -> str:
    return override.partition("=")[0].strip()
