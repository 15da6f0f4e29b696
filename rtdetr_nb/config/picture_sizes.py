"""Where a configuration says how large the pictures are that the network sees."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from rtdetr_nb.config.config_file import ConfigFile
from rtdetr_nb.config.schema import DataLoaderConfig

# Operations that leave all pictures in one size; the last of them decides.
_SIZING = frozenset({"Resize", "RandomCrop", "PadToSize"})


def picture_sizes(config: ConfigFile) -> Iterator[tuple[str, int | list[int]]]:
    """Dotted keys and what they say: one side or several, in pixels.

    Sizes that no batch has are left out: those of an operation before another one, and those of
    training pictures that are resized to one of the `scales` in every epoch.
    """
    for key, size_hw in (
        ("eval_spatial_size", config.eval_spatial_size),
        ("HybridEncoder.eval_spatial_size", config.encoder.eval_spatial_size),
        ("RTDETRTransformerv2.eval_spatial_size", config.decoder.eval_spatial_size),
    ):
        if size_hw is not None:
            yield key, list(size_hw)
    yield from _loader_sizes("train_dataloader", config.train_dataloader, config.epoches)
    yield from _loader_sizes("val_dataloader", config.val_dataloader, config.epoches)


def _loader_sizes(
    name: str, loader: DataLoaderConfig, epochs: int
) -> Iterator[tuple[str, int | list[int]]]:
    collate = loader.collate_fn
    scaled = bool(collate.scales)
    if collate.scales:
        yield f"{name}.collate_fn.scales", list(collate.scales)
    if scaled and (collate.stop_epoch is None or collate.stop_epoch >= epochs):
        return
    for key, size in _sizing_operations(name, loader)[-1:]:
        if _is_number(size) or (isinstance(size, list) and all(map(_is_number, size))):
            yield key, size


class Resized(NamedTuple):
    """The size that a loader's operations leave its pictures in, and the key that says it."""

    key: str
    size_hw: tuple[int, int]


def resized_to(config: ConfigFile, split: Literal["train", "val"]) -> Resized | None:
    """Height and width in which the operations of a split leave all pictures; None if they differ.

    A batch may be resized after that, to one of its `scales`.
    """
    name = f"{split}_dataloader"
    for key, size in _sizing_operations(name, getattr(config, name))[-1:]:
        if isinstance(size, list) and len(size) == 2 and all(map(_is_number, size)):
            return Resized(key, (size[0], size[1]))
    return None


def _sizing_operations(name: str, loader: DataLoaderConfig) -> list[tuple[str, Any]]:
    ops = loader.dataset.transforms.ops
    return [
        (f"{name}.dataset.transforms.ops.{index}.size", operation.get("size"))
        for index, operation in enumerate(ops if isinstance(ops, list) else ())
        if isinstance(operation, dict) and operation.get("type") in _SIZING
    ]


def _is_number(value: Any) -> bool:
    return type(value) is int
