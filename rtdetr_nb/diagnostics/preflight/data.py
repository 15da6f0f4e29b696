"""The part on the data: as `check_data` judges them, and against the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.annotations.labels import check_labels
from rtdetr_nb.datasets.batches.transforms import build_transforms
from rtdetr_nb.datasets.checks.check_data import check_data
from rtdetr_nb.datasets.configured import check_same_categories, configured_split
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.diagnostics.preflight.part import Figure, Part, part
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.errors import DatasetError, UserError
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Finding
from rtdetr_nb.text.plain_text import counted


def open_configured(config: Config) -> DataSource:
    """The data set that a configuration names, in the words of `open_data`.

    Raises:
        DatasetError: it cannot be opened.
    """
    if config.data is not None:
        return open_data(config.data)
    pairs = {}
    for name in ("train", "val"):
        dataset = getattr(config, f"{name}_dataloader").dataset
        if not dataset.ann_file or not dataset.img_folder:
            raise DatasetError(
                f"{name}_dataloader.dataset names no img_folder or no ann_file. Give the data set "
                "with -u data=FOLDER."
            )
        pairs[name] = (dataset.img_folder, dataset.ann_file)
    return DataSource.from_files(**pairs)


def look_at_data(training: Training) -> Part:
    """Check the data, and whether they fit the configuration."""
    config, source = training.config, training.source
    if source is None:
        # Why is said where they were looked for.
        return Part("data", "They cannot be opened.", is_left_out=True)
    report = check_data(
        source,
        "sample",
        num_queries=config.decoder.num_queries,
        num_denoising=config.decoder.num_denoising,
    )
    findings = [*report.verdict.findings, *_against(config), *_spare_classes(config, source)]
    if training.official is not None and not source.official:
        findings.append(_not_official())
    train, val = source.train, source.val
    sentence = (
        f"{source.layout}: {counted(len(train), 'picture')} to train on, {len(val):,} to evaluate "
        f"on, {train.num_boxes + val.num_boxes:,} boxes."
    )
    figures = [
        Figure("pictures to train on", len(train), f"{len(train):,}"),
        Figure("pictures to evaluate on", len(val), f"{len(val):,}"),
    ]
    return part("data", sentence, findings, figures)


def _against(config: Config) -> list[Finding]:
    """What a training would refuse of the data under this configuration."""
    found: list[Finding] = []
    splits = []
    for name in ("train", "val"):
        loader = f"{name}_dataloader"
        with _told(found, loader):
            split = configured_split(config, name)
            splits.append(split)
        with _told(found, f"{loader}.dataset.transforms"):
            transforms = getattr(config, loader).dataset.transforms
            build_transforms(transforms.ops, transforms.policy)
    with _told(found, "num_classes"):  # the first split that has no place is reason enough
        for split in splits:
            check_labels(split.source, split.pictures, split.rule, config.num_classes)
    if len(splits) == 2:
        with _told(found, "categories"):
            check_same_categories(*splits)
    return found


@contextmanager
def _told(found: list[Finding], where: str) -> Iterator[None]:
    """Take a user's error as a finding."""
    try:
        yield
    except UserError as error:
        found.append(Finding(FAILURE, str(error), where))


def _spare_classes(config: Config, source: DataSource) -> list[Finding]:
    needed = source.num_classes
    if needed >= config.num_classes:
        return []
    return [
        Finding(
            NOTE,
            f"The class head has {config.num_classes} classes, and the data {needed}.",
            "num_classes",
            "The others are never seen; that harms nothing.",
        )
    ]


def _not_official() -> Finding:
    return Finding(
        WARNING,
        "The official code reads these files otherwise, or not at all.",
        "data",
        "Its run below has them written as it reads them.",
        "Write them so for the training: `data.write_coco(FOLDER)`.",
    )
