"""Checkpoints in several files with an index: which tensor is in which file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from rtdetr_nb.checkpoint.reading.containers.not_a_checkpoint import refuse_json
from rtdetr_nb.checkpoint.reading.storage import SourceFile, read_exactly
from rtdetr_nb.checkpoint.reading.tensor_info import Listing, TensorInfo
from rtdetr_nb.errors import CheckpointError

MAXIMUM_INDEX_SIZE = 1 << 23
"""Bytes of the index: 8 MiB are about 80,000 tensors."""
MAXIMUM_SHARDS = 1_000


def list_index(source: SourceFile, list_shard: Callable[[Path], Listing]) -> Listing:
    """List the checkpoint that an index (`*.index.json`) describes.

    Args:
        source: The index.
        list_shard: Lists one file.

    Raises:
        CheckpointError: It is another JSON file, or a file that it names is missing or is not what
            the index says.
    """
    index = _read_json(source)
    weight_map = index.get("weight_map") if type(index) is dict else None
    if type(weight_map) is not dict or not weight_map:
        raise refuse_json(index)
    names = _shard_names(weight_map)
    shards = {name: _list_one(source.path.parent / name, list_shard) for name in names}
    tensors: dict[str, TensorInfo] = {}
    for key, name in weight_map.items():
        if key not in shards[name].tensors:
            _refuse(f"tensor {key!r} is not in {name!r}, where the index has it")
        tensors[key] = shards[name].tensors[key]
    is_safetensors = all(shard.container == "safetensors" for shard in shards.values())
    return Listing(
        "safetensors index" if is_safetensors else "torch bin index",
        {"__metadata__": index.get("metadata"), **tensors},
        tensors,
        {},
        (source.path, *(source.path.parent / name for name in names)),
    )


def _read_json(source: SourceFile) -> dict[str, object]:
    if source.size > MAXIMUM_INDEX_SIZE:
        raise CheckpointError(
            f"It is a JSON file of {source.size:,} bytes, more than any index of a checkpoint has. "
            "Choose the file with the weights, or its *.index.json."
        )
    with source.open() as file:
        data = bytes(read_exactly(file, 0, source.size))
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise CheckpointError(
            "It begins like a JSON file but is not valid JSON, and no checkpoint either. Copy or "
            "download it again."
        ) from None


def _shard_names(weight_map: dict[str, object]) -> list[str]:
    """The names of the files; only plain names, as an index must not reach into other folders."""
    names: list[str] = []
    for name in dict.fromkeys(map(str, weight_map.values())):
        if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            _refuse(f"it refers to {name!r}, which is not a file beside it")
        names.append(name)
    if len(names) > MAXIMUM_SHARDS:
        _refuse(f"it refers to {len(names):,} files")
    return names


def _list_one(path: Path, list_shard: Callable[[Path], Listing]) -> Listing:
    if not path.is_file():
        _refuse(f"its file {path.name!r} is missing")
    try:
        return list_shard(path)
    except CheckpointError as error:
        raise CheckpointError(f"Its file {path.name!r} cannot be read. {error}") from error


def _refuse(reason: str) -> NoReturn:
    raise CheckpointError(
        f"It is the index of a checkpoint in several files, but {reason}. Download the whole "
        "folder again."
    )
