"""Writes the selected tensors as a tuning file and proves it.

A tuning file is what RT-DETRv2's `-t` reads: `{'model': {official name: tensor}}`. Beside `model`
it holds `rtdetr_nb`, the provenance, which the official loader ignores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
from rtdetr_nb.checkpoint.tuning.bare import check_bare, prove_strict, whole_backbone
from rtdetr_nb.checkpoint.tuning.input_format import InputFormat, fold_into_stem, named_format
from rtdetr_nb.checkpoint.tuning.judged import ConversionRefusedError, judge_content
from rtdetr_nb.checkpoint.tuning.output_path import check_output_path
from rtdetr_nb.checkpoint.tuning.proof import ReadBack, write_proved
from rtdetr_nb.checkpoint.tuning.report import WriteReport
from rtdetr_nb.checkpoint.tuning.stem_proof import StemProof, prove_stem
from rtdetr_nb.errors import TuningError

if TYPE_CHECKING:
    import torch

_PARTS = (BACKBONE, "encoder.", "decoder.")
_WAY_OUT = "allow_failed=True"


@dataclass(frozen=True)
class TuningContent:
    """What a tuning file will hold: everything was read, nothing is written yet.

    Attributes:
        selection: where the selected tensors come from.
        selected: their values by official name.
        tensors: every tensor of the file by its name there.
        base: the checkpoint that the other tensors come from, if there is one.
        prefix: what the backbone's names begin with in the file.
        stem: the proof of the stem, where an input format was folded into it.
        bare: the file will be the backbone's state dict itself, for `HGNetv2.pretrained`.
    """

    selection: Selection
    selected: Mapping[str, torch.Tensor]
    tensors: Mapping[str, torch.Tensor]
    base: Checkpoint | None
    prefix: str
    stem: StemProof | None = None
    bare: bool = False

    def name_of(self, official: str) -> str:
        """Return the name in the file of a tensor of the model."""
        return _prefixed(official, "" if self.bare else self.prefix)


def write_tuning_file(
    selection: Selection,
    path: str | PathLike[str],
    base: str | PathLike[str] | Checkpoint | None = None,
    overwrite: bool = False,
    prefix: str = BACKBONE,
    input_format: InputFormat | str | None = None,
    bare: bool = False,
    allow_failed: bool = False,
) -> WriteReport:
    """Write the selected tensors as a tuning file, and prove that the file returns them.

    What `convert` refuses is refused here too, with the same verdict.

    Args:
        selection: what to write.
        path: `.safetensors` writes that format; `.pth`, `.pt`, `.bin` and `.ckpt` a torch file.
        base: a full official checkpoint whose other tensors (encoder, decoder) are kept.
        overwrite: replace an existing file; never the source or the base.
        prefix: what the backbone's names begin with in the file. The official `-t` needs
            "backbone."; other programs may want "" or another prefix.
        input_format: what the backbone expects, or the name of it ("imagenet"): the stem is
            rewritten for the pictures that RT-DETRv2 feeds, and the rewriting is proved.
        bare: write the form that the official `HGNetv2.pretrained=FILE` loads strictly: the whole
            backbone under bare names, and nothing else. The official `-t` cannot read it.
        allow_failed: write although the verdict on it is "failed".

    Returns:
        The proof: every selected tensor, bit for bit or not.

    Raises:
        ConversionRefusedError: the verdict is "failed"; nothing was written.
        TuningError: the file cannot be written or does not return what was written, `base` does not
            fit, or the input format cannot be folded in. Nothing is left behind then.
        CheckpointError: the source or the base cannot be read.
    """
    opened = open_base(base)
    sources = [selection.diff.checkpoint, *([opened] if opened else [])]
    target = check_output_path(path, sources, overwrite=overwrite)
    expected = None if input_format is None else named_format(input_format)
    if bare:
        check_bare(target, prefix, opened is not None)
    content = read_content(selection, opened, prefix, bare)
    verdict = judge_content(content, target).verdict
    if verdict.failures and not allow_failed:
        raise ConversionRefusedError(target, verdict, _WAY_OUT)
    return write_content(mend_content(content, expected), target)[0]


def open_base(base: str | PathLike[str] | Checkpoint | None) -> Checkpoint | None:
    """Open the base where it is given by its path."""
    return base if base is None or isinstance(base, Checkpoint) else open_checkpoint(base)


def read_content(
    selection: Selection,
    base: Checkpoint | None,
    prefix: str,
    bare: bool = False,
) -> TuningContent:
    """Read the values of the selection, and of the base what the selection does not replace.

    Raises:
        TuningError: the prefix does not end in a dot, `base` does not fit, or a bare file would
            lack a part of the backbone.
        CheckpointError: the source or the base cannot be read.
    """
    if prefix and not prefix.endswith("."):
        raise TuningError(
            f"The prefix {prefix!r} does not end in a dot, so names would begin with "
            f"{prefix}stem. Give {prefix}. with its dot."
        )
    kept = {} if base is None else _base_keys(selection, base)
    if bare:
        selection = whole_backbone(selection)
    selected = selection.read()
    if bare:
        tensors = {name.removeprefix(BACKBONE): value for name, value in selected.items()}
        return TuningContent(selection, selected, tensors, None, prefix, bare=True)
    values = {} if base is None else base.read(k for n, k in kept.items() if n not in selected)
    merged = {
        name: selected[name] if name in selected else values[kept[name]]
        for name in {**kept, **selected}
    }
    tensors = {_prefixed(name, prefix): value for name, value in merged.items()}
    return TuningContent(selection, selected, tensors, base, prefix)


def mend_content(content: TuningContent, input_format: InputFormat | None) -> TuningContent:
    """Fold an input format into the selected stem, and prove that on pictures.

    Raises:
        TuningError: the stem is not selected, or the two do not compute the same.
    """
    if input_format is None:
        return content
    mended = fold_into_stem(content.selected, input_format)
    proof = prove_stem(content.selected, mended, input_format)
    new = {name: value for name, value in mended.items() if value is not content.selected[name]}
    tensors = {**content.tensors, **{content.name_of(name): value for name, value in new.items()}}
    return replace(content, selected=mended, tensors=tensors, stem=proof)


def write_content(content: TuningContent, path: Path) -> tuple[WriteReport, ReadBack]:
    """Write a tuning file and prove it; replaces an existing file.

    Raises:
        TuningError: the file cannot be written or does not return what was written. Nothing is
            left behind then.
    """
    provenance = _provenance(content)
    proof = write_proved(path, content.tensors, provenance, content.bare)
    if content.bare:
        prove_strict(path, content.selection.diff.config)
    equal = {name: proof.equal[content.name_of(name)] for name in content.selected}
    grafted = len(content.tensors) - len(content.selected)
    size = path.stat().st_size
    report = WriteReport(path, equal, grafted, size, provenance, content.stem, content.bare)
    return report, proof


def _provenance(content: TuningContent) -> dict[str, Any]:
    from rtdetr_nb import __version__

    selection, base = content.selection, content.base
    candidate, checkpoint = selection.diff.candidate, selection.diff.checkpoint
    rows = selection.rows
    provenance = {
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
        "asked_renames": [rename.text for rename in checkpoint.renames],
        "renames": {row.model_key: row.checkpoint_key for row in rows},
        "rules": dict(Counter(row.rule for row in rows if row.rule)),
        "value_fixes": {row.model_key: row.fix.why for row in rows if row.fix},
    }
    if content.stem is not None:
        provenance["input_format"] = content.stem.to_dict()
    if base is not None:
        provenance["base"] = {"file": base.path.name, "sha256": base.sha256()}
    return provenance


def _base_keys(selection: Selection, base: Checkpoint) -> dict[str, str]:
    """Return the base's tensors of the model: official name -> key in its file.

    Raises:
        TuningError: it is no full official checkpoint of the selection's variant.
    """
    candidate: FileCandidate = choose_candidate(base)
    names = base.keys_behind(candidate.root)
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
    return {name: key for name, key in names.items() if name.startswith(_PARTS)}


def _prefixed(name: str, prefix: str) -> str:
    return prefix + name.removeprefix(BACKBONE) if name.startswith(BACKBONE) else name
