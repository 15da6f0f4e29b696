"""A web server in a separate process, and a page of it that notes what it complains of."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, Request

# The first start loads JupyterLab from a cold disk on a busy machine.
PATIENCE_SECONDS = 120


@contextlib.contextmanager
def serve(module: str, options: Sequence[str], probe: str, scratch: Path) -> Iterator[None]:
    """Run a Python module that serves, from when it answers, with settings in `scratch`.

    Args:
        module: what `python -m` runs.
        options: of its command line.
        probe: an address at which it answers.
        scratch: a folder for its output, settings and caches.
    """
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(scratch / "config"),
        "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
        "IPYTHONDIR": str(scratch / "ipython"),
    }
    with (
        open(scratch / "server.log", "wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", module, *options],
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        ) as process,
    ):
        try:
            wait_until(lambda: _answers(probe, process))
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until `holds` returns true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the server ended; see server.log"
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


class WatchedPage:
    """A window that notes errors of its page, and what it asks of other machines.

    Args:
        browser: to open it in.
        server: the one address that it may ask.
        harmless: of complaints that are no matter of ours.
        height: of the window, in pixels.
    """

    def __init__(
        self, browser: Browser, server: str, harmless: str = "^$", height: int = 1000
    ) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1400, "height": height})
        self.page.set_default_timeout(PATIENCE_SECONDS * 1000)
        self._complaints: list[str] = []
        self._harmless = re.compile(harmless)
        self._local = (server, server.replace("http", "ws", 1), "data:", "blob:")
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._note(error.message))
        self.page.on("request", self._see)

    def check(self) -> None:
        """Fail if the page complained, or asked anything of another machine."""
        assert not self._complaints, self._complaints

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note(f"{message.text} ({message.location.get('url')})")

    def _see(self, request: Request) -> None:
        if not request.url.startswith(self._local):
            self._note(f"asks for {request.url}")

    def _note(self, complaint: str) -> None:
        if not self._harmless.search(complaint):
            self._complaints.append(complaint)
