"""The whole of `rtdetr-nb convert` in one call: from any checkpoint to a proved tuning file.

The source's values are read once and judged once, before anything is written; where pictures are
given, the backbone is asked which ones it expects. The written file is read back in one pass, and
what it holds is loaded into a fresh model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.checkpoint import Checkpoint, choose_candidate, open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import Diff, compare
from rtdetr_nb.checkpoint.comparison.judge import judge
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.official_loader.rules import match_officially
from rtdetr_nb.checkpoint.tuning.bare import check_bare, prove_strict
from rtdetr_nb.checkpoint.tuning.input_format import InputFormat
from rtdetr_nb.checkpoint.tuning.judged import ConversionRefusedError, judge_content
from rtdetr_nb.checkpoint.tuning.load import compare_loaded
from rtdetr_nb.checkpoint.tuning.output_path import check_output_path
from rtdetr_nb.checkpoint.tuning.proof import ReadBack
from rtdetr_nb.checkpoint.tuning.write import (
    TuningContent,
    mend_content,
    open_base,
    read_content,
    write_content,
)
from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.conversion.class_look import class_findings
from rtdetr_nb.conversion.conversion import Conversion, LoadProof
from rtdetr_nb.conversion.input_look import check_wanted, look_at_input
from rtdetr_nb.errors import SelectionError

if TYPE_CHECKING:
    from torch import nn

    from rtdetr_nb.diagnostics.measuring.pictures import Pictures

_WAY_OUT = "--force, or force=True in Python,"


def convert(
    source: str | PathLike[str] | Checkpoint,
    output: str | PathLike[str],
    config: Config | str | PathLike[str],
    data: Pictures | None = None,
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
        data: pictures of the training to come: a data source, a folder, or a list of files. With
            some, the verdict says whether the backbone was trained on pictures as RT-DETRv2 feeds
            them (see `check_input`); without, that nothing is known of it.
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
            rewritten for the pictures that RT-DETRv2 feeds, and the rewriting is proved. "auto"
            finds it with `data` and rewrites the stem where that is sure (or with `force`).
        bare: write the form that the official `HGNetv2.pretrained=FILE` loads strictly; see
            `write_tuning_file`.
        force: write although the verdict is "failed", and replace an existing output; a file that
            is read is never replaced.

    Raises:
        ConversionRefusedError: the verdict is "failed"; nothing was written.
        CheckpointError: the source or the base cannot be read, or holds no backbone.
        ConfigError: there is no such configuration.
        SelectionError: a pattern matches nothing, or nothing that fits is left.
        TuningError: the output cannot be written, the base does not fit, or there is no such input
            format.
        DatasetError: there are no pictures in `data`.
    """
    check_wanted(input_format, data)
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
    content = read_content(selection, opened, prefix, bare)
    selection = content.selection
    judgement = judge_content(content, path)
    if judgement.verdict.failures and not force:
        raise ConversionRefusedError(path, judgement.verdict, _WAY_OUT)
    look = look_at_input(selection, config, data, input_format, force=force)
    verdict = judgement.and_also([*look.findings, *class_findings(diff, data)]).verdict
    if verdict.failures and not force:
        raise ConversionRefusedError(path, verdict, _WAY_OUT)
    content = mend_content(content, look.input_format)
    report, written = write_content(content, path)
    proof = _prove_loading(content, written, config, path)
    return Conversion(selection, judgement.filled, verdict, report, proof, look.report)


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
            raise ConversionRefusedError(path, verdict, _WAY_OUT) from error
        raise


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
