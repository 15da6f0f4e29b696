"""Was the backbone trained on pictures as RT-DETRv2 feeds them, and do its layers fit its norms?"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from rtdetr_nb.checkpoint.tuning.input_format import (
    FORMATS,
    InputFormat,
    fold_into_stem,
    named_format,
)
from rtdetr_nb.checkpoint.tuning.write import write_tuning_file
from rtdetr_nb.config.config import Config
from rtdetr_nb.diagnostics.input_format.first_norm import (
    FormatJudgement,
    judge_formats,
    patch_moments,
    weigh_formats,
)
from rtdetr_nb.diagnostics.input_format.for_verdicts import WHERE
from rtdetr_nb.diagnostics.input_format.generated_pictures import dead_leaves
from rtdetr_nb.diagnostics.input_format.input_findings import Evidence, format_findings
from rtdetr_nb.diagnostics.input_format.input_report import BothProbed, InputReport
from rtdetr_nb.diagnostics.input_format.layer_findings import layer_findings
from rtdetr_nb.diagnostics.input_format.norm_fit import NormFit, fit_norms
from rtdetr_nb.diagnostics.input_format.stated_format import Statement, stated_formats
from rtdetr_nb.diagnostics.measuring.norm_statistics import load_backbone, measure_norms
from rtdetr_nb.diagnostics.measuring.pictures import (
    Pictures,
    at_usual_light,
    picture_paths,
    read_pictures,
)
from rtdetr_nb.diagnostics.measuring.weights import (
    BackboneWeights,
    Weights,
    official_config,
    read_backbone,
)
from rtdetr_nb.diagnostics.probing.probe_backbone import probe_backbone
from rtdetr_nb.text.findings import NOTE, WARNING, Finding

_SMALLEST = 192  # pixels: of smaller pictures the last stage's maps are little but border
_IN_LAYERS = 6  # of the user's pictures that go through the whole backbone
_GENERATED = 4  # pictures beside those
_STEM = ("stem.stem1.conv.weight", "stem.stem1.bn.running_mean", "stem.stem1.bn.running_var")
_FUSED = (
    "The norms are folded into the convolutions, so the file does not hold what they remember of "
    "the pictures."
)
_NO_STEM = "The stem's first convolution and norm are not in the file, so nothing can be known."
_UNTOUCHED = (
    "The stem's first norm holds mean 0 and variance 1, as before any training: it remembers no "
    "pictures."
)


def check_input(
    source: Weights,
    data: Pictures | None = None,
    *,
    config: Config | None = None,
    input_format: InputFormat | str | None = None,
    probe: bool = False,
    pictures: int = 16,
    image_size: int = 256,
    device: str | torch.device | None = None,
) -> InputReport:
    """Find out which pictures a backbone expects, and whether each layer fits its norm.

    First comes what the file states; then the statistics that its norms remember are compared with
    what they meet on the pictures. No labels are needed, and nothing is trained.

    Args:
        source: a file with a backbone or a tuning file, or what was opened, compared or selected.
        data: a data source, a folder with pictures, a list of files, or pictures that were read
            already: (N, 3, H, W) of values 0 to 1. Without any, only the statement of the file and
            the layers are judged.
        config: the configuration of the training to come, which says what is frozen; the official
            one of this size by default.
        input_format: judge the backbone as it is after this format was folded into its stem, which
            the file's statement of that format then says nothing against.
        probe: probe the backbone as it is and as it would be mended, and let that decide; needs
            `data` with labels (see `probe_backbone`).
        pictures: how many are looked at.
        image_size: height and width that they are resized to; no smaller than 192.
        device: where the backbone runs; by default a GPU if there is one.

    Raises:
        CheckpointError: the file holds no HGNetv2-L, -X or -H.
        TuningError: there is no such input format, or it cannot be folded in.
        DatasetError: there are no pictures, or, with `probe`, no labels.
    """
    started = time.monotonic()
    weights = read_backbone(source, config.backbone.name if config else None)
    settings = config or official_config(weights.variant)
    statements = stated_formats(weights.checkpoint)
    size = max(image_size, _SMALLEST)
    images, notes = _pictures(data, pictures, size)
    doubts: list[Finding] = []
    if input_format is not None:
        folded = named_format(input_format)
        doubts = _doubts(weights, images, folded)
        weights, statements = _as_mended(weights, statements, folded)
    silent = _why_silent(weights)
    judgement = None if images is None or silent else _judge(weights, images, statements)
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    fits = _fit_layers(weights, images, judgement, size, place)
    if judgement is not None and fits and fits[0].is_broken:
        judgement, silent = None, _broken_stem(fits[0])
    frozen = settings.backbone.freeze_at >= 0 and settings.backbone.freeze_norm
    evidence = Evidence(statements, judgement, silent, weights.is_detector, frozen)
    if probe and evidence.to_probe is not None:
        probed = _probe(weights, settings, data, evidence.to_probe, place)
        evidence = replace(evidence, probed=probed)
    findings = [*doubts, *format_findings(evidence), *layer_findings(fits, weights.is_detector)]
    return InputReport(
        source=weights.checkpoint.path.name,
        found=evidence.found,
        findings=(*findings, *(Finding(NOTE, note) for note in notes)),
        statements=tuple(statements),
        judgement=judgement,
        fits=fits,
        pictures=0 if images is None else len(images),
        probed=evidence.probed,
        seconds=round(time.monotonic() - started, 2),
        to_mend=evidence.to_mend,
        is_certain=evidence.is_certain,
    )


def _as_mended(
    weights: BackboneWeights, statements: list[Statement], folded: InputFormat
) -> tuple[BackboneWeights, list[Statement]]:
    """The weights after folding; what the file states of other formats still stands."""
    tensors = fold_into_stem(weights.tensors, folded)
    agrees = any(s.format.same_as(folded) for s in statements)
    return replace(weights, tensors=tensors), [] if agrees else statements


def _doubts(weights: BackboneWeights, images: Tensor | None, folded: InputFormat) -> list[Finding]:
    """Whether the norms remember other pictures than those that the stem is rewritten for."""
    if images is None or _why_silent(weights):
        return []
    judgement = _judge(weights, images, [Statement(folded, "")])
    if judgement.allows(folded):
        return []
    return [
        Finding(
            WARNING,
            f"The stem is rewritten for {folded}, but its norm remembers "
            f"{judgement.hypotheses[0].format}.",
            WHERE,
            f"What is folded in lies {min(judgement.times(folded), 1e6):,.0f} times as far.",
            "Leave the input format out, unless the trainer's code says otherwise.",
        )
    ]


def _pictures(data: Pictures | None, count: int, size: int) -> tuple[Tensor | None, list[str]]:
    if data is None:
        return None, []
    if isinstance(data, Tensor):
        chosen = data[:: max(1, len(data) // count)][:count]
        return F.interpolate(chosen, size=(size, size), mode="bilinear", antialias=True), []
    return read_pictures(picture_paths(data, count), size)


def _why_silent(weights: BackboneWeights) -> str:
    """Why the first norm says nothing; empty where it may."""
    if weights.is_fused:
        return _FUSED
    if any(name not in weights.tensors for name in _STEM):
        return _NO_STEM
    mean, variance = (weights.tensors[name] for name in _STEM[1:])
    return _UNTOUCHED if bool((mean == 0).all() and (variance == 1).all()) else ""


def _broken_stem(fit: NormFit) -> str:
    return f"Which pictures the backbone expects cannot be told, because in {fit.name} {fit.cause}."


def _judge(
    weights: BackboneWeights, images: Tensor, statements: Sequence[Statement]
) -> FormatJudgement:
    formats = list(FORMATS.values())
    formats += [s.format for s in statements if not any(s.format.same_as(f) for f in formats)]
    stem = {name: weights.tensors[name] for name in _STEM}
    return judge_formats(weigh_formats(stem, patch_moments(images), formats))


@torch.no_grad()
def _fit_layers(
    weights: BackboneWeights,
    images: Tensor | None,
    judgement: FormatJudgement | None,
    size: int,
    place: torch.device,
) -> tuple[NormFit, ...]:
    """The fit of every norm whose layer is in the file, on the user's and on generated pictures."""
    if weights.is_fused:
        return ()
    tensors = weights.tensors
    if judgement is not None:
        # All formats in one frame: how far the first norm's channels differ depends on the format.
        tensors = fold_into_stem(tensors, judgement.hypotheses[0].format)
    backbone = load_backbone(tensors, weights.variant).to(place)
    generated = dead_leaves(_GENERATED, size)
    given = generated if images is None else images[:: max(1, len(images) // _IN_LAYERS)]
    sets = [given] if images is None else [given, generated]
    measured = [measure_norms(backbone, at_usual_light(pictures).to(place)) for pictures in sets]
    there = [_is_whole(item.name, weights.tensors) for item in measured[0]]
    kept = [[n for n, whole in zip(norms, there, strict=True) if whole] for norms in measured]
    return fit_norms(kept[0], kept[-1])


def _is_whole(layer: str, tensors: dict[str, Tensor]) -> bool:
    weight = any(f"{layer}.{conv}weight" in tensors for conv in ("conv.", "conv.1."))
    return weight and f"{layer}.bn.running_mean" in tensors and f"{layer}.bn.running_var" in tensors


def _probe(
    weights: BackboneWeights,
    config: Config,
    data: Pictures | None,
    suspect: InputFormat,
    place: torch.device,
) -> BothProbed:
    """Name boxes with the backbone as it is and as it would be mended."""
    shares = []
    with tempfile.TemporaryDirectory() as folder:
        for name, folded in (("as_it_is", None), ("mended", suspect)):
            path = Path(folder) / f"{name}.pth"
            write_tuning_file(weights.selection, path, input_format=folded, allow_failed=True)
            result = probe_backbone(config, path, data, seeds=(), device=place)  # pyright: ignore[reportArgumentType]
            assert result.accuracy is not None
            shares.append(result.accuracy)
            path.unlink()
    return BothProbed(shares[0], shares[1], result.val_boxes)
