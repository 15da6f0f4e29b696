"""A button that looks at a run before it is started, and the page that it shows."""

import threading
from collections.abc import Callable
from html import escape

import ipywidgets

from rtdetr_nb.diagnostics.preflight.report import PreflightReport
from rtdetr_nb.errors import UserError
from rtdetr_nb.text.html_pieces import error_html
from rtdetr_nb.ui.panel.run_settings import RunSettings

_LOOKING = "It is looked at: configuration, data, weights and disk, then two steps. About a minute."


class PreflightButton:
    """Does what `settings.preflight()` does, beside the kernel, and shows what it says.

    Attributes:
        report: of the last look; None before.
        button: to click.
        page: where the report is shown.
    """

    def __init__(self, settings: Callable[[], RunSettings]) -> None:
        self._settings = settings
        self.report: PreflightReport | None = None
        self.button = ipywidgets.Button(description="Preflight")
        self.button.tooltip = "Can this run be started, and what will it take?"
        self.button.on_click(lambda _: self.start())
        self.page = ipywidgets.HTML()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Look in a thread, so that the panel goes on; one look at a time."""
        if self.button.disabled:
            return
        self.button.disabled = True
        self.page.value = f'<span role="status">{_LOOKING}</span>'
        self.thread = threading.Thread(target=self._look, args=(self._settings(),), daemon=True)
        self.thread.start()

    def _look(self, settings: RunSettings) -> None:
        try:
            self.report = settings.preflight()
            self.page.value = _folded(self.report)
        except UserError as error:
            self.page.value = error_html(str(error))
        finally:
            self.button.disabled = False


def _folded(report: PreflightReport) -> str:
    """The sentence, with all of the page behind it; open where something is in the way."""
    is_open = "" if report.go else " open"
    return (
        f"<details{is_open}><summary>{escape(report.sentence)}</summary>{report.html()}</details>"
    )
