"""What live widgets leave behind: on a page of a notebook, in threads, in the kernel."""

import threading
import time
from collections.abc import Callable
from typing import Any

from ipywidgets.widgets.widget import _instances


class Page:
    """Takes the place of the notebook: what was displayed, and what became of it."""

    def __init__(self) -> None:
        self.bundles: list[dict[str, str]] = []

    def display(
        self,
        bundle: dict[str, str],
        raw: bool,
        display_id: bool = False,
        metadata: dict[str, str] | None = None,
    ) -> "Handle | None":
        """As `IPython.display.display` with a bundle."""
        assert raw
        self.bundles.append(bundle)
        return Handle(self, len(self.bundles) - 1) if display_id else None


class Handle:
    """Changes what it was made for."""

    def __init__(self, page: Page, place: int) -> None:
        self.page, self.place = page, place

    def update(self, bundle: dict[str, str], raw: bool) -> None:
        """As that of `IPython.display.DisplayHandle`."""
        assert raw
        self.page.bundles[self.place] = bundle


def wait_until(condition: Callable[[], Any], seconds: float = 90) -> None:
    """Return as soon as it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def plot_threads() -> list[threading.Thread]:
    """The threads of live plots that still follow a run."""
    return [thread for thread in threading.enumerate() if thread.name == "live plot"]


def open_widgets() -> int:
    """How many widgets the kernel holds, layouts and styles among them."""
    return len(_instances)
