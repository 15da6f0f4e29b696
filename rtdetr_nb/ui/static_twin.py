"""What stays on the page of a saved notebook where a widget was.

JupyterLab shows an error in place of a widget whose kernel is gone, and never looks at the HTML
that lies beside the widget. So the same is displayed once more, folded, without a widget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from IPython.display import display

from rtdetr_nb.ui.served_page import is_served_page

_SUMMARY = "The same without a kernel, as a saved notebook shows it"


class StaticTwin:
    """A folded copy below a widget, which follows it while the kernel lives.

    Args:
        text: the plain text of the copy.
        html: its HTML.
    """

    def __init__(self, text: Callable[[], str], html: Callable[[], str]) -> None:
        self._text, self._html = text, html
        self._handles: list[Any] = []

    def show(self, bundle: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
        """Display the bundle of a widget, and the copy below it."""
        display(dict(bundle), metadata=dict(metadata or {}), raw=True)
        # A page by Voila never outlives its kernel, and its visitors need no second copy.
        if not is_served_page():
            self._handles.append(display(self._bundle(), raw=True, display_id=True))

    def update(self) -> None:
        """Bring the copy up to date, wherever it was displayed."""
        for handle in self._handles:
            handle.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, str]:
        folded = f"<details><summary>{_SUMMARY}</summary>{self._html()}</details>"
        return {"text/html": folded, "text/plain": ""}
