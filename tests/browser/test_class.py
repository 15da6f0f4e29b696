"""The pages for a class: two notebooks without code, whose widgets work, by `rtdetr-nb class`."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, expect

from rtdetr_nb.cli.lab import pages_command
from tests.free_port import free_port
from tests.paths import ROOT

from .server import WatchedPage, serve, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

pytest.importorskip("voila")


@pytest.fixture
def visitors(tmp_path: Path) -> Path:
    """Where the folders of visitors are made."""
    folder = tmp_path / "visitors"
    folder.mkdir()
    return folder


@pytest.fixture
def address(tmp_path: Path, visitors: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a running server."""
    monkeypatch.setenv("TMPDIR", str(visitors))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    options = ["class", "--", "--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1"]
    with serve("rtdetr_nb", options, address, tmp_path):
        yield address
    wait_until(lambda: not _folders(visitors))


class Visit(WatchedPage):
    """A page of the server."""

    def close(self) -> None:
        """Leave as a person does, and fail if the page complained."""
        self.check()
        self.page.goto("about:blank")
        self.page.close()


def _folders(visitors: Path) -> list[Path]:
    return list(visitors.glob("rtdetr_nb_class_*"))


def test_the_page_of_notebook_05(
    browser: Browser, address: str, visitors: Path, pictures: Path
) -> None:
    visit = Visit(browser, address)
    page = visit.page
    page.goto(address)
    names = page.locator(".voila-notebooks li")
    expect(names).to_have_text([re.compile("^Quickstart: "), re.compile("^How loading works, ")])
    page.goto(f"{address}/voila/render/05_how_loading_works.ipynb", wait_until="commit")
    expect(page.locator(".widget-radio")).to_have_count(10)
    expect(page.get_by_text("What to take home")).to_be_visible()
    assert page.locator(".jp-InputArea-editor:visible, .jp-CodeMirrorEditor:visible").count() == 0
    assert not page.get_by_text("import rtdetr_nb").is_visible()

    question = page.locator(".widget-vbox", has_text="All 400 tensors, without").last
    question.get_by_text("400, as the shapes agree").click()
    question.get_by_role("button", name="Check").click()
    expect(question).to_contain_text("No: 0, and training begins.")
    question.screenshot(path=pictures / "class_guess.png")

    assert len(_folders(visitors)) == 1
    visit.close()
    wait_until(lambda: not _folders(visitors))


def test_the_page_of_notebook_00(
    browser: Browser, address: str, visitors: Path, pictures: Path
) -> None:
    visit = Visit(browser, address)
    page = visit.page
    page.goto(f"{address}/voila/render/00_quickstart.ipynb", wait_until="commit")
    expect(page.locator(".dt-info").first).to_contain_text("of ")
    page.locator(".dt-search input").first.fill("stages.3.blocks.0")
    expect(page.locator(".dt-info").first).to_contain_text("filtered from")
    picked = page.get_by_role("status", name="Picked")
    expect(picked).to_have_text(re.compile(r"400 of 400"))
    page.get_by_role("treeitem", name="stages.3", exact=True).click()
    expect(picked).to_contain_text("325 of 400")
    page.screenshot(path=pictures / "class_quickstart.png", full_page=True)

    assert len(_folders(visitors)) == 1
    visit.close()  # in the middle of its cells: the kernel ends with the server, or when idle


# Longer than the 90 seconds after which a server gives up a page that does not answer.
_LONG_CELLS = (
    "from pathlib import Path\n"
    "from rtdetr_nb.ui.live_plot import live_plot\n"
    "from tests.ui.fake_run import FakeRun\n"
    "import tempfile, time\n"
    "run = FakeRun(Path(tempfile.mkdtemp()) / 'tuned')\n"
    "run.step(1)\n"
    "live_plot(run.run)",
    "time.sleep(3)\nrun.step(2)\nrun.finish()",
    "time.sleep(115)\nprint('the last cell', 6 * 7)",
)


@pytest.fixture
def long_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a page whose cells take two minutes, and whose run ends meanwhile."""
    folder = tmp_path / "pages"
    folder.mkdir()
    cells = [nbformat.v4.new_code_cell(source) for source in _LONG_CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "long.ipynb")
    port = free_port()
    options = ["--no-browser", f"--port={port}", "--Voila.ip=127.0.0.1"]
    command, environment = pages_command(folder, options)
    monkeypatch.setenv("JUPYTER_PATH", environment["JUPYTER_PATH"])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the kernel finds the run that it follows
    address = f"http://127.0.0.1:{port}"
    with serve("voila", command[1:], address, tmp_path):
        yield f"{address}/voila/render/long.ipynb"


def test_a_page_lives_as_long_as_its_cells_for_each_of_two_visitors(
    browser: Browser, long_page: str, pictures: Path
) -> None:
    server = long_page.partition("/voila/")[0]
    visits = [Visit(browser, server) for _ in range(2)]
    for visit in visits:
        visit.page.goto(long_page, wait_until="commit")
    for visit in visits:
        expect(visit.page.get_by_text(re.compile("finished . step 2 of 20"))).to_be_visible()
    for visit in visits:
        expect(visit.page.get_by_text("the last cell 42")).to_be_visible(timeout=180_000)
        picture = visit.page.locator("img.widget-image")  # of the run that has ended long ago
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.complete && image.naturalWidth") > 500
    visits[0].page.screenshot(path=pictures / "class_long.png", full_page=True)
    for visit in visits:
        visit.close()
