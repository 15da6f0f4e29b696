"""The data set that a configuration names."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.annotations.annotation_cache import read_once
from rtdetr_nb.datasets.annotations.labels import LabelRule, joined_categories
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.files.pasted_path import pasted_path

SplitName = Literal["train", "val"]


def configured_split(config: Config, split: SplitName) -> Split:
    """The pictures of one split: of `data` where that is given, else of `img_folder`, `ann_file`.

    Raises:
        DatasetError: they cannot be opened.
    """
    if config.data is not None:
        source = open_data(config.data)
        return source.train if split == "train" else source.val
    dataset = getattr(config, f"{split}_dataloader").dataset
    folder, file = (_path(each) for each in (dataset.img_folder, dataset.ann_file))
    rule = LabelRule(config.num_classes, config.remap_mscoco_category)
    pictures = read_once(file)
    if not folder.is_dir():
        raise DatasetError(
            f"There is no folder {folder}. Set dataset.img_folder to the folder that holds the "
            f"pictures of {file}."
        )
    return Split.of(split, folder, pictures, rule)


def configured_data(config: Config) -> DataSource:
    """The data set that a configuration names, both splits.

    Raises:
        DatasetError: it cannot be opened, or its splits number their categories differently.
    """
    if config.data is not None:
        return open_data(config.data)
    train, val = _named_split(config, "train"), _named_split(config, "val")
    check_same_categories(train, val)
    return DataSource(
        layout="files of the configuration",
        spec={each.name: [str(each.folder), str(each.source)] for each in (train, val)},
        train=train,
        val=val,
        rule=LabelRule(config.num_classes, config.remap_mscoco_category),
    )


def _named_split(config: Config, split: SplitName) -> Split:
    try:
        return configured_split(config, split)
    except DatasetError as error:
        raise DatasetError(f"{split}_dataloader: {error}") from error


def check_same_categories(train: Split, val: Split) -> None:
    """Refuse splits that number their categories differently.

    Raises:
        DatasetError: names the first difference.
    """
    joined_categories((str(each.source), each.pictures.categories) for each in (train, val))


def with_data_settings(config: Config) -> Config:
    """The configuration with the keys of its data set in place of the key `data`, or beside it.

    Raises:
        DatasetError: the data set cannot be opened.
    """
    if config.data is None:
        return config
    return on_data(config, config.data)


def on_data(
    config: Config, data: DataSource | str | os.PathLike[str] | Mapping[str, Any]
) -> Config:
    """The configuration with another data set, its classes and labels; nothing else changes.

    Raises:
        DatasetError: the data set cannot be opened.
    """
    return config.with_values({"data": None, **open_data(data).settings})


def _path(given: str) -> Path:
    """A path of a configuration; one that is not given is refused where it is read."""
    return pasted_path(given, DatasetError) if given else Path(given)
