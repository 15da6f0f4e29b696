"""Sections that the demo's report and the report on a file have in common."""

from __future__ import annotations

import rtdetr_nb as rt
from rtdetr_nb.demo.report import ReportTable, Section
from rtdetr_nb.text.findings import Verdict
from rtdetr_nb.ui.figures.base import accuracy_figure, to_data_uri


def file_section(diff: rt.Diff, verdict: Verdict) -> Section:
    """What the file holds against the model, the verdict on it, and all names, folded."""
    candidate = diff.candidate
    found = (
        f"{diff.checkpoint.path.name} ({diff.checkpoint.container}) holds {candidate.name}: "
        f"HGNetv2-{candidate.size}, names in the {candidate.dialect} dialect, {candidate.dtype}."
    )
    parts = [
        [p.part, p.tensors, p.matched, p.mismatched, p.missing, p.bookkeeping, f"{p.share:.0%}"]
        for p in diff.parts
        if p.tensors
    ]
    rows = [
        [r.model_key or "", r.checkpoint_key or "", r.status, str(r.model_shape or "")]
        for r in diff.rows
    ]
    columns = ["part", "tensors", "matched", "mismatched", "missing", "bookkeeping", "share loaded"]
    return Section(
        "What the file holds, against the model",
        texts=[found],
        verdict=str(verdict),
        table=ReportTable(columns, parts),
        findings=[str(finding) for finding in verdict.findings],
        details=ReportTable(["model", "file", "status", "shape"], rows),
        details_title=f"all {len(rows)} names",
    )


def probe_section(probe: rt.ProbeResult) -> Section:
    """What the features know of the objects, against random weights."""
    text = (
        f"A linear classifier on the backbone's features names {probe.accuracy:.0%} of the "
        f"objects in held-out pictures; on random weights {probe.random_mean:.0%} "
        f"({probe.random_low:.0%} to {probe.random_high:.0%} over {len(probe.random)} seeds). "
        f"Always guessing the most frequent class gets {probe.chance:.0%}."
    )
    method = (
        "Features of each stage are pooled over the ground-truth boxes, and a ridge classifier is "
        "fitted in closed form on the training pictures. No training of the detector is involved, "
        "so this shows what a short loss curve cannot."
    )
    figure = to_data_uri(accuracy_figure(*probe.bars(), chance=probe.chance))
    title = "Probe: does the backbone carry information?"
    return Section(title, texts=[text, method], figure=figure)


def detection_section(probe: rt.DetectionProbe) -> Section:
    """What the features are worth to a small detector, with its boxes."""
    method = (
        "A small detector is trained on the frozen features. Encoder and decoder, which start at "
        "random, are left out, so this speaks of the features alone."
    )
    title = "A detector on frozen features"
    return Section(
        title, texts=[str(probe.sentence), method], figure=to_data_uri(probe.boxes_figure())
    )
