"""The widgets on a real page: seconds from running a cell to what a person sees, in JupyterLab.

Not ratios: a page has no straightforward form to compare with. The machine counts for much.
"""

import tempfile
import time
from pathlib import Path

import nbformat
from playwright.sync_api import expect

from tests.browser.lab import LabPage, browser_path, open_browser, serve_lab

ROOT = Path(__file__).parent.parent
CELLS = {
    "open": "import rtdetr_nb as rt\n"
    f"ckpt = rt.open_checkpoint({str(ROOT / 'data' / 'demo_backbone_mmdet.pth')!r})\n"
    "diff = rt.compare(ckpt, rt.load_config('rtdetrv2_hgnetv2_l')); len(diff.rows)",
    "first table": "rt.show_table(diff)  # with the library",
    "table": "rt.show_table(diff)  # alone",
    "tree": "picker = rt.pick_layers(diff)\npicker",
}

Result = tuple[str, float, str]


def run() -> list[Result]:
    """Open the page, run the cells and return (name, seconds, explanation)."""
    if browser_path() is None:
        return [("widgets on the page", 0.0, "skipped: there is no Chromium on the search path")]
    with tempfile.TemporaryDirectory() as folder:
        root, scratch = Path(folder) / "root", Path(folder) / "scratch"
        root.mkdir()
        _write_notebook(root / "bench.ipynb")
        with open_browser() as browser, serve_lab(root, scratch) as server:
            return _measure(LabPage(browser, server, "bench.ipynb"))


def _measure(lab: LabPage) -> list[Result]:
    rows = lab.run_cell(CELLS["open"].splitlines()[0]).inner_text().split()[-1]
    results = [
        (
            f"{name} of {rows} rows (seconds)",
            _seconds_to_show(lab, CELLS[name], ".dt-container tbody tr"),
            "from running the cell to rows on the page",
        )
        for name in ("first table", "table")
    ]
    cell = CELLS["tree"].splitlines()[0]
    seconds = _seconds_to_show(lab, cell, "[role=treeitem]")
    results.append(("tree of 400 keys (seconds)", seconds, "from running the cell to the tree"))
    output = lab.cell(cell).locator(".jp-Cell-outputArea")
    stage = output.get_by_role("treeitem", name="stages.3", exact=True)
    began = time.perf_counter()
    stage.click()
    expect(output.get_by_role("status", name="Picked")).to_contain_text("325 of 400")
    counted = time.perf_counter() - began
    expect(output.get_by_role("status", name="Official log")).to_contain_text("544 missed")
    told = time.perf_counter() - began
    return [
        *results,
        ("toggle a stage to count (seconds)", counted, "in the browser, with the driver's click"),
        ("toggle a stage to Python and back", told, "seconds until the official log's line"),
    ]


def _seconds_to_show(lab: LabPage, source: str, selector: str) -> float:
    cell = lab.cell(source)
    cell.locator(".cm-content").click()
    began = time.perf_counter()
    lab.command("notebook:run-cell")
    cell.locator(f".jp-Cell-outputArea {selector}").first.wait_for()
    seconds = time.perf_counter() - began
    lab.wait_until_idle()
    return seconds


def _write_notebook(path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS.values()]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
