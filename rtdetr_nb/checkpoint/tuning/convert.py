"""The whole of `rtdetr-nb convert` in one call: from any checkpoint to a proved tuning file.

The source's values are read once and judged once, before anything is written. The written file is
read back in one pass, and what it holds is loaded into a fresh model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.checkpoint import Checkpoint, choose_candidate, open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import Diff, compare
from rtdetr_nb.checkpoint.comparison.judge import judge
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.official_loader.rules import OfficialMatch, match_officially
from rtdetr_nb.checkpoint.reading.tensor_info import TensorInfo
from rtdetr_nb.checkpoint.tuning.bare import check_bare, prove_strict
from rtdetr_nb.checkpoint.tuning.input_format import InputFormat
from rtdetr_nb.checkpoint.tuning.load import compare_loaded
from rtdetr_nb.checkpoint.tuning.output_path import check_output_path
from rtdetr_nb.checkpoint.tuning.proof import ReadBack
from rtdetr_nb.checkpoint.tuning.report import WriteReport
from rtdetr_nb.checkpoint.tuning.write import (
    TuningContent,
    open_base,
    read_content,
    write_content,
)
from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import CheckpointError, SelectionError, TuningError
from rtdetr_nb.text.findings import Verdict
from rtdetr_nb.text.html_pieces import shown
from rtdetr_nb.text.plain_text import show_as_text

if TYPE_CHECKING:
    from torch import nn


class ConversionRefusedError(TuningError):
    """The verdict on what would be written is "failed"; nothing was written.

    Attributes:
        verdict: the verdict, with all its findings.
    """

    def __init__(self, output: Path, verdict: Verdict) -> None:
        failures = "".join(f"\n  {finding}" for finding in verdict.failures)
        super().__init__(
            f"{output} was not written:{failures}\n"
            "  (--force, or force=True in Python, writes what can be written.)"
        )
        self.verdict = verdict


@dataclass(frozen=True)
class LoadProof:
    """What loading the written file into a fresh model did, by the official rules.

    Attributes:
        match: what becomes of each tensor of the model.
        equal: for each selected tensor, whether the model holds it bit for bit.
        strict: it was loaded by `HGNetv2.pretrained`, into the backbone alone.
    """

    match: OfficialMatch = field(repr=False)
    equal: Mapping[str, bool] = field(repr=False)
    strict: bool = False

    @property
    def bit_equal(self) -> bool:
        """Whether the model holds every selected tensor bit for bit."""
        return all(self.equal.values())

    def __str__(self) -> str:
        equal = "bit-equal" if self.bit_equal else "NOT EQUAL"
        how = (
            "loaded strictly into a fresh backbone" if self.strict else "loaded into a fresh model"
        )
        return f"{how}: {len(self.equal)} tensors {equal}"


@dataclass(frozen=True)
class Conversion:
    """A tuning file that was written: what was taken, judged and proved.

    Attributes:
        selection: the tensors that were taken from the source.
        filled: the comparison of the tuning file with the model; None if its names are not the
            official ones, or if too little was selected to recognise a backbone.
        verdict: the verdict on what was written.
        report: what was written and read back.
        proof: what a fresh model loads from it; None if its names are not the official ones.
    """

    selection: Selection = field(repr=False)
    filled: Diff | None = field(repr=False)
    verdict: Verdict
    report: WriteReport
    proof: LoadProof | None

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        lines = [self.verdict.text(), f"written {self.report}"]
        return "\n".join([*lines, *([str(self.proof)] if self.proof else [])])

    def _repr_html_(self) -> str:
        proof = f"<p>{shown(str(self.proof))}</p>" if self.proof else ""
        return f"{self.verdict._repr_html_()}{self.report._repr_html_()}{proof}"


def convert(
    source: str | PathLike[str] | Checkpoint,
    output: str | PathLike[str],
    config: Config | str | PathLike[str],
    *,
    include: Iterable[str] | str | None = None,
    exclude: Iterable[str] | str = (),
    candidate: str | None = None,
    subkey: str | None = None,
    accept_near: bool = False,
    rename: Mapping[str, str] | Iterable[str] | None = None,
    base: str | PathLike[str] | Checkpoint | None = None,
    prefix: str = BACKBONE,
    input_format: InputFormat | str | None = None,
    bare: bool = False,
    force: bool = False,
) -> Conversion:
    """Write the tuning file of a checkpoint and prove it, unless the verdict is "failed".

    Args:
        source: a checkpoint of any kind; nothing in it is run.
        output: `.pth`, `.pt`, `.bin` and `.ckpt` are files of torch.save, which the official `-t`
            reads; `.safetensors` is that format.
        config: the configuration of the model, or what `load_config` takes.
        include, exclude: patterns of the tensors to take and to leave out; see `Diff.select`.
        candidate: which backbone of the file to take, by its name, prefix or role.
        subkey: look below this key of the file only.
        accept_near: apply the pairs of near names that the comparison offers.
        rename: names to search instead of the file's, as `open_checkpoint` takes them; added to
            those of a source that is open already.
        base: a full official checkpoint whose encoder and decoder are kept.
        prefix: what the backbone's names begin with in the output. The official `-t` needs
            "backbone.".
        input_format: what the backbone expects, or the name of it ("imagenet"): the stem is
            rewritten for the pictures that RT-DETRv2 feeds, and the rewriting is proved.
        bare: write the form that the official `HGNetv2.pretrained=FILE` loads strictly; see
            `write_tuning_file`.
        force: write although the verdict is "failed", and replace an existing output; a file that
            is read is never replaced.

    Raises:
        ConversionRefusedError: the verdict is "failed"; nothing was written.
        CheckpointError: the source or the base cannot be read, or holds no backbone.
        ConfigError: there is no such configuration.
        SelectionError: a pattern matches nothing, or nothing that fits is left.
        TuningError: the output cannot be written, or the base does not fit.
    """
    config = config if isinstance(config, Config) else load_config(config)
    if not isinstance(source, Checkpoint):
        source = open_checkpoint(source, subkey=subkey, rename=rename)
    elif rename:
        source = source.renamed(rename)
    opened = open_base(base)
    path = check_output_path(output, [source, *([opened] if opened else [])], overwrite=force)
    if bare:
        check_bare(path, prefix, opened is not None)
    diff = compare(choose_candidate(source, candidate, config.backbone.name), config)
    if accept_near:
        diff = diff.accept_near()
    selection = _select(diff, include, exclude, path, force)
    content = read_content(selection, opened, prefix, input_format, bare)
    selection = content.selection
    filled = _compare_content(content, path)
    verdict = judge(diff, selection.rows, values=content.selected, filled=filled)
    if verdict.failures and not force:
        raise ConversionRefusedError(path, verdict)
    report, written = write_content(content, path)
    proof = _prove_loading(content, written, config, path)
    return Conversion(selection, filled, verdict, report, proof)


def _select(
    diff: Diff,
    include: Iterable[str] | str | None,
    exclude: Iterable[str] | str,
    path: Path,
    force: bool,
) -> Selection:
    """Select; where nothing can be taken from a file that is judged "failed", say that instead."""
    try:
        return diff.select(include, exclude)
    except SelectionError as error:
        verdict = judge(diff, rows=())
        if verdict.failures and not force:
            raise ConversionRefusedError(path, verdict) from error
        raise


def _compare_content(content: TuningContent, path: Path) -> Diff | None:
    """Compare a tuning file with the model before it is written, as it will be listed."""
    if content.prefix != BACKBONE:
        return None
    top = "" if content.bare else "model."
    listed = {
        top + name: TensorInfo(
            top + name, tuple(value.shape), str(value.dtype).removeprefix("torch.")
        )
        for name, value in content.tensors.items()
    }
    own = {name: listed[top + name] for name in content.tensors}
    tree = own if content.bare else {"model": own}
    tuning = Checkpoint(path, "torch zip", listed, MappingProxyType({}), tree, ())
    try:
        return compare(tuning, content.selection.diff.config)
    except CheckpointError:  # too little was selected to recognise a backbone
        return None


def _prove_loading(
    content: TuningContent, written: ReadBack, config: Config, path: Path
) -> LoadProof | None:
    """Load what was written as the official code would; None if its names are other ones."""
    if content.bare:
        return _load_strictly(content, config, path)
    if content.prefix != BACKBONE:
        return None
    return _load_into_fresh_model(content, written, config)


def _load_strictly(content: TuningContent, config: Config, path: Path) -> LoadProof:
    """Build the backbone with `HGNetv2.pretrained=FILE`, and compare what arrived."""
    from rtdetr_nb.model.build import build_backbone

    backbone = build_backbone(config.with_values({"HGNetv2.pretrained": str(path)}))
    bare = {name.removeprefix(BACKBONE): value for name, value in content.selected.items()}
    equal = {BACKBONE + name: same for name, same in compare_loaded(backbone, bare).items()}
    return LoadProof(prove_strict(path, config), equal, strict=True)


def _load_into_fresh_model(content: TuningContent, written: ReadBack, config: Config) -> LoadProof:
    """Load what the file returned into a model, as training would, and compare what arrived.

    The values in memory stand for those of the file: they were compared bit for bit.
    """
    model = _build(config)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    match = match_officially(shapes, written.state_dict)
    model.load_state_dict({key: content.tensors[key] for key in match.loaded}, strict=False)
    return LoadProof(match, compare_loaded(model, content.selected))


def _build(config: Config) -> nn.Module:
    """Build the configured model with random weights."""
    from rtdetr_nb.model.build import build_model

    return build_model(config.override(["HGNetv2.pretrained=False"]))
