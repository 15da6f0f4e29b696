"""Opens a checkpoint file of any kind: names, shapes and types first, tensors on demand.

Nothing in the file is imported, called or executed, whatever it holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rtdetr_nb.checkpoint.checkpoint_tables import checkpoint_html
from rtdetr_nb.checkpoint.naming.anchors import anchored_prefixes
from rtdetr_nb.checkpoint.naming.candidates import (
    Candidate,
    Candidates,
    candidates_called,
    find_candidates,
)
from rtdetr_nb.checkpoint.naming.copy_roles import names_at_top
from rtdetr_nb.checkpoint.naming.no_backbone import explain_no_backbone
from rtdetr_nb.checkpoint.naming.searched_names import (
    SearchedName,
    names_by_key,
    plain_names_behind,
    searched_names,
)
from rtdetr_nb.checkpoint.naming.shares import explain_share
from rtdetr_nb.checkpoint.naming.unknown_names import explain_unknown_names
from rtdetr_nb.checkpoint.naming.user_renames import Rename, read_renames
from rtdetr_nb.checkpoint.reading.arrays import check_expansion, read_array
from rtdetr_nb.checkpoint.reading.containers.detect import list_container
from rtdetr_nb.checkpoint.reading.hashing import sha256_of_files
from rtdetr_nb.checkpoint.reading.parametrised import fold_parametrised
from rtdetr_nb.checkpoint.reading.storage import OpenFiles
from rtdetr_nb.checkpoint.reading.tensor_info import ModuleInfo, TensorInfo
from rtdetr_nb.errors import AmbiguousCheckpointError, CheckpointError

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file that was listed; the values of its tensors are still in the file.

    Attributes:
        path: The file or folder.
        container: Sort of file: `torch zip`, `torch legacy`, `TorchScript`, `safetensors`,
            `safetensors index`, `torch bin index`, `pdparams`, `pickle`, `distributed checkpoint`.
        tensors: Every tensor by its dotted path from the root of the file, in the order of the
            file; with `subkey` only those below it, under the same paths. A weight that the file
            holds in parts (`weight_orig`, `weight_mask`) stands in their place.
        modules: Every pickled `nn.Module` by its path. Its tensors are in `tensors`, named as its
            state dict would name them.
        tree: Everything in the file as plain values: dict, list, tuple, str, numbers, bytes, None;
            sets are lists, a module is the dict of its tensors, a tensor is a `TensorInfo`, and an
            object of any other class is an `Opaque`.
        files: All files that belong to it; more than one for sharded checkpoints.
        subkey: The part that was asked for, None for all.
        refusal: What `torch.load(weights_only=True)` refuses in its pickle; "" for nothing.
        renames: What the names are searched under instead; the keys stay those of the file.
    """

    path: Path
    container: str
    tensors: Mapping[str, TensorInfo]
    modules: Mapping[str, ModuleInfo]
    tree: object = field(repr=False, compare=False)
    files: tuple[Path, ...] = field(repr=False)
    subkey: str | None = None
    refusal: str = field(default="", repr=False)
    renames: tuple[Rename, ...] = ()

    @cached_property
    def names(self) -> tuple[SearchedName, ...]:
        """The name of each tensor under which a backbone is searched, and how it came about."""
        return searched_names(
            self.tensors, self.renames, lambda names: bool(anchored_prefixes(names))
        )

    def renamed(self, rename: Mapping[str, str] | Iterable[str]) -> Checkpoint:
        """Return the same file, searched under other names; see `rename` of `open_checkpoint`.

        Raises:
            CheckpointError: a renaming cannot be done.
        """
        checkpoint = replace(self, renames=(*self.renames, *read_renames(rename)))
        _ = checkpoint.names  # a renaming that cannot be is told now, not at the first comparison
        return checkpoint

    @cached_property
    def share(self) -> str:
        """Which share of the weights it holds, if it is one process's file; "" if it is whole."""
        shapes = {key: tensor.shape for key, tensor in self.tensors.items()}
        return explain_share(shapes, names_at_top(self.tree))

    @cached_property
    def name_of(self) -> Mapping[str, str]:
        """The searched name of each key."""
        return names_by_key(self.names)

    def keys_behind(self, prefix: str) -> dict[str, str]:
        """Return the tensors whose name begins with `prefix`: the rest of the name -> the key.

        The words of wrappers are taken out of the rest.
        """
        return {name: key for name, (key, _) in plain_names_behind(self.names, prefix).items()}

    @cached_property
    def candidates(self) -> Candidates[FileCandidate]:
        """Every HGNetv2 in the file, the one that is most likely meant first."""
        beside = names_at_top(self.tree)
        found = find_candidates(self.tensors, self.modules, self.names, beside)
        return Candidates(FileCandidate(**_fields(each), checkpoint=self) for each in found)

    def read(self, keys: Iterable[str]) -> dict[str, torch.Tensor]:
        """Read tensors, and from the file only the bytes that they span.

        Args:
            keys: Some of `tensors`.

        Returns:
            The tensors by key, on the CPU, in the dtype of the file, contiguous, and each a copy of
            its own even where the file shares one storage between several.

        Raises:
            CheckpointError: A key is not in the file, the bytes are damaged, the file was changed
                since it was opened, or the tensors are far larger than the file.
        """
        import torch

        tensors: dict[str, torch.Tensor] = {}
        for key, array in self.read_numpy(keys).items():
            dtype = getattr(torch, self.tensors[key].dtype)
            tensor = torch.from_numpy(array)
            tensors[key] = tensor if tensor.dtype == dtype else tensor.view(dtype)
        return tensors

    def read_numpy(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
        """Read tensors without torch; as `read`, but numpy arrays.

        Types that numpy lacks are carried by their bits: bfloat16 as uint16, float8 as uint8,
        complex32 as uint32. `tensors[key].dtype` says what they are.
        """
        wanted = [self._find(key) for key in keys]
        with self._explaining():
            check_expansion(wanted, self._file_size())
            with OpenFiles() as files:
                return {tensor.key: read_array(tensor, files) for tensor in wanted}

    def iterate_numpy(self, keys: Iterable[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Read tensors one by one, as `read_numpy` does, so that only one need be in memory.

        Yields:
            Key and array. Dropping each before the next is also the fastest way through a file:
            the system hands out the same memory again instead of clearing new pages.
        """
        wanted = [self._find(key) for key in keys]
        with self._explaining(), OpenFiles() as files:
            file_size = self._file_size()
            for tensor in wanted:
                check_expansion([tensor], file_size)
                yield tensor.key, read_array(tensor, files)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Say of a failure to read which file it was."""
        try:
            yield
        except MemoryError as error:
            raise CheckpointError(
                f"{self.path}: the tensors asked for do not fit into memory. Ask for fewer at once."
            ) from error
        except (CheckpointError, OSError) as error:
            raise CheckpointError(f"{self.path}: {error}") from error

    def _file_size(self) -> int:
        return sum(file.stat().st_size for file in self.files)

    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal.

        Of a checkpoint of several files: of the lines `<sha256> <file name>`, in the order of
        `files`, as the `sha256sum` program would hash and list them.
        """
        return sha256_of_files(self.files)

    def _find(self, key: str) -> TensorInfo:
        try:
            return self.tensors[key]
        except KeyError:
            raise CheckpointError(
                f"{self.path}: there is no tensor {key!r} in it. Its {len(self.tensors):,} tensors "
                "are listed in `tensors`."
            ) from None

    def __repr__(self) -> str:
        nbytes = sum(tensor.nbytes for tensor in self.tensors.values())
        return (
            f"Checkpoint({str(self.path)!r}, {self.container}, {len(self.tensors):,} tensors, "
            f"{nbytes / 1e6:,.1f} MB)"
        )

    def _repr_html_(self) -> str:
        return checkpoint_html(self)


@dataclass(frozen=True, kw_only=True)
class FileCandidate(Candidate):
    """A backbone inside a file that was opened; `checkpoint` is that file."""

    checkpoint: Checkpoint = field(repr=False, compare=False)


def _fields(candidate: Candidate) -> dict[str, Any]:
    return {each.name: getattr(candidate, each.name) for each in fields(candidate)}


def open_checkpoint(
    path: str | os.PathLike[str],
    *,
    subkey: str | None = None,
    rename: Mapping[str, str] | Iterable[str] | None = None,
) -> Checkpoint:
    """Open a checkpoint and list what is in it, without running anything from it.

    Args:
        path: A file of torch.save (zip or legacy), safetensors, TorchScript or Paddle, the index of
            a sharded checkpoint, or a folder of torch.distributed.checkpoint.
        subkey: Dotted path of the part to look at, e.g. `ema.module`; keys keep their full path.
        rename: Names to search instead of the file's: `{pattern: replacement}`, or texts
            `PATTERN=REPLACEMENT`, each applied to whole keys as in `re.sub`, in their order.

    Returns:
        The listed checkpoint. No tensor was read.

    Raises:
        CheckpointError: It is no checkpoint, it is damaged or unsafe, or has no `subkey`; or a
            renaming is no regular expression, changes nothing or makes two keys one. The message
            says what it is and what to do.
    """
    path = Path(path)
    try:
        listing = list_container(path)
    except (CheckpointError, OSError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    tensors, modules = fold_parametrised(listing.tensors), listing.modules
    if subkey is not None:
        tensors = {key: tensor for key, tensor in tensors.items() if _is_below(key, subkey)}
        modules = {key: module for key, module in modules.items() if _is_below(key, subkey)}
        if not tensors:
            top = ", ".join(sorted({key.partition(".")[0] for key in listing.tensors})[:12])
            raise CheckpointError(
                f"{path}: there are no tensors below {subkey!r}. Its top-level keys with tensors "
                f"are: {top or 'none'}."
            )
    checkpoint = Checkpoint(
        path,
        listing.container,
        MappingProxyType(dict(tensors)),
        MappingProxyType(dict(modules)),
        listing.tree,
        listing.files,
        subkey,
        listing.refusal,
    )
    return checkpoint.renamed(rename) if rename else checkpoint


def choose_candidate(
    checkpoint: Checkpoint, name: str | None = None, variant: str | None = None
) -> FileCandidate:
    """Return the candidate called `name`, or the one that is meant.

    Args:
        checkpoint: the file.
        name: a candidate's name, its prefix or its role, as long as it points at one.
        variant: the configured size, which may decide between candidates of the same rank.

    Raises:
        CheckpointError: there is no backbone, or none of that name.
        AmbiguousCheckpointError: several are equally likely.
    """
    candidates = checkpoint.candidates
    if not candidates:
        names = {name: checkpoint.tensors[key].shape for key, name in checkpoint.name_of.items()}
        hint = checkpoint.share or explain_unknown_names(names)
        raise CheckpointError(explain_no_backbone(checkpoint.path, list(names), hint))
    if name is not None:
        candidates = candidates_called(candidates, name)
    best = [candidate for candidate in candidates if candidate.rank == candidates[0].rank]
    best = [candidate for candidate in best if candidate.variant == variant] or best
    if len(best) == 1 or name in (best[0].name, best[0].prefix):
        return best[0]
    listed = "; ".join(f"{c.name} ({c.role}, {c.tensors} tensors, {c.dtype})" for c in best)
    raise AmbiguousCheckpointError(
        f"{checkpoint.path} holds {len(best)} backbones that nothing tells apart: {listed}. "
        f"Choose one by name: --candidate NAME, or ckpt.candidates[i] in Python."
    )


def _is_below(key: str, subkey: str) -> bool:
    return key == subkey or key.startswith(f"{subkey.rstrip('.')}.")
