"""Taking a widget from the page with all that belongs to it.

`Widget.close` closes one widget; its children, their layouts and their styles stay in the kernel
and in every page until the kernel ends.
"""

from collections.abc import Iterator

from ipywidgets import Widget


def close_widgets(root: Widget) -> None:
    """Close a widget, its children and their layouts and styles."""
    for widget in list(_tree(root, set())):
        widget.close()


def _tree(widget: Widget, seen: set[int]) -> Iterator[Widget]:
    if id(widget) in seen:
        return
    seen.add(id(widget))
    yield widget
    for name in widget.keys:
        value = getattr(widget, name)
        for inner in value if isinstance(value, list | tuple) else [value]:
            if isinstance(inner, Widget):
                yield from _tree(inner, seen)
