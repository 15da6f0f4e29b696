"""The bar in a cell, run by a kernel: what the saved notebook keeps."""

import nbformat
import pytest
from nbclient import NotebookClient

from rtdetr_nb.progress_bar import ProgressBar
from rtdetr_nb.ui.cell_bar import CellBar, cell_bar

CELLS = (
    "from rtdetr_nb.progress_bar import progress\n"
    "with progress('Probe <b>', 4, 'backbone') as bar:\n"
    "    bar.advance(4)",
    "with progress('Probe', 4, 'backbone') as bar:\n    bar.advance()\n    bar.total = 1 / 0",
)


@pytest.mark.slow
def test_a_saved_notebook_keeps_one_line() -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(book, kernel_name="python3", allow_errors=True).execute()
    (shown,) = book.cells[0].outputs
    assert shown.output_type == "display_data"
    assert shown.data["text/plain"].startswith("Probe <b>: 4 backbones in ")
    assert "Probe &lt;b&gt;: 4 backbones in " in shown.data["text/html"]
    assert "<progress" not in shown.data["text/html"]
    ended = book.cells[1].outputs[0].data["text/plain"]
    assert ended.startswith("Probe: ended after 1 of 4 backbones")


def test_without_a_kernel_there_is_no_cell() -> None:
    assert cell_bar() is None


def test_while_it_goes_on_there_is_a_bar_with_words(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    face = CellBar()
    monkeypatch.setattr(face, "_show", lambda html, text: shown.append({"h": html, "t": text}))
    bar = ProgressBar("Probe", 4, "backbone", face=face)
    bar.done = 1
    face.draw(bar)
    assert 'value="0.250"' in shown[-1]["h"] and "1 of 4 backbones" in shown[-1]["t"]
    bar.total = None
    face.draw(bar)
    assert "value=" not in shown[-1]["h"]


def test_curves_are_drawn_to_one_scale_while_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[str] = []
    face = CellBar()
    monkeypatch.setattr(face, "_show", lambda html, text: pages.append(html))
    bar = ProgressBar("Detector", 2, "backbone", face=face)
    assert "<svg" not in pages[-1]
    for label, aps in (("AP of <a>", (0.2, 0.4)), ("AP of random weights", (0.0, 0.1))):
        for place, ap in enumerate(aps, start=1):
            bar.part(1).point(label, place / 2, ap, "going on")
    points = [
        [tuple(map(float, pair.split(","))) for pair in line.split('"')[0].split()]
        for line in pages[-1].split('points="')[1:]
    ]
    assert len(points) == 2 and all(len(line) == 3 for line in points)
    (first, second), bottom = points, points[0][0][1]
    assert first[2][0] == second[2][0] and first[0] == second[0]
    heights = [bottom - line[2][1] for line in points]
    assert heights[0] == pytest.approx(4 * heights[1], abs=0.3)  # 0.4 and 0.1
    assert "AP of &lt;a&gt; 0.400" in pages[-1]
    bar.close()
    assert "<svg" not in pages[-1]  # the figure of the result has it
