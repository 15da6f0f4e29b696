"""Buttons above a table: one status only; copy, CSV and Excel with one thing a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from itables import JavascriptFunction

_EXPORTS = (("copyHtml5", "Copy"), ("csvHtml5", "CSV"), ("excelHtml5", "Excel"))
# What an export puts into a cell: the text that a reader sees, without marks and badges.
_PLAIN = JavascriptFunction("""function (data) {
    const box = document.createElement("div");
    box.innerHTML = String(data);
    return box.textContent.trim();
}""")


def part_of_cell(column: int, part: int) -> JavascriptFunction:
    """Return the data of a hidden column: a part of a cell of another one, as a reader sees it.

    Args:
        column: whose cells are `<span>model<br>file</span>`, with a note in a `<div>` after it.
        part: 0 is the name in the model, 1 that in the file, 2 the note.
    """
    return JavascriptFunction(f"""function (row) {{
    const box = document.createElement("div");
    box.innerHTML = String(row[{column}]);
    const note = box.querySelector("div");
    if (note) note.remove();
    const names = box.innerHTML.split("<br>").map((name) => {{
        const one = document.createElement("div");
        one.innerHTML = name;
        return one.querySelector("i") ? "" : one.textContent.trim();
    }});
    return [names[0] || "", names[1] || "", note ? note.textContent.trim() : ""][{part}];
}}""")


def export_buttons(columns: Sequence[int]) -> list[dict[str, Any]]:
    """Return the buttons that copy and save what is shown: all pages, as filtered and sorted.

    Args:
        columns: places of the columns that are written.
    """
    options = {"columns": list(columns), "format": {"body": _PLAIN}}
    return [
        {"extend": kind, "text": text, "exportOptions": options, "title": None}
        for kind, text in _EXPORTS
    ]


def status_buttons(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return a button for each status that shows its rows alone, and one that shows all.

    Args:
        counts: rows of each status, in the order of the buttons; the status is in column 0.
    """
    choices = {"all": "", **{status: f"^{status}$" for status in counts}}
    return [
        {
            "text": word if word == "all" else f"{word} {counts[word]:,}",
            "action": JavascriptFunction(
                f"function (event, table) {{ table.column(0).search({pattern!r}, true, false)"
                ".draw(); }"
            ),
        }
        for word, pattern in choices.items()
    ]
