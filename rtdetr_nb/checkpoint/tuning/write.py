"""Tuning files: written from a selection and proved, and loaded by the official rules.

A tuning file is what RT-DETRv2's `-t` reads: `{'model': {official name: tensor}}`. Beside `model`
it holds `rtdetr_nb`, the provenance, which the official loader ignores.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.checkpoint import (
    Checkpoint,
    FileCandidate,
    choose_candidate,
    open_checkpoint,
)
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.official_loader.rules import (
    OfficialError,
    match_officially,
    official_state_dict,
)
from rtdetr_nb.checkpoint.tuning.proof import bit_equal, write_proved
from rtdetr_nb.errors import TuningError
from rtdetr_nb.text.html_pieces import badge, shown
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted, show_as_text
from rtdetr_nb.text.printable import printable
from rtdetr_nb.text.table import Table

if TYPE_CHECKING:
    import torch
    from torch import nn

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TuningReport:
    """What a tuning file did to a model.

    Attributes:
        path: the file.
        source: the state dict in it that was taken ("model" or "ema.module").
        loaded: names whose values are now the file's.
        missed: names of the model that the file lacks (as the official log calls them).
        unmatched: names of the model whose shape in the file differs.
        unused: keys of the file that the model lacks; the official code never says them.
    """

    path: Path
    source: str
    loaded: tuple[str, ...] = field(repr=False)
    missed: tuple[str, ...] = field(repr=False)
    unmatched: tuple[str, ...] = field(repr=False)
    unused: tuple[str, ...] = field(repr=False)

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        lines = [f"{self.path}: {counted(len(self.loaded), 'tensor')} loaded from {self.source!r}"]
        for name in ("missed", "unmatched", "unused"):
            keys = getattr(self, name)
            if keys:
                shown = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
                lines.append(f"  {name}: {len(keys)} ({shown})")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return tuning_html(self)


def tuning_html(report: TuningReport) -> str:
    """Return what a tuning file did to a model as HTML."""
    groups = ("loaded", "missed", "unmatched", "unused")
    counted = ((word, getattr(report, word)) for word in groups)
    rows = tuple((word, str(len(keys)), first_of(keys, 2)) for word, keys in counted)
    columns = ("state dict", "tensors", "first names")
    title = f"{report.path}, {report.source!r}"
    return Table(title, columns, rows, frozenset({"tensors"})).html()


@dataclass(frozen=True)
class WriteReport:
    """What was written, and what was proved by reading it again.

    Attributes:
        path: the file.
        equal: for every selected tensor, whether the file returns it bit for bit.
        grafted: number of other tensors that came from the base.
        nbytes: size of the file.
        provenance: what the file says about where it comes from.
    """

    path: Path
    equal: Mapping[str, bool] = field(repr=False)
    grafted: int
    nbytes: int
    provenance: Mapping[str, Any] = field(repr=False)

    @property
    def bit_equal(self) -> bool:
        """Whether every selected tensor is bit for bit in the file."""
        return all(self.equal.values())

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        grafted = f" and {self.grafted} from the base" if self.grafted else ""
        return (
            f"{self.path}: {len(self.equal)} selected tensors{grafted}, {self.nbytes:,} bytes, "
            f"read back bit-equal"
        )

    def _repr_html_(self) -> str:
        return f"<p>{badge('ok')} {shown(str(self))}</p>"


def load_tuning_file(model: nn.Module, path: str | PathLike[str]) -> TuningReport:
    """Load a tuning file into a model, by the official rules and without running its pickle.

    Every tensor of the same name and shape is copied; the rest of the model stays as it is. The
    two lines that the official code prints are logged, and the unused keys as a warning.

    Args:
        model: changed in place; inside a parallel wrapper or not.
        path: a checkpoint with `['ema']['module']` or `['model']`, or safetensors with the
            official names.

    Raises:
        CheckpointError: the file cannot be read.
        TuningError: the official code would fail on it, or would load nothing from it.
    """
    from torch.nn.parallel import DataParallel, DistributedDataParallel

    checkpoint = open_checkpoint(path)
    logger.info("tuning checkpoint from %s", path)
    source, params = _tuning_state(checkpoint)
    wrapped = isinstance(model, DataParallel | DistributedDataParallel)
    module: nn.Module = model.module if wrapped else model  # pyright: ignore[reportAssignmentType]
    shapes = {key: tuple(value.shape) for key, value in module.state_dict().items()}
    try:
        match = match_officially(shapes, params)
    except OfficialError as error:
        raise TuningError(f"{path} cannot be loaded: a value is no tensor ({error}).") from error
    if not match.loaded:
        raise TuningError(_nothing_matches(checkpoint, source, params))
    values = checkpoint.read([params[key].key for key in match.loaded])
    state = {key: values[params[key].key] for key in match.loaded}
    module.load_state_dict(state, strict=False)
    logger.info("%s", match.log_line)
    # Frozen norms count no batches; that their counters go unused harms nothing.
    unused = [key for key in match.unused if not key.endswith("num_batches_tracked")]
    if unused:
        logger.warning(
            "%d keys of the file are not in the model and were not used: %s", len(unused), unused
        )
    return TuningReport(
        checkpoint.path, source, match.loaded, match.missed, match.unmatched, match.unused
    )


def write_tuning_file(
    selection: Selection,
    path: str | PathLike[str],
    base: str | PathLike[str] | Checkpoint | None = None,
    overwrite: bool = False,
    prefix: str = BACKBONE,
) -> WriteReport:
    """Write the selected tensors as a tuning file, and prove that the file returns them.

    Args:
        selection: what to write.
        path: `.safetensors` writes that format, anything else a torch file.
        base: a full official checkpoint whose other tensors (encoder, decoder) are kept.
        overwrite: replace an existing file; never the source or the base.
        prefix: what the backbone's names begin with in the file. The official `-t` needs
            "backbone."; other programs may want "" or a prefix of their own.

    Returns:
        The proof: every selected tensor, bit for bit or not.

    Raises:
        TuningError: the file cannot be written or does not return what was written, or `base`
            does not fit. Nothing is left behind then.
        CheckpointError: the source or the base cannot be read.
    """
    path = Path(path)
    _check_name(path)
    _spare(path, selection.diff.checkpoint)
    selected = selection.read()
    provenance = _provenance(selection)
    tensors = dict(selected)
    if base is not None:
        opened = base if isinstance(base, Checkpoint) else open_checkpoint(base)
        _spare(path, opened)
        tensors = _graft(selection, selected, opened)
        provenance["base"] = {"file": opened.path.name, "sha256": opened.sha256()}
    tensors = {_prefixed(name, prefix): value for name, value in tensors.items()}
    same = write_proved(path, tensors, provenance, overwrite=overwrite)
    equal = {name: same[_prefixed(name, prefix)] for name in selected}
    grafted = len(tensors) - len(selected)
    return WriteReport(path, equal, grafted, path.stat().st_size, provenance)


def prove_loaded(model: nn.Module, selection: Selection) -> dict[str, bool]:
    """Compare a model's tensors with the selection, bit for bit: name -> equal or not."""
    state = model.state_dict()
    return {key: bit_equal(state[key].cpu(), value) for key, value in selection.read().items()}


def _check_name(path: Path) -> None:
    """Refuse what no file can be called, and what cannot be looked at."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass  # a new file; whether its folder is there is seen when it is written
    except (OSError, ValueError) as error:
        raise TuningError(
            f"{str(path)!r} cannot be written: {getattr(error, 'strerror', None) or error}. Give "
            "another name."
        ) from error


def _spare(path: Path, checkpoint: Checkpoint) -> None:
    """Refuse to replace what is read: it holds more than a tuning file does."""
    if path.exists() and any(path.samefile(file) for file in checkpoint.files if file.exists()):
        raise TuningError(
            f"{path} is what the tensors come from, and may hold more than the tuning file would. "
            "Give another name for the output."
        )


def _tuning_state(checkpoint: Checkpoint) -> tuple[str, Mapping[Any, Any]]:
    if checkpoint.container.startswith("safetensors"):
        # The format cannot nest: the names themselves are the state dict.
        return "safetensors", checkpoint.tensors
    try:
        return official_state_dict(checkpoint.tree, checkpoint.modules)
    except OfficialError as error:
        raise TuningError(
            f"{checkpoint.path} is no tuning file: the official loader would stop with "
            f"`{error}`. {_contents_sentence(checkpoint)}"
        ) from error


def _contents_sentence(checkpoint: Checkpoint) -> str:
    candidates = checkpoint.candidates
    if not candidates:
        return "It holds no HGNetv2 backbone either; choose another file."
    held = ", ".join(f"{c.name} (HGNetv2-{c.variant or '?'}, {c.dialect})" for c in candidates)
    return (
        f"It holds {held}; `rtdetr-nb convert --input {checkpoint.path} --output tuning.pth` "
        f"makes a tuning file of it."
    )


def _nothing_matches(checkpoint: Checkpoint, source: str, params: Mapping[Any, Any]) -> str:
    first = ", ".join(printable(str(key)) for key in list(params)[:3]) or "nothing"
    return (
        f"No tensor of {checkpoint.path} fits the model: {source!r} holds {len(params)} keys "
        f"beginning with {first}, and none has the name and shape of a tensor of the model. The "
        f"official loader would go on with random weights. {_contents_sentence(checkpoint)}"
    )


def _provenance(selection: Selection) -> dict[str, Any]:
    from rtdetr_nb import __version__

    candidate, checkpoint = selection.diff.candidate, selection.diff.checkpoint
    rows = selection.rows
    return {
        "version": __version__,
        "source": {
            "file": checkpoint.path.name,
            "sha256": checkpoint.sha256(),
            "container": checkpoint.container,
        },
        "candidate": {
            name: getattr(candidate, name)
            for name in ("name", "prefix", "dialect", "variant", "role", "dtype")
        },
        "selection": {"description": selection.description, "tensors": len(selection)},
        "renames": {row.model_key: row.checkpoint_key for row in rows},
        "value_fixes": {row.model_key: row.fix.why for row in rows if row.fix},
    }


def _graft(
    selection: Selection, selected: Mapping[str, torch.Tensor], base: Checkpoint
) -> dict[str, torch.Tensor]:
    """Return the base's tensors under official names, the selected ones in their places."""
    candidate: FileCandidate = choose_candidate(base)
    names = {
        key.removeprefix(candidate.root): key
        for key in base.tensors
        if key.startswith(candidate.root)
    }
    has_heads = any(name.startswith(("encoder.", "decoder.")) for name in names)
    if candidate.dialect != "official" or candidate.root == candidate.prefix or not has_heads:
        raise TuningError(
            f"{base.path} cannot be the base: expected a full official RT-DETRv2 checkpoint with "
            f"backbone, encoder and decoder; it holds {candidate.tensors} backbone tensors in the "
            f"{candidate.dialect} dialect{'' if has_heads else ' and no encoder or decoder'}."
        )
    if candidate.variant != selection.diff.candidate.variant:
        raise TuningError(
            f"{base.path} cannot be the base: it is HGNetv2-{candidate.variant}, and the "
            f"selection HGNetv2-{selection.diff.candidate.variant}."
        )
    own = {
        name: key
        for name, key in names.items()
        if name.startswith((BACKBONE, "encoder.", "decoder."))
    }
    values = base.read(key for name, key in own.items() if name not in selected)
    grafted = {name: values[key] for name, key in own.items() if name not in selected}
    return {name: selected.get(name, grafted.get(name)) for name in {**own, **selected}}  # pyright: ignore[reportReturnType]


def _prefixed(name: str, prefix: str) -> str:
    return prefix + name.removeprefix(BACKBONE) if name.startswith(BACKBONE) else name
