"""The run panel in JupyterLab and Notebook 7: Stop works while another cell blocks the kernel."""

import json
import re
import time
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, expect

from rtdetr_nb.runs.run import Run
from tests.paths import ROOT

from .lab import LabPage, serve_lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PANEL = """import rtdetr_nb as rt
panel = rt.run_panel(data={data!r}, output="panel_run", steps=400, image_size=128, batch_size=2)
panel"""
BLOCK = "import time; time.sleep(600)"


def _description(folder: Path) -> dict[str, object]:
    return json.loads((folder / "run.json").read_text())


def _end(folder: Path) -> None:
    """Of a test that fails the run would go on in the time of the next ones."""
    if folder.exists():
        Run(folder).stop()


def _wait_for_status(lab: LabPage, folder: Path, status: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while _description(folder)["status"] != status:
        assert time.monotonic() < deadline, _description(folder)["status"]
        lab.page.wait_for_timeout(200)


def _write_notebook(root: Path) -> None:
    root.mkdir()
    panel = PANEL.format(data=str(ROOT / "data" / "shapes"))
    cells = [nbformat.v4.new_code_cell(source) for source in (panel, BLOCK)]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, root / "panel.ipynb")


@pytest.mark.parametrize("application", ["lab", "notebook"])
def test_stop_works_while_a_cell_blocks_the_kernel(
    browser: Browser,
    tmp_path: Path,
    pictures: Path,
    application: str,
    request: pytest.FixtureRequest,
) -> None:
    root = tmp_path / "root"
    _write_notebook(root)
    folder = root / "panel_run"
    request.addfinalizer(lambda: _end(folder))
    with serve_lab(root, tmp_path / "scratch", application=application) as server:
        lab = LabPage(browser, server, "panel.ipynb")
        output = lab.run_cell("panel = rt.run_panel(")
        # What cannot be is a sentence, and starts nothing.
        steps = output.get_by_label("Steps", exact=True)
        steps.fill("0")
        output.get_by_role("button", name="Start", exact=True).click()
        expect(output).to_contain_text("is 0")
        assert not folder.exists()
        steps.fill("400")
        steps.press("Enter")
        output.get_by_role("button", name="Start", exact=True).click()
        expect(output).to_contain_text(re.compile(r"step [1-9]\d* of 400"))
        lab.start_cell(BLOCK)
        output.get_by_role("button", name="Stop", exact=True).click()
        _wait_for_status(lab, folder, "stopped", 120)
        assert (folder / "last.pth").is_file()
        assert not (folder / "stop").exists(), "the request is taken away when it is honoured"
        expect(output).to_contain_text("stopped")
        if application == "lab":
            output.screenshot(path=pictures / "run_panel.png")
        lab.command("notebook:interrupt-kernel")
        lab.wait_until_idle()
        lab.check()


def test_a_panel_looks_ahead_and_says_when_its_kernel_is_gone(
    browser: Browser, tmp_path: Path, pictures: Path
) -> None:
    root = tmp_path / "root"
    _write_notebook(root)
    with serve_lab(root, tmp_path / "scratch") as server:
        lab = LabPage(browser, server, "panel.ipynb")
        output = lab.run_cell("panel = rt.run_panel(")
        output.get_by_role("button", name="Preflight", exact=True).click()
        expect(output).to_contain_text("It is looked at")
        expect(output).to_contain_text(re.compile(r"Go\. The training will take"))
        expect(output).not_to_contain_text("is gone")
        output.get_by_text(re.compile(r"Go\. The training will take")).first.click()
        output.screenshot(path=pictures / "panel_preflight.png")
        lab.restart_kernel()
        expect(output).to_contain_text("The kernel of this panel is gone")
