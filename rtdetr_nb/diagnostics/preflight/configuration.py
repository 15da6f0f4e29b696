"""The part on the configuration: what contradicts itself, or the data and the length."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rtdetr_nb.checkpoint.comparison.config_findings import (
    CONFIG_CHECKS,
    ConfigCase,
    norms_frozen,
    parts_frozen,
)
from rtdetr_nb.config.explain import explain_config
from rtdetr_nb.config.size_findings import size_findings
from rtdetr_nb.diagnostics.preflight.part import Figure, Part, part
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Check, Words, check
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted

# The official files switch the schedule off by a milestone that is far beyond their length.
_OFF = 5


def look_at_configuration(training: Training) -> Part:
    """Look for contradictions in the configuration, and with data and processes."""
    config = training.config
    findings = size_findings(config)
    findings += [found for each in TRAINING_CHECKS for found in each(training)]
    if training.tuning is None:  # with a tuning file they are judged by what it fills
        case = ConfigCase(config, total_steps=training.total_steps)
        findings += [found for each in _without_file(training) for found in each(case)]
    sentence = f"HGNetv2-{config.backbone.name}, {counted(config.num_classes, 'class', 'classes')}"
    return part("configuration", f"{sentence}, {_length(training)}.", findings, _figures(training))


def _without_file(training: Training) -> list[Check[ConfigCase]]:
    """The checks of settings that hold without a tuning file."""
    told = () if training.resume else (parts_frozen, norms_frozen)  # as random, below
    return [each for each in CONFIG_CHECKS if each not in told]


def _length(training: Training) -> str:
    epochs = training.config.epoches
    if training.max_steps is not None:
        return counted(training.max_steps, "step")
    if training.total_steps is None:
        return counted(epochs, "epoch")
    each = counted(training.steps_per_epoch or 0, "step")
    return f"{counted(epochs, 'epoch')} of {each}"


def _figures(training: Training) -> list[Figure]:
    batch = training.batch_size
    figures = [Figure("pictures in a step", batch, f"{batch:,}", _shares(training))]
    if training.total_steps is not None:
        figures.append(Figure("steps", training.total_steps, f"{training.total_steps:,}"))
    if training.largest_hw is not None:
        height, width = training.largest_hw
        text = f"{height} x {width}"
        figures.append(Figure("largest picture", height * width, text, "height x width"))
    return figures


def _shares(training: Training) -> str:
    if training.processes == 1:
        return ""
    share = training.batch_size / training.processes
    return f"{share:g} in each of {training.processes} processes"


@check(FAILURE)
def milestones_beyond_the_end(training: Training) -> Iterator[Words]:
    """The learning rate is to fall at an epoch that never comes.

    Epochs count for the schedule from the end of the warm-up on.
    """
    beyond = [m for m in training.config.lr_scheduler.milestones if _never_comes(training, m)]
    if beyond and not _switched_off(training):
        waits = _epochs_of_warm_up(training)
        warm_up = f" (its epochs count from the end of the warm-up, after {waits})" if waits else ""
        yield Words(
            f"The learning rate is to fall at epoch {first_of(beyond)}{warm_up}, but the training "
            f"ends after {counted(training.epochs, 'epoch')}.",
            f"lr_scheduler.milestones: {list(training.config.lr_scheduler.milestones)}",
            "It stays as high as it is.",
            "Set milestones below the number of epochs, or epoches above them; [1000] says that "
            "the rate is to stay.",
        )


@check(NOTE)
def learning_rate_stays(training: Training) -> Iterator[Words]:
    """The schedule is switched off, as in the official files: the learning rate stays."""
    milestones = training.config.lr_scheduler.milestones
    if milestones and _switched_off(training):
        yield Words(
            "The learning rate stays as it is to the end.",
            f"lr_scheduler.milestones: {list(milestones)}",
            f"They lie beyond the {counted(training.epochs, 'epoch')} of this training.",
        )


@check(NOTE)
def augmentation_never_ends(training: Training) -> Iterator[Words]:
    """Augmentation or multi-scale is to end at an epoch that never comes."""
    loader, epochs = training.config.train_dataloader, training.epochs
    policy = loader.dataset.transforms.policy
    ends = {
        "collate_fn.stop_epoch": loader.collate_fn.stop_epoch if loader.collate_fn.scales else None,
        "dataset.transforms.policy.epoch": policy.get("epoch")
        if isinstance(policy, dict)
        else None,
    }
    for key, epoch in ends.items():
        if isinstance(epoch, int) and epoch >= epochs:
            yield Words(
                f"Augmentation is to end at epoch {epoch}; the training has "
                f"{counted(epochs, 'epoch')}.",
                f"train_dataloader.{key}",
                "The official files train the last epoch on plain pictures.",
                "Set it to the number of epochs less one.",
            )


@check(FAILURE)
def batch_over_processes(training: Training) -> Iterator[Words]:
    """The pictures of a step cannot be shared evenly by the processes, or are not given once."""
    for name in ("train_dataloader", "val_dataloader"):
        loader = getattr(training.config, name)
        total, each = loader.total_batch_size, loader.batch_size
        if (total is None) == (each is None):
            yield Words(
                f"total_batch_size is {total} and batch_size is {each}; expected one of the two.",
                name,
                action=f"Give {name}.total_batch_size alone.",
            )
        elif total is not None and total % training.processes:
            nearest = max(1, round(total / training.processes)) * training.processes
            yield Words(
                f"{total} pictures of a step cannot be shared evenly by "
                f"{training.processes} processes.",
                f"{name}.total_batch_size",
                action=f"Set a multiple of {training.processes}; the nearest is {nearest}.",
            )


@check(FAILURE)
def batch_larger_than_the_data(training: Training) -> Iterator[Words]:
    """There are fewer pictures than one step needs, and incomplete steps are dropped."""
    if training.source is not None and training.steps_per_epoch == 0:
        pictures = len(training.source.train)
        yield Words(
            f"A step takes {training.batch_size:,} pictures, and there are {pictures:,} to train "
            "on: an epoch would have no step.",
            "train_dataloader.total_batch_size",
            action=f"Set it to {pictures:,} or less, or train_dataloader.drop_last=False.",
        )


@check(FAILURE)
def patterns_overlap(training: Training) -> Iterator[Words]:
    """Parameters match two patterns of the optimizer, which the official code refuses."""
    overlapping = explain_config(training.config).overlapping
    if overlapping:
        yield Words(
            f"{counted(len(overlapping), 'parameter')} match two patterns of the optimizer: "
            f"{first_of(overlapping)}.",
            "optimizer.params",
            "No optimizer can be made of that.",
            "Let each pattern leave out what another one takes.",
        )


@check(FAILURE)
def rates_all_zero(training: Training) -> Iterator[Words]:
    """Every learning rate is 0, so that no weight moves."""
    if not any(_rates(training).values()):
        yield Words(
            "Every learning rate is 0.",
            "optimizer.lr",
            "No weight would ever move.",
            "Set optimizer.lr and the lr of the groups in optimizer.params.",
        )


@check(WARNING)
def rate_of_zero(training: Training) -> Iterator[Words]:
    """Some parameters have a learning rate of 0, others have not."""
    rates = _rates(training)
    still = [where for where, rate in rates.items() if rate == 0]
    if still and any(rates.values()):
        yield Words(
            f"The learning rate of {first_of(still)} is 0.",
            "optimizer",
            "What belongs to it stays as it begins; encoder and decoder begin at random.",
            "Set a rate above 0, or freeze the backbone by HGNetv2.freeze_at.",
        )


@check(WARNING)
def loss_without_weight(training: Training) -> Iterator[Words]:
    """A loss has a weight of 0, so that what it teaches is not learnt."""
    for name, weight in training.config.loss.weight_dict.items():
        if weight == 0:
            yield Words(
                f"{name} has a weight of 0.",
                "RTDETRCriterionv2.weight_dict",
                "What it teaches is not learnt.",
                "Give it a weight above 0.",
            )


@check(FAILURE)
def download_asked_for(training: Training) -> Iterator[Words]:
    """The configuration asks for weights from the network, and no others are given."""
    pretrained, given = training.config.backbone.pretrained, training.tuning or training.resume
    if pretrained is True and given is None:
        yield Words(
            "The configuration asks for backbone weights from the network.",
            "HGNetv2.pretrained: True",
            "Nothing is downloaded here.",
            "Give a tuning file (-t), or set HGNetv2.pretrained=False.",
        )


@check(WARNING)
def random_and_frozen(training: Training) -> Iterator[Words]:
    """Nothing is loaded, and layers or norms of the backbone are frozen: they stay as they are."""
    backbone, given = training.config.backbone, training.tuning or training.resume
    if given or backbone.pretrained:
        return
    if backbone.freeze_at >= 0:
        yield Words(
            "No weights are given, and the first layers are frozen.",
            f"HGNetv2.freeze_at: {backbone.freeze_at}",
            "They stay random to the end.",
            "Give a tuning file (-t), or set HGNetv2.freeze_at=-1.",
        )
    if backbone.freeze_norm:
        yield Words(
            "No weights are given, and the backbone's norms are frozen.",
            "HGNetv2.freeze_norm: True",
            "They keep mean 0 and variance 1 to the end.",
            "Give a tuning file (-t), or set HGNetv2.freeze_norm=False.",
        )


TRAINING_CHECKS: tuple[Check[Training], ...] = (
    milestones_beyond_the_end,
    learning_rate_stays,
    augmentation_never_ends,
    batch_over_processes,
    batch_larger_than_the_data,
    patterns_overlap,
    rates_all_zero,
    rate_of_zero,
    loss_without_weight,
    download_asked_for,
    random_and_frozen,
)
"""All findings on a configuration and its training, in the order in which they are told."""

_AT_ONCE = (batch_over_processes, batch_larger_than_the_data, patterns_overlap, download_asked_for)


def stops_at_once(training: Training) -> bool:
    """Whether something is found that no training gets past, so that none can be rehearsed."""
    return any(each(training) for each in _AT_ONCE)


def _rates(training: Training) -> dict[str, float]:
    """Learning rate by the key that sets it; a group without one has that of the optimizer."""
    section = training.config.optimizer
    groups = {f"optimizer.params.{place}": group.lr for place, group in enumerate(section.params)}
    return {"optimizer.lr": section.lr} | {k: r for k, r in groups.items() if r is not None}


def _epochs_of_warm_up(training: Training) -> int:
    """Whole epochs at whose end the warm-up still goes on; the schedule waits for it."""
    warm_up = training.config.lr_warmup_scheduler
    if warm_up is None or not training.steps_per_epoch:
        return 0
    return math.ceil(warm_up.warmup_duration / training.steps_per_epoch) - 1


def _never_comes(training: Training, milestone: int) -> bool:
    return milestone + _epochs_of_warm_up(training) >= training.epochs


def _switched_off(training: Training) -> bool:
    """Whether the milestones are so far away that they are not meant to come."""
    far = _OFF * max(training.config.epoches, 1)
    short = training.max_steps is not None  # a short run ends where it is told to
    return short or min(training.config.lr_scheduler.milestones, default=far) >= far
