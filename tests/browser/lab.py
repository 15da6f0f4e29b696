"""A real JupyterLab or Notebook 7 server and a page of it in a real browser."""

import contextlib
import json
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Locator, expect, sync_playwright

from tests.free_port import free_port

from .server import PATIENCE_SECONDS, WatchedPage, serve

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
_HARMLESS = (
    r"favicon|ResizeObserver|source map|DevTools|was preloaded using link preload"
    r"|^Cannot read properties of undefined \(reading 'schema'\)$"
)


def browser_path() -> str | None:
    """Debian's chromium, or another Chromium on the search path."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


expect.set_options(timeout=PATIENCE_SECONDS * 1000)


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
    port, token = free_port(), secrets.token_hex(16)
    url = f"http://127.0.0.1:{port}"
    flags = [
        "--no-browser", "--allow-root",
        f"--port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={root}", f"--{options}.expose_app_in_browser=True",
        f"--{options}.user_settings_dir={scratch / 'settings'}",
        f"--{options}.workspaces_dir={scratch / 'workspaces'}",
    ]  # fmt: skip
    with serve(module, flags, f"{url}/api?token={token}", scratch):
        yield LabServer(url, token, root, application)


class LabPage(WatchedPage):
    """A notebook (a path below the server's root), opened in a new window."""

    def __init__(
        self, browser: Browser, server: LabServer, notebook: str, height: int = 1000
    ) -> None:
        super().__init__(browser, server.url, _HARMLESS, height=height)
        self.page.goto(server.address(notebook))
        self.wait_until_ready()

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
