"""A report on one file, without a training: `rtdetr-nb report` and `rt.write_report`."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import rtdetr_nb as rt
from rtdetr_nb.checkpoint.comparison.answer import answer
from rtdetr_nb.conversion.class_look import class_findings
from rtdetr_nb.conversion.input_look import findings_on_pictures
from rtdetr_nb.demo.report import Section, write_page
from rtdetr_nb.demo.sections import file_section, probe_section
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.text.findings import Verdict
from rtdetr_nb.ui.figures.base import to_data_uri

PathLike = str | os.PathLike[str]


def write_report(
    checkpoint: PathLike | rt.Checkpoint,
    output: PathLike = "report.html",
    config: rt.Config | PathLike = "rtdetrv2_hgnetv2_l",
    data: rt.DataSource | PathLike | None = None,
) -> Path:
    """Write what a file is, whether it loads and whether it can work, as one HTML page.

    The page opens offline and needs no notebook. Nothing is converted or trained.

    Args:
        checkpoint: a file of any kind, or what was opened from it.
        output: the page; an earlier one is replaced.
        config: the model, or what `load_config` takes.
        data: pictures of the training to come. With some, the page says which pictures the backbone
            expects; with labels, what its features know of the objects.

    Returns:
        The path of the page.

    Raises:
        CheckpointError: the file cannot be read, or holds no backbone.
        DatasetError: there is nothing in `data`.
        OSError: the page cannot be written.
    """
    opened = checkpoint if isinstance(checkpoint, rt.Checkpoint) else rt.open_checkpoint(checkpoint)
    model = config if isinstance(config, rt.Config) else rt.load_config(config)
    diff = rt.compare(opened, model)
    report, found = findings_on_pictures(diff.candidate, data, model)
    found = [*found, *class_findings(diff, data)]
    verdict = Verdict([*diff.verdict.findings, *found])
    sections = [file_section(diff, verdict)]
    word, sentence = answer(diff)
    if report is not None:
        figure = to_data_uri(report.figure())
        title = "Which pictures does it expect?"
        sections.append(Section(title, texts=[str(report.sentence)], figure=figure))
    if data is not None and not verdict.failures:
        sections += _probed(model, diff, data)
    sections.append(_next_steps(opened.path, diff))
    target = Path(output)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_page(
        target,
        title="Does this backbone load, and can it work?",
        subtitle=f"{opened.path.name} against HGNetv2-{model.backbone.name}",
        conclusion=f"{word}: {sentence} {verdict.counts}".strip(),
        sections=sections,
    )
    return target


def _probed(model: rt.Config, diff: rt.Diff, data: rt.DataSource | PathLike) -> list[Section]:
    """The probe; nothing for pictures without labels."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            tuning = Path(folder) / "tuning.pth"
            rt.write_tuning_file(diff.select("backbone.*"), tuning)
            return [probe_section(rt.probe_backbone(model, tuning, data))]
    except DatasetError as error:
        return [Section("What do its features know?", texts=[f"Not probed. {error}"])]


def _next_steps(path: Path, diff: rt.Diff) -> Section:
    if diff.verdict.failures:
        return Section("What next", texts=[diff.verdict.failures[0].action or "Take another file."])
    return Section(
        "What next",
        commands=[
            f"rtdetr-nb convert --input {path} --output tuning.pth",
            "rtdetr-nb preflight -c rtdetrv2_hgnetv2_l -t tuning.pth",
        ],
    )
