"""Where a configuration says two things about the size of its pictures."""

from collections.abc import Iterator

from rtdetr_nb.config.config_file import ConfigFile
from rtdetr_nb.config.picture_sizes import resized_to
from rtdetr_nb.text.findings import FAILURE, WARNING, Check, Finding, Words, check


def size_findings(config: ConfigFile) -> list[Finding]:
    """Contradictions between `Resize`, `scales` and `eval_spatial_size`."""
    return [finding for each in SIZE_CHECKS for finding in each(config)]


@check(FAILURE)
def evaluation_size(config: ConfigFile) -> Iterator[Words]:
    """Pictures are evaluated in another size than the model is built for.

    The official code trains a whole epoch and ends with an error in its evaluation.
    """
    expected, resized = config.eval_spatial_size, resized_to(config, "val")
    if expected is not None and resized is not None and tuple(resized.size_hw) != tuple(expected):
        yield Words(
            f"eval_spatial_size is {list(expected)}, but pictures are evaluated at "
            f"{list(resized.size_hw)}.",
            resized.key,
            "The official code trains for an epoch and then ends in its evaluation.",
            f"Set eval_spatial_size and {resized.key} to the same height and width.",
        )


@check(WARNING)
def shape_is_lost(config: ConfigFile) -> Iterator[Words]:
    """Training pictures are resized to a shape that is not square, and made square by `scales`."""
    scales, resized = config.train_dataloader.collate_fn.scales, resized_to(config, "train")
    if scales and resized is not None and resized.size_hw[0] != resized.size_hw[1]:
        yield Words(
            f"Training pictures are resized to {list(resized.size_hw)}, and each batch is then "
            f"made square (one of {_spoken(scales)}).",
            "train_dataloader.collate_fn.scales",
            "The network trains on distorted pictures and is evaluated on others.",
            "Set train_dataloader.collate_fn.scales=null to keep the shape.",
        )


@check(WARNING)
def trained_at_another_size(config: ConfigFile) -> Iterator[Words]:
    """The pictures of the evaluation have a size that training never sees."""
    train, val = resized_to(config, "train"), resized_to(config, "val")
    if train is None or val is None:
        return
    scales = config.train_dataloader.collate_fn.scales
    if scales:
        fits = all(min(scales) <= side <= max(scales) for side in val.size_hw)
        trained, key = _spoken(scales), "train_dataloader.collate_fn.scales"
    else:
        fits = train.size_hw == val.size_hw
        trained, key = str(list(train.size_hw)), train.key
    if not fits:
        yield Words(
            f"Pictures are trained on at {trained} and evaluated at {list(val.size_hw)}.",
            key,
            "Objects have other sizes there than the network has learned.",
            f"Let {key} and {val.key} agree.",
        )


SIZE_CHECKS: tuple[Check[ConfigFile], ...] = (
    evaluation_size,
    shape_is_lost,
    trained_at_another_size,
)
"""All contradictions of sizes, in the order in which they are told."""


def _spoken(scales: tuple[int, ...]) -> str:
    return f"{min(scales)} to {max(scales)}"
