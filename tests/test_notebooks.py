"""Every notebook runs from top to bottom in a real kernel, and ends with the values it should."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Notebook -> lines that make its run short.
PARAMETERS = {
    "00_quickstart": "steps = 2\nimage_size = 96\nprobe_size = 128",
    "04_short_finetune": "steps = 2\nimage_size = 96\nprobe_size = 128\nbatch_size = 2",
    "08_which_checkpoint": "pictures = 12\nsteps = 1\nseeds = 1",
    "06_full_training": "overrides += ['train_dataloader.collate_fn.scales=[160]', "
    "'val_dataloader.dataset.transforms.ops.0.size=[160,160]', 'eval_spatial_size=[160,160]']",
}

# Notebook -> what is evaluated in its kernel at the end, and has to be true.
CHECKS = {
    "00_quickstart": (
        "Path(output, 'tuning.pth').is_file()",
        "Path(output, 'tuned', 'last.pth').is_file()",
        "len(report.loaded) == len(picker.selection) == 400",
        "run.status == 'finished' and plot.text.startswith('from the tuning file: finished')",
        "rt.show_predictions(run).steps == [0]",
        "found.loaded.ap > 3 * found.random.ap",
    ),
    "01_open_checkpoint": (
        "ckpt.container == 'torch zip' and len(ckpt.tensors) == 486",
        "[c.variant for c in ckpt.candidates] == ['L']",
        "dialects == {'timm': 'timm_features', 'huggingface': 'huggingface', 'ultralytics': "
        "'ultralytics', 'paddle': 'paddle', 'mmengine': 'official', 'dfine': 'dfine'}",
        "from_ultralytics.counts['matched'] == len(part) == 110",
        "sum(row.fix is not None for row in from_ultralytics.rows) == 22",
    ),
    "02_compare_with_model": (
        "diff.counts['matched'] == 400 and diff.verdict == 'ok'",
        "renamed.counts['matched'] == 400 and renamed.candidate.dialect == 'huggingface'",
        "other_size.verdict == 'failed' and other_size.counts['mismatched'] > 200",
        "any('stem of an HGNetv2-L' in row.note for row in other_size.rows)",
        "expected.verdict == 'ok' and apart.whole.distance == 0.0",
    ),
    "03_pick_and_write": (
        "report.bit_equal and len(report.equal) == 400",
        "len(loaded.loaded) == 400 and all(proof.values())",
        "len(prediction.match.missed) == 469 and len(whole.match.missed) == 0",
        "grafted.grafted == 469 and again == picker.selection",
        "len((early & convolutions).warnings) == 1",
    ),
    "04_short_finetune": (
        "(tuned.status, random.status) == ('finished', 'finished')",
        "rt.show_predictions(tuned).steps == [0, 1, 2]",
        "conclusion.claim == 'none' and conclusion.steps == 2",
        "moved.verdict == 'ok' and not moved.parts.bit_identical.any()",
        "probe.accuracy > probe.random_high and detected.loaded.ap > detected.random.ap",
        "panel.start() == tuned and [r.folder.name for r in rt.find_runs(output)] == "
        "['random', 'tuned']",
    ),
    "05_how_loading_works": (
        "original.reveal().right == 'it stops'",
        "len(works.match.loaded) == 400",
        "drop_prefix.reveal().right == '0, and training begins'",
        "rename_stage.reveal().right == '325'",
        "change_shape.reveal().right == '399'",
        "empty_ema.reveal().right == 'it stops'",
        "statistics.reveal().right == '0'",
        "freeze_at.reveal().right == '15, those of the stem'",
        "pattern.reveal().right == 'no, it finds the name'",
        "warm_up.reveal().right == '3 %'",
        "resumed.reveal().right == 'it loads none, and trains'",
        "last_door.open == ('pretrained',)",
        "does_it_work.reveal().right == 'far fewer'",
        "found.found.name == 'imagenet' and again.accuracy > 0.8",
    ),
    "06_full_training": (
        "preflight.go and preflight.figures['tensors loaded'].value == 400",
        "[part.name for part in preflight.parts][-1] == 'rehearsal'",
        "preflight.figures['time of a step'].value > 0 and not (folder / 'full').exists()",
        "full.backbone.freeze_at == -1",
        "len(rt.predict_official(tuning, full).match.loaded) == 400",
        "str(commands).count(f'-t {tuning}') == 1",
        "str(commands).count('torchrun --nproc_per_node=4') == 3",
        "'--nproc_per_node=4' in cluster.script(config, output_dir=folder)",
        "run.status == 'finished' and len(run.history) == 2",
        "moved.verdict == 'ok' and moved.steps == 2",
    ),
    "07_your_pictures": (
        "report.verdict == 'ok' and len(report.table) == 10",
        "batch.verdict == 'ok' and batch.size_hw[0] >= 480 and len(batch.pictures) == 8",
        "turned.reveal().right == 'it turns them and says so'",
        "numbers.reveal().right == 'it is refused'",
        "fractions.reveal().right == 'no run starts'",
        "swapped.reveal().right == 'ok'",
        "which.reveal().right == 'star and ring'",
    ),
    "08_which_checkpoint": (
        "ranking.best.name == 'epoch_5.pth' and ranking.table.group.tolist() == [1, 2, 3, 4, 4]",
        "few.reveal().right == 'no, they are one group'",
        "[len(file.losses) for file in decided.files] == [1, 1]",
        "len(rt.predict_official(f'{output}/tuning.pth', model_config).match.loaded) == 400",
    ),
}


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stripped_and_thin(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "parameters" in code[0].metadata.get("tags", [])
    given = dict(re.findall(r"^(\w+) = (.*)$", code[0].source, re.MULTILINE))
    about = "data" if path.stem == "07_your_pictures" else "checkpoint"
    assert {about, "config", "output"} <= set(given)
    assert f"../runs/{path.stem[3:]}" in given["output"], "each notebook has its own folder"
    for cell in code:
        assert not cell.outputs and cell.execution_count is None
        assert not re.search(r"^\s*(def|class) ", cell.source, re.MULTILINE)
        assert len(cell.source.splitlines()) <= 10


def test_links_between_notebooks_lead_to_notebooks() -> None:
    names = {path.name for path in NOTEBOOKS}
    linked = set()
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        linked |= set(re.findall(r"\]\(([^)]+)\)", text))
        assert not re.search(r"(?<!\[)notebooks? 0\d", text), "a notebook is named without a link"
    assert linked and linked <= names


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    parameters = next(cell for cell in notebook.cells if cell.cell_type == "code")
    parameters.source += f"\noutput = {str(tmp_path)!r}\n{PARAMETERS.get(path.stem, '')}"
    checks = "\n".join(f"assert {check}, {check!r}" for check in CHECKS[path.stem])
    notebook.cells.append(nbformat.v4.new_code_cell(checks))
    client = NotebookClient(
        notebook,
        timeout=600,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
