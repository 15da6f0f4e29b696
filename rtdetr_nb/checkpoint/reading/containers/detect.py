"""Tells the sorts of checkpoint files apart, by what is in them and not by their names."""

from __future__ import annotations

from pathlib import Path

from rtdetr_nb.checkpoint.reading.containers.bare_pickle import list_bare_pickle
from rtdetr_nb.checkpoint.reading.containers.not_a_checkpoint import (
    HEAD_SIZE,
    refuse_contents,
    refuse_folder,
    refuse_path,
)
from rtdetr_nb.checkpoint.reading.containers.torch_legacy import MAGIC_NUMBER, list_legacy
from rtdetr_nb.checkpoint.reading.containers.torch_zip import list_torch_zip
from rtdetr_nb.checkpoint.reading.containers.zip_directory import LOCAL_SIGNATURE
from rtdetr_nb.checkpoint.reading.pickle.reader import PickleReader
from rtdetr_nb.checkpoint.reading.storage import FileRegion, SourceFile, buffered, read_exactly
from rtdetr_nb.checkpoint.reading.tensor_info import Listing
from rtdetr_nb.errors import CheckpointError

_PICKLE_START = b"\x80"
_TEXT_LEGACY_START = b"L%dL\n." % MAGIC_NUMBER
"""The magic number of a legacy file that was saved with pickle protocol 0 or 1."""


def list_container(path: Path) -> Listing:
    """List the checkpoint at `path`, whatever its container is.

    Raises:
        CheckpointError: It is not a checkpoint, or damaged; the message says what it is and what to
            do, without its name.
    """
    refuse_path(path)
    if path.is_dir():
        # Imported only here, as those below: most files need at most one of them.
        from rtdetr_nb.checkpoint.reading.containers.torch_distributed import (
            TABLE_NAME,
            list_distributed,
        )

        if (path / TABLE_NAME).is_file():
            return list_distributed(path)
        raise refuse_folder(path)
    return _list_file(path, may_be_index=True)


def _list_file(path: Path, may_be_index: bool = False) -> Listing:
    if path.suffix == ".distcp":
        raise CheckpointError(
            "It is one file of a checkpoint of torch.distributed.checkpoint. Open the folder that "
            "it is in."
        )
    source = SourceFile.at(path)
    with source.open() as file:
        head = bytes(read_exactly(file, 0, min(source.size, HEAD_SIZE)))
    if head.startswith(LOCAL_SIGNATURE):
        return list_torch_zip(source)
    # Before pickles: the first byte is a part of a size here, and may be that of a pickle.
    if head[8:9] == b"{":
        from rtdetr_nb.checkpoint.reading.containers.safetensors_file import (
            is_safetensors,
            list_safetensors,
        )

        if is_safetensors(head):
            return list_safetensors(source)
    if head.startswith((_PICKLE_START, _TEXT_LEGACY_START)):
        return _list_pickle(source)
    if may_be_index and head.lstrip()[:1] == b"{":
        from rtdetr_nb.checkpoint.reading.containers.sharded import list_index

        return list_index(source, _list_file)
    raise refuse_contents(path, head, source.size)


def _list_pickle(source: SourceFile) -> Listing:
    with source.open() as file, buffered(FileRegion(file, 0, source.size)) as stream:
        reader = PickleReader(stream, source.size)
        node = reader.load()
        if node == MAGIC_NUMBER:
            return list_legacy(source, stream, reader)
    if source.path.name == ".metadata":
        raise CheckpointError(
            "It is the table of a distributed checkpoint. Open the folder that it is in."
        )
    return list_bare_pickle(source, node, reader.refusal)
