"""The pages for a class: two notebooks without code, whose widgets work, by `rtdetr-nb class`."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]

pytest.importorskip("voila")


@pytest.fixture
def visitors(tmp_path: Path) -> Path:
    """Where the folders of visitors are made."""
    folder = tmp_path / "visitors"
    folder.mkdir()
    return folder


@pytest.fixture
def address(tmp_path: Path, visitors: Path) -> Iterator[str]:
    """The address of a running server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "rtdetr_nb", "class", "--", "--no-browser", f"--port={port}"]
    environment = os.environ | {
        "TMPDIR": str(visitors),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    with (
        open(tmp_path / "server.log", "wb") as log,
        subprocess.Popen(
            [*command, "--Voila.ip=127.0.0.1"],
            stdout=log, stderr=log, env=environment, start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_until(lambda: _answers(address))
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            _wait_until(lambda: not _folders(visitors))


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


class Visit:
    """A page of the server, and what it complained of or asked other machines for."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1200, "height": 1000})
        self.complaints: list[str] = []
        self._local = (address, address.replace("http", "ws", 1), "data:", "blob:")
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._see)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url')})")

    def _see(self, request: Request) -> None:
        if not request.url.startswith(self._local):
            self.complaints.append(f"asks for {request.url}")

    def close(self) -> None:
        """Leave as a person does, and fail if the page complained."""
        assert not self.complaints
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
    expect(names).to_have_text(["00_quickstart.ipynb", "05_how_loading_works.ipynb"])
    page.goto(f"{address}/voila/render/05_how_loading_works.ipynb", wait_until="commit")
    expect(page.locator(".widget-radio")).to_have_count(9)
    expect(page.get_by_text("What to take home")).to_be_visible()
    assert page.locator(".jp-InputArea-editor:visible, .jp-CodeMirrorEditor:visible").count() == 0
    assert not page.get_by_text("import rtdetr_nb").is_visible()

    question = page.locator(".widget-vbox", has_text="All 400 tensors, without").last
    question.get_by_text("400, as the shapes agree").click()
    question.get_by_role("button", name="Do it and see").click()
    expect(question).to_contain_text("That is not so: 0, and training begins.")
    question.screenshot(path=pictures / "class_guess.png")

    assert len(_folders(visitors)) == 1
    visit.close()
    _wait_until(lambda: not _folders(visitors))


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
