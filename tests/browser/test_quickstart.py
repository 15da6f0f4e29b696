"""Notebook 00 in JupyterLab (and partly in Notebook 7), as a person works with it."""

import json
import re
import time
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, expect

from rtdetr_nb.lab.notebook_copies import copy_notebooks
from tests.paths import ROOT

from .lab import LabPage, serve_lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOTEBOOK = ROOT / "notebooks" / "00_quickstart.ipynb"
# Enough that the run still goes on when the page has been reloaded and the kernel restarted.
STEPS = 600
# A person would write such a cell below the notebook's own.
OWN_CELLS = (
    "len(picker.selection)",
    "1 + 1  # while the run goes on",
    "run.stop(); run.wait()",
    "rt.attach_run(f'{output}/tuned').status",
)


def _prepare(folder: Path) -> Path:
    """The notebook as a user has it, with the paths and own cells filled in."""
    parameters = {
        "checkpoint": str(ROOT / "data" / "demo_backbone_mmdet.pth"),
        "data": str(ROOT / "data" / "shapes"),
        "output": str(folder / "output"),
        "steps": STEPS,
        "image_size": 128,
    }
    (copy,) = copy_notebooks([NOTEBOOK], folder, parameters)
    notebook = nbformat.read(copy, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in OWN_CELLS]
    nbformat.write(notebook, copy)
    return folder / "output"


def _tick_count(picker: Locator) -> int:
    text = picker.get_by_role("status", name="Picked").inner_text()
    match = re.match(r"(\d+) of (\d+) tensors picked", text)
    assert match, text
    return int(match.group(1))


def _frames(output: Locator, number: int) -> None:
    """Wait until the picture in an output has changed so many times."""
    picture = output.locator("img").first
    expect(picture).to_be_visible()
    seen = {picture.get_attribute("src")}
    deadline = time.monotonic() + 120
    while len(seen) <= number:
        assert time.monotonic() < deadline, f"{len(seen) - 1} changes only"
        output.page.wait_for_timeout(250)
        seen.add(picture.get_attribute("src"))


def _pid(output: Path) -> int:
    return json.loads((output / "tuned" / "run.json").read_text())["pid"]


def test_the_quickstart_as_a_person_runs_it(
    browser: Browser, tmp_path: Path, pictures: Path
) -> None:
    root = tmp_path / "root"
    output = _prepare(root)
    with serve_lab(root, tmp_path / "scratch") as server:
        lab = LabPage(browser, server, NOTEBOOK.name)
        for source in ("checkpoint =", "checkpoint = '", "import rtdetr_nb as rt"):
            lab.run_cell(source)

        table = lab.run_cell("rt.show_table(diff)")
        expect(table.locator(".dt-info").first).to_contain_text("of ")
        table.locator(".dt-search input").first.fill("stages.3.blocks.0")
        expect(table.locator(".dt-info").first).to_contain_text("filtered from")
        expect(table.locator(".dt-container tbody tr").first).to_contain_text("stages.3.blocks.0")
        table.screenshot(path=pictures / "table.png")

        picker = lab.run_cell("picker = rt.pick_layers(diff)")
        assert _tick_count(picker) == 400
        picker.get_by_role("treeitem", name="stages.3", exact=True).click()
        ticked = picker.get_by_role("status", name="Picked")
        expect(ticked).to_contain_text("325 of 400")
        expect(ticked).to_have_attribute("aria-busy", "false")
        expect(lab.run_cell("len(picker.selection)")).to_contain_text("325")
        picker.screenshot(path=pictures / "picker.png")

        expect(lab.run_cell("rt.write_tuning_file(picker.selection")).to_contain_text("bit-equal")
        assert (output / "tuning.pth").is_file()
        expect(lab.run_cell("report = rt.load_tuning_file")).to_contain_text("325")

        plot = lab.run_cell("run = rt.ensure_run(")
        _frames(plot, 3)
        pid = _pid(output)
        expect(lab.run_cell("1 + 1  # while the run goes on")).to_contain_text("2")

        lab.save()
        lab.reload()
        plot = lab.cell("run = rt.ensure_run(").locator(".jp-Cell-outputArea")
        _frames(plot, 2)

        lab.restart_kernel()
        for source in ("checkpoint =", "checkpoint = '", "import rtdetr_nb as rt"):
            lab.run_cell(source)
        lab.run_cell("Path(output).mkdir", expect_error=True)  # picker is gone, paths are there
        plot = lab.run_cell("run = rt.ensure_run(")
        _frames(plot, 2)
        assert _pid(output) == pid, "the run was found, not started again"

        expect(lab.run_cell("run.stop(); run.wait()")).to_contain_text("stopped")
        expect(plot).to_contain_text("stopped")
        plot.screenshot(path=pictures / "live_plot_one_run.png")
        lab.restart_kernel()
        for source in ("checkpoint =", "checkpoint = '", "import rtdetr_nb as rt"):
            lab.run_cell(source)
        expect(lab.run_cell("rt.attach_run(f")).to_contain_text("stopped")
        lab.check()


@pytest.mark.parametrize("application", ["lab", "notebook"])
def test_the_tree_by_keyboard_alone(browser: Browser, tmp_path: Path, application: str) -> None:
    root = tmp_path / "root"
    _prepare(root)
    with serve_lab(root, tmp_path / "scratch", "dark", application) as server:
        lab = LabPage(browser, server, NOTEBOOK.name)
        for source in ("checkpoint =", "checkpoint = '", "import rtdetr_nb as rt"):
            lab.run_cell(source)
        expect(lab.run_cell("rt.show_table(diff)").locator(".dt-info").first).to_contain_text("of ")
        picker = lab.run_cell("picker = rt.pick_layers(diff)")
        keyboard = lab.page.keyboard
        picker.get_by_role("textbox", name="Filter keys (pattern or regular expression)").focus()
        keyboard.type("bn")
        keyboard.press("ArrowDown")
        keyboard.press("Space")  # untick all norms below the first row
        ticked = picker.get_by_role("status", name="Picked")
        expect(ticked).not_to_contain_text("400 of 400")
        keyboard.press("Space")
        expect(ticked).to_contain_text("400 of 400")
        keyboard.press("/")
        keyboard.press("Control+a")
        keyboard.press("Delete")
        keyboard.press("ArrowDown")
        keyboard.press("End")
        focused = picker.locator("[role=treeitem]:focus")
        expect(focused).to_have_attribute("aria-label", "stages.3")
        keyboard.press("ArrowRight")  # opens it
        keyboard.press("ArrowRight")  # goes to what it begins with
        expect(focused).to_have_attribute("aria-label", "stages.3.downsample")
        keyboard.press("Space")
        expect(focused).to_have_attribute("aria-checked", "false")
        stage = picker.get_by_role("treeitem", name="stages.3", exact=True)
        expect(stage).to_have_attribute("aria-checked", "mixed")
        expect(ticked).to_have_attribute("aria-busy", "false")  # the kernel has them
        count = _tick_count(picker)
        assert 0 < count < 400
        expect(lab.run_cell("len(picker.selection)")).to_contain_text(str(count))
        lab.check()
