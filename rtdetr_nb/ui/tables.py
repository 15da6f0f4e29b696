"""Tables to search and sort in a notebook, and their static form for everywhere else.

The library that draws them lies in the notebook itself: nothing is asked of the network. Above the
interactive table stands a static one with the counts and the rows that matter, which stays when a
notebook is not trusted, converted or printed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas
from IPython import get_ipython
from IPython.display import HTML, display
from itables import options
from itables.javascript import (
    GOOGLE_COLAB,
    generate_init_offline_itables_html,
    to_html_datatable,
)
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from rtdetr_nb.architecture.key_info import KeyInfo
from rtdetr_nb.checkpoint.checkpoint import Checkpoint
from rtdetr_nb.checkpoint.checkpoint_tables import checkpoint_html, checkpoint_text
from rtdetr_nb.checkpoint.comparison.diff import Diff
from rtdetr_nb.checkpoint.comparison.diff_tables import diff_html, diff_text
from rtdetr_nb.checkpoint.comparison.row import (
    BOOKKEEPING,
    MATCHED,
    MISMATCHED,
    MISSING,
    STATUSES,
    UNUSED,
    Row,
)
from rtdetr_nb.errors import SelectionError
from rtdetr_nb.text.html_pieces import WORD_COLORS, marked, shown
from rtdetr_nb.text.name_difference import name_difference
from rtdetr_nb.text.table import shape_text
from rtdetr_nb.ui.table_buttons import export_buttons, part_of_cell, status_buttons

_ROWS_PER_PAGE = 15
# What does not load comes first.
_BY_SEVERITY = (MISMATCHED, MISSING, UNUSED, MATCHED, BOOKKEEPING)
_PARTS = ("model name", "file name", "note")
_NAMES, _NONE = "name in the model, in the file, and note", "<i>-</i>"
# Once for the whole table; the cells only carry the short names of classes.
_STYLE = (
    "<style>"
    # The page's own colours: the library's dark mode does not follow JupyterLab's themes.
    ".rtnb-table .dt-container,.rtnb-table .dt-container "
    ":is(input,select,.dt-paging-button,.dt-button,.dt-info){"
    "background:transparent!important;color:var(--jp-ui-font-color1,inherit)!important}"
    ".rtnb-table .dt-paging-button.disabled{opacity:.3}"
    ".rtnb-table .dt-paging-button.current{border-color:var(--jp-border-color1,#8c8c8c)!important}"
    ".rtnb-table select option{background:var(--jp-layout-color1,Canvas)}"
    # A long page scrolls in its own box, below its head.
    ".rtnb-table .dt-layout-table .dt-layout-cell{max-height:62em;overflow:auto}"
    ".rtnb-table thead th{position:sticky!important;top:0;z-index:1;"
    "color:var(--jp-ui-font-color1,inherit)!important;"
    "background:var(--jp-layout-color0,Canvas)!important}"
    ".rtnb-table .k{font-family:var(--jp-code-font-family,monospace);white-space:nowrap;"
    "font-size:.92em}"
    ".rtnb-table .n{max-width:44em;white-space:normal;opacity:.8}"
    ".rtnb-table mark{background:#ffe08a;color:#1f2328;border-radius:3px;padding:0 2px}"
    ".rtnb-table .s{color:#fff;border-radius:3px;padding:0 5px;white-space:nowrap}"
    + "".join(f".rtnb-table .s-{status}{{background:{WORD_COLORS[status]}}}" for status in STATUSES)
    + "</style>"
)

Source = Diff | Checkpoint | pandas.DataFrame


@dataclass(frozen=True)
class TableView:
    """A table in its three forms: interactive, static HTML and plain text.

    Attributes:
        frame: the cells of the interactive table, as HTML; text of files is escaped in it.
        static_html: what stands above it and stays without JavaScript.
        text: for a terminal.
        numeric: columns that are aligned to the right.
        counts: of a comparison, the rows of each status, which has a button.
    """

    frame: pandas.DataFrame = field(repr=False)
    static_html: str = field(repr=False)
    text: str = field(repr=False)
    numeric: frozenset[str] = frozenset()
    counts: Mapping[str, int] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return self.text

    def interactive_html(self) -> str:
        """Return the interactive table; it needs the library that `show_table` puts first."""
        columns = list(self.frame.columns)
        numbers = [index for index, column in enumerate(columns) if column in self.numeric]
        words = [index for index in range(len(columns)) if index not in numbers]
        # An export has names and note in columns, which are hidden here and hold no data.
        parts = _PARTS if self.counts else ()
        names = columns.index(_NAMES) if parts else -1
        hidden = range(len(columns), len(columns) + len(parts))
        written = [place for place in range(len(columns) + len(parts)) if place != names]
        buttons = [*(status_buttons(self.counts) if parts else []), *export_buttons(written)]
        table = to_html_datatable(
            self.frame.assign(**dict.fromkeys(parts, "")),
            connected=False,
            showIndex=False,
            allow_html=True,
            # All rows, however many: a table that drops rows in silence is of no use here.
            maxBytes=0,
            maxRows=0,
            maxColumns=0,
            order=[],
            # Else a click on a header selects its text, and only the small arrows sort.
            text_in_header_can_be_selected=False,
            # Else columns are as wide as the longest cell of all pages, and the last ones are cut.
            autoWidth=False,
            pageLength=_ROWS_PER_PAGE,
            lengthMenu=[_ROWS_PER_PAGE, 50, 200, 1000],
            layout={"top2Start": {"buttons": buttons}},
            classes="display compact",
            style="width:auto;margin:0",
            columnDefs=[
                {"targets": words, "className": "dt-left"},
                {"targets": numbers, "className": "dt-right"},
                *(
                    {"targets": [place], "visible": False, "data": part_of_cell(names, part)}
                    for part, place in enumerate(hidden)
                ),
            ],
        )
        return f"{_STYLE}<div class='rtnb-table' style='overflow-x:auto'>{table}</div>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        html = f"{self.static_html}{self.interactive_html()}"
        return {"text/html": html, "text/plain": self.text}


def show_table(source: Source, status: str | Collection[str] | None = None) -> None:
    """Show a comparison, the tensors of a file, or any DataFrame as a table to search and sort.

    Args:
        source: what to show.
        status: of a comparison, only the rows of this status or these statuses.

    Raises:
        SelectionError: there is no such status.
    """
    view = table_view(source, status)
    _provide_library()
    display(view)


def table_view(source: Source, status: str | Collection[str] | None = None) -> TableView:
    """Return what `show_table` shows, without showing it."""
    if isinstance(source, Diff):
        return _diff_view(source, _statuses(status))
    if isinstance(source, Checkpoint):
        return _checkpoint_view(source)
    return _frame_view(source)


def _frame_view(source: pandas.DataFrame) -> TableView:
    """Any table: names of columns are text of a file as much as the cells are."""
    names = [shown(str(name)) for name in source.columns]
    columns = [column for _, column in source.items()]
    is_number = [is_numeric_dtype(column) and not is_bool_dtype(column) for column in columns]
    cells = pandas.DataFrame(
        {
            place: column if is_number[place] else column.map(_plain_cell)
            for place, column in enumerate(columns)  # by place: two columns may have one name
        }
    )
    cells.columns = names
    numeric = frozenset(name for name, number in zip(names, is_number, strict=True) if number)
    return TableView(cells, "", source.to_string(index=False), numeric)


def _diff_view(diff: Diff, statuses: frozenset[str]) -> TableView:
    chosen = [row for row in diff.rows if row.status in statuses]
    rows = sorted(chosen, key=_severity)
    counts = {status: n for status in _BY_SEVERITY if (n := sum(r.status == status for r in rows))}
    columns = ("status", _NAMES, "model shape", "file shape", "values", "type")
    frame = pandas.DataFrame(map(_diff_cells, rows), columns=list(columns))
    return TableView(frame, diff_html(diff), diff_text(diff), frozenset({"values"}), counts)


def _severity(row: Row) -> int:
    """Where a row stands: that encoder and decoder are missing is normal, and comes late."""
    is_normal = row.status == MISSING and row.part in ("encoder", "decoder")
    return _BY_SEVERITY.index(BOOKKEEPING if is_normal else row.status)


def _diff_cells(row: Row) -> tuple[str | int, ...]:
    model, found = row.model_key, row.checkpoint_key
    if model and found:
        # One below the other: both whole in a narrow window, and easily compared.
        # The style of the marks stands once, in `_STYLE`.
        names = (marked(name, tag="<mark>") for name in name_difference(model, found))
    else:
        names = (shown(model or ""), shown(found or ""))
    note = f"<div class=n>{shown(row.note)}</div>" if row.note else ""
    shape = row.model_shape if row.model_shape is not None else row.checkpoint_shape
    return (
        f"<span class='s s-{row.status}'>{row.status}</span>",
        _name("<br>".join(name or _NONE for name in names)) + note,
        shape_text(row.model_shape),
        shape_text(row.checkpoint_shape),
        KeyInfo(shape or ()).num_elements,
        row.dtype,
    )


def _checkpoint_view(checkpoint: Checkpoint) -> TableView:
    rows = [
        (_name(shown(key)), shape_text(t.shape), t.numel, t.dtype, t.kind, t.nbytes)
        for key, t in checkpoint.tensors.items()
    ]
    columns = ["key", "shape", "values", "type", "kind", "bytes"]
    frame = pandas.DataFrame(rows, columns=columns)
    text = checkpoint_text(checkpoint)
    return TableView(frame, checkpoint_html(checkpoint), text, frozenset({"values", "bytes"}))


def _name(html: str) -> str:
    return f"<span class=k>{html}</span>" if html else ""


def _plain_cell(value: object) -> str:
    return shown(str(value))


def _statuses(status: str | Collection[str] | None) -> frozenset[str]:
    wanted: Iterable[str] = STATUSES if status is None else status
    chosen = frozenset([wanted] if isinstance(wanted, str) else wanted)
    unknown = sorted(chosen - set(STATUSES))
    if unknown:
        raise SelectionError(f"There is no status {unknown[0]!r}; known: {', '.join(STATUSES)}.")
    return chosen


class _Library:
    """Where in the notebook the table library was put, so that it is put there once."""

    cell: str | None = None
    provided = False


def _provide_library() -> None:
    """Put the table library into the output of the first cell that shows a table.

    A megabyte, so once; and again when that cell is run again, as its old output is gone then. In
    Colab each output is a separate frame, so there every cell needs it.
    """
    shell = get_ipython()
    if shell is None:
        return
    metadata = shell.get_parent().get("metadata", {}) if hasattr(shell, "get_parent") else {}
    cell = metadata.get("cellId")
    if GOOGLE_COLAB or not _Library.provided or (cell is not None and cell == _Library.cell):
        # Not `init_notebook_mode`: its script for dark themes uses the library before it is there,
        # which the browser's console reports as an error; the colours here follow the page.
        display(HTML(generate_init_offline_itables_html(options.dt_bundle)))
        _Library.cell, _Library.provided = cell, True
