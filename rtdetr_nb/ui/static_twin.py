"""What stays on the page of a saved notebook where a widget was.

JupyterLab shows an error in place of a widget whose kernel is gone, and never looks at the HTML
that lies beside the widget. So the same is displayed once more, folded, without a widget.
"""

from __future__ import annotations

from collections.abc import Callable
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

    def beside(self, bundle: Any) -> Any:
        """What a widget's `_repr_mimebundle_` returns, and beside it text and HTML for other pages.

        Args:
            bundle: data, or data and metadata; it comes back in the same form.
        """
        if isinstance(bundle, tuple):
            data, metadata = bundle
            return self.beside(data), metadata
        return {**(bundle or {}), "text/html": self._html(), "text/plain": self._text()}

    def show(self, bundle: Any) -> None:
        """Display a bundle that `beside` has made, and the copy below it."""
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        display(data, metadata=metadata, raw=True)
        # A page by Voila never outlives its kernel, and its visitors need no second copy.
        if not is_served_page():
            folded = _folded(data["text/html"])
            self._handles.append(display(folded, raw=True, display_id=True))

    def update(self) -> None:
        """Bring the copy up to date, wherever it was displayed."""
        if self._handles:
            folded = _folded(self._html())
            for handle in self._handles:
                handle.update(folded, raw=True)


def _folded(html: str) -> dict[str, str]:
    folded = f"<details><summary>{_SUMMARY}</summary>{html}</details>"
    return {"text/html": folded, "text/plain": ""}
