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
from rtdetr_nb.text.findings import Verdict, findings_html
from rtdetr_nb.text.html_pieces import answer_box, shown
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
    """

    match: OfficialMatch = field(repr=False)
    equal: Mapping[str, bool] = field(repr=False)

    @property
    def bit_equal(self) -> bool:
        """Whether the model holds every selected tensor bit for bit."""
        return all(self.equal.values())

    def __str__(self) -> str:
        equal = "bit-equal" if self.bit_equal else "NOT EQUAL"
        return f"loaded into a fresh model: {len(self.equal)} tensors {equal}"


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
        lines = [f"verdict: {self.verdict}. Written {self.report}", *self._proof_lines()]
        found = [f"  {finding.level}: {finding}" for finding in self.verdict.findings]
        return "\n".join([*lines, *found])

    def _repr_html_(self) -> str:
        proof = map(shown, self._proof_lines())
        box = answer_box(
            str(self.verdict), "Written", f"{self.report}. {self.verdict.counts}", proof
        )
        return box + findings_html(self.verdict.findings)

    def _proof_lines(self) -> list[str]:
        return [str(self.proof)] if self.proof else []


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
    base: str | PathLike[str] | Checkpoint | None = None,
    prefix: str = BACKBONE,
    input_format: InputFormat | str | None = None,
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
        base: a full official checkpoint whose encoder and decoder are kept.
        prefix: what the backbone's names begin with in the output. The official `-t` needs
            "backbone.".
        input_format: what the backbone expects, or the name of it ("imagenet"): the stem is
            rewritten for the pictures that RT-DETRv2 feeds, and the rewriting is proved.
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
        source = open_checkpoint(source, subkey=subkey)
    opened = open_base(base)
    path = check_output_path(output, [source, *([opened] if opened else [])], overwrite=force)
    diff = compare(choose_candidate(source, candidate, config.backbone.name), config)
    if accept_near:
        diff = diff.accept_near()
    selection = _select(diff, include, exclude, path, force)
    content = read_content(selection, opened, prefix, input_format)
    filled = _compare_content(content, path)
    verdict = judge(diff, selection.rows, values=content.selected, filled=filled)
    if verdict.failures and not force:
        raise ConversionRefusedError(path, verdict)
    report, written = write_content(content, path)
    proof = _load_into_fresh_model(content, written, config) if prefix == BACKBONE else None
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
    listed = {
        f"model.{name}": TensorInfo(
            f"model.{name}", tuple(value.shape), str(value.dtype).removeprefix("torch.")
        )
        for name, value in content.tensors.items()
    }
    tree = {"model": {name: listed[f"model.{name}"] for name in content.tensors}}
    tuning = Checkpoint(path, "torch zip", listed, MappingProxyType({}), tree, ())
    try:
        return compare(tuning, content.selection.diff.config)
    except CheckpointError:  # too little was selected to recognise a backbone
        return None


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
