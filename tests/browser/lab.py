"""A real JupyterLab or Notebook 7 server and a page of it in a real browser."""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)

# The first start loads JupyterLab from a cold disk on a busy machine.
TIMEOUT_MS = 120_000
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Application -> its module, the class that its options are named after, where a notebook opens.
_APPLICATIONS = {
    "lab": ("jupyterlab", "LabApp", "lab/tree"),
    "notebook": ("notebook", "JupyterNotebookApp", "notebooks"),
}
_THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
# What JupyterLab itself complains of on a healthy page, and Notebook 7 (the last) on an empty one.
_HARMLESS = re.compile(
    r"favicon|ResizeObserver|source map|DevTools|was preloaded using link preload"
    r"|^Cannot read properties of undefined \(reading 'schema'\)$"
)


def browser_path() -> str | None:
    """Debian's chromium, or another Chromium on the search path."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


expect.set_options(timeout=TIMEOUT_MS)


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """A headless Chromium that asks nothing of the network by itself."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True)
class LabServer:
    """A running JupyterLab or Notebook 7 behind a token."""

    url: str
    token: str
    root: Path
    application: str

    def address(self, notebook: str) -> str:
        """Where a notebook (a path below the root) opens."""
        return f"{self.url}/{_APPLICATIONS[self.application][2]}/{notebook}?token={self.token}"


@contextlib.contextmanager
def serve_lab(
    root: Path, scratch: Path, theme: str = "light", application: str = "lab"
) -> Iterator[LabServer]:
    """Serve the folder `root`, with settings and caches of its own in `scratch`.

    Args:
        root: of the files that the server shows.
        scratch: an empty folder.
        theme: "light" or "dark".
        application: "lab", or "notebook" for Notebook 7.
    """
    module, options, _ = _APPLICATIONS[application]
    settings = scratch / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "themes.jupyterlab-settings").write_text(json.dumps({"theme": _THEMES[theme]}))
    (settings / "notification.jupyterlab-settings").write_text(
        json.dumps({"fetchNews": "false", "checkForUpdates": False})
    )
    port, token = _free_port(), secrets.token_hex(16)
    command = [
        sys.executable, "-m", module, "--no-browser", "--allow-root",
        f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={root}", f"--{options}.expose_app_in_browser=True",
        f"--{options}.user_settings_dir={scratch / 'settings'}",
        f"--{options}.workspaces_dir={scratch / 'workspaces'}",
    ]  # fmt: skip
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(scratch / "config"),
        "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
        "IPYTHONDIR": str(scratch / "ipython"),
    }
    with (
        open(scratch / "server.log", "wb") as log,
        subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        ) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(f"{url}/api?token={token}", process)
            yield LabServer(url, token, root, application)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + TIMEOUT_MS / 1000
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended; see server.log"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.3)
    raise TimeoutError(f"{url} does not answer")


@dataclass
class LabPage:
    """An opened notebook, and what its page complained of or asked for."""

    page: Page
    server: LabServer
    errors: list[str] = field(default_factory=list)
    foreign_requests: list[str] = field(default_factory=list)

    @classmethod
    def open(
        cls, browser: Browser, server: LabServer, notebook: str, height: int = 1000
    ) -> "LabPage":
        """Open a notebook (a path below the server's root) in a new window."""
        page = browser.new_page(viewport={"width": 1400, "height": height})
        page.set_default_timeout(TIMEOUT_MS)
        self = cls(page, server)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self._note(error.message))
        page.on("request", self._see)
        page.goto(server.address(notebook))
        self.wait_until_ready()
        return self

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note(f"{message.text} ({message.location.get('url')})")

    def _note(self, complaint: str) -> None:
        if not _HARMLESS.search(complaint):
            self.errors.append(complaint)

    def _see(self, request: Request) -> None:
        local = (self.server.url, self.server.url.replace("http", "ws", 1), "data:", "blob:")
        if not request.url.startswith(local):
            self.foreign_requests.append(request.url)

    def wait_until_ready(self) -> None:
        """Wait until the notebook is shown and its kernel idle."""
        self.page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
        self.page.wait_for_function("() => window.jupyterapp !== undefined")
        # A cell that is run before the session is connected is passed over without a word.
        self.page.evaluate(
            """async () => {
                const session = window.jupyterapp.shell.currentWidget.sessionContext;
                await session.ready;
                await session.session.kernel.info;
            }"""
        )
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Wait until the kernel has nothing to do."""
        self.page.wait_for_selector(
            ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook-ExecutionIndicator"
            "[data-status='idle']"
        )

    def command(self, name: str) -> None:
        """Start a command of JupyterLab; does not wait for its end."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name); }", name)

    def run_cell(self, source: str, expect_error: bool = False) -> Locator:
        """Run the code cell that contains `source`; returns its output area.

        Args:
            source: a part of the cell's code.
            expect_error: whether the cell has to fail; else it must not.
        """
        cell = self.cell(source)
        cell.locator(".cm-content").click()
        self.page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
        expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"\[\d+\]:"))
        output = cell.locator(".jp-Cell-outputArea")
        failed = cell.locator(
            "[data-mime-type='application/vnd.jupyter.stderr'] pre, .jp-mod-error"
        )
        assert expect_error == (failed.count() > 0), output.inner_text()
        return output

    def start_cell(self, source: str) -> Locator:
        """Start the code cell that contains `source` and return it, without waiting."""
        cell = self.cell(source)
        cell.locator(".cm-content").click()
        self.command("notebook:run-cell")
        expect(cell.locator(".jp-InputPrompt")).to_have_text("[*]:")
        return cell

    def cell(self, source: str) -> Locator:
        """The code cell whose code contains `source`."""
        code = self.page.locator(".jp-InputArea-editor", has_text=source)
        cell = self.page.locator(".jp-CodeCell", has=code).first
        cell.scroll_into_view_if_needed()
        return cell

    def save(self) -> None:
        """Save the notebook, outputs included."""
        self.command("docmanager:save")
        self.page.wait_for_selector(".lm-TabBar-tab.lm-mod-current:not(.jp-mod-dirty)")

    def check(self) -> None:
        """Fail if the page complained, or asked anything of another machine."""
        assert not self.foreign_requests, self.foreign_requests
        assert not self.errors, self.errors

    def restart_kernel(self) -> None:
        """Restart the kernel without being asked."""
        self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
        )
        self.wait_until_idle()

    def reload(self) -> None:
        """Load the page again, as a user does who has closed its tab."""
        self.page.reload()
        self.wait_until_ready()
