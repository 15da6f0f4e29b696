"""The tree of layers: tick what goes into the tuning file, and see what that amounts to.

The widget holds no truth: `picker.selection` is the same `Selection` that `diff.select` makes, it
can be set from Python, and `picker.code` is the line that makes it without a click.
"""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.checkpoint import Checkpoint
from rtdetr_nb.checkpoint.comparison.diff import Diff
from rtdetr_nb.checkpoint.comparison.pattern_cover import branch_path, select_keys, selection_code
from rtdetr_nb.checkpoint.comparison.row import BOOKKEEPING, Row
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.comparison.selection_summary import SelectionSummary, summarise_keys
from rtdetr_nb.checkpoint.tuning.write import WriteReport, write_tuning_file
from rtdetr_nb.errors import SelectionError, UserError
from rtdetr_nb.text.html_pieces import WORD_COLORS
from rtdetr_nb.text.printable import printable
from rtdetr_nb.text.table import shape_text

_HERE = Path(__file__).parent
_HEADS = ("encoder", "decoder")
# Names the folder that a click may read and write; any if it is not set. A page for a class sets
# it, as its visitors are not the user who serves it.
WRITE_BELOW = "RTDETR_NB_WRITE_BELOW"


class LayerPicker(anywidget.AnyWidget):
    """A tree of check boxes over the tensors of a comparison.

    What does not fit is shown, with the reason, and cannot be ticked. Encoder and decoder are only
    listed where the file has something for them.
    """

    _esm = _HERE / "picker.js"
    _css = _HERE / "picker.css"

    leaves = traitlets.List().tag(sync=True)
    colors = traitlets.Dict().tag(sync=True)
    picked = traitlets.List(traitlets.Int()).tag(sync=True)
    official = traitlets.Unicode().tag(sync=True)
    warnings = traitlets.List(traitlets.Unicode()).tag(sync=True)
    code = traitlets.Unicode().tag(sync=True)
    path = traitlets.Unicode().tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)
    failed = traitlets.Bool().tag(sync=True)

    def __init__(self, diff: Diff, selection: Selection | None = None, path: str = "tuning.pth"):
        """Show `diff` with `selection` ticked; everything that fits if None."""
        self.diff = diff
        self._rows = [row for row in diff.rows if _is_listed(row, diff)]
        self._indices = {row.model_key: index for index, row in enumerate(self._rows)}
        self._selection: Selection | None = None
        super().__init__(
            leaves=[_leaf(row) for row in self._rows], colors=dict(WORD_COLORS), path=path
        )
        self.selection = diff.select() if selection is None else selection
        self.on_msg(self._on_message)

    @property
    def selection(self) -> Selection:
        """What is ticked, as `diff.select` would give it.

        Raises:
            SelectionError: nothing is ticked; or, when set, it comes from another comparison.
        """
        if self._selection is None:
            self._selection = select_keys(self.diff, self._keys())
        return self._selection

    @selection.setter
    def selection(self, selection: Selection) -> None:
        if selection.diff.rows != self.diff.rows:
            raise SelectionError(
                "The selection comes from another comparison. Make it from the picker's own diff."
            )
        self.picked = sorted(self._indices[key] for key in selection.keys)
        self._selection = selection

    @property
    def summary(self) -> SelectionSummary:
        """The ticked tensors in figures."""
        return summarise_keys(self.diff, self._keys())

    def clear(self) -> None:
        """Untick everything."""
        self.picked = []

    def write(
        self,
        path: str | PathLike[str] | None = None,
        base: str | PathLike[str] | Checkpoint | None = None,
        overwrite: bool = False,
    ) -> WriteReport:
        """Write what is ticked as a tuning file, and prove it; see `write_tuning_file`.

        Raises:
            UserError: nothing is ticked, or the file cannot be written.
        """
        target = self.path if path is None else str(path)
        return write_tuning_file(self.selection, target, base=base, overwrite=overwrite)

    def _keys(self) -> list[str]:
        return [self._rows[index].model_key or "" for index in self.picked]

    @traitlets.validate("picked")
    def _only_what_fits(self, proposal: Any) -> list[int]:
        """Refuse, also from a click, whatever does not fit the model."""
        indices = sorted(set(proposal["value"]))
        for index in indices:
            if not 0 <= index < len(self._rows) or not self._rows[index].loadable:
                raise traitlets.TraitError(f"Row {index} cannot be picked.")
        return indices

    @traitlets.observe("picked")
    def _tell(self, _: Any) -> None:
        """Say what the new pick amounts to."""
        self._selection = None
        keys = self._keys()
        with self.hold_sync():
            self.official = self.summary.official_sentence
            self.code = selection_code(self.diff, keys) if keys else ""
            self.warnings = (
                list(self.diff.select(rows=keys).warnings)
                if keys
                else ["Nothing is picked: a tuning file needs at least one tensor."]
            )
            self.message, self.failed = "", False

    def _on_message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Write on a click; what goes wrong becomes a sentence in the widget."""
        if content.get("do") != "write":
            return
        base = str(content["base"]).strip()
        try:
            report = self.write(
                _allowed(str(content["path"])),
                base=_allowed(base) if base else None,
                overwrite=bool(content["replace"]),
            )
        except UserError as error:
            self.message, self.failed = printable(str(error)), True
        except Exception as error:
            self.message = f"Unexpected error (please report it): {type(error).__name__}: {error}."
            self.failed = True
            raise
        else:
            self.path = str(report.path)
            self.message, self.failed = f"Written and opened again: {report}.", False
        finally:
            # The same words as the last time change no trait, and the page waits for an answer.
            self.send({"do": "answer"})

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and beside it what a page without widgets can show."""
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        html = self.selection._repr_html_() if self.picked else "<p>Nothing is picked.</p>"
        text = str(self.selection) if self.picked else "Nothing is picked."
        return {**(data or {}), "text/html": html, "text/plain": text}, metadata


def pick_layers(
    diff: Diff, selection: Selection | None = None, path: str = "tuning.pth"
) -> LayerPicker:
    """Return the tree of a comparison's layers, with `selection` ticked or everything that fits.

    Args:
        diff: the comparison.
        selection: what is ticked at first.
        path: where its "Write tuning file" writes, until another path is typed in.
    """
    return LayerPicker(diff, selection, path)


def _allowed(path: str) -> str:
    """The path that a click may use; below `WRITE_BELOW`, where relative paths begin then.

    Raises:
        UserError: it lies elsewhere.
    """
    folder = os.environ.get(WRITE_BELOW)
    if folder is None:
        return path
    try:
        target = Path(folder, path).resolve()
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path!r} cannot be the path of a file ({error}). Give another."
        ) from error
    if not target.is_relative_to(Path(folder).resolve()):
        raise UserError(
            "This page reads and writes only below one folder. Give a name without a folder, "
            "for example tuning.pth."
        )
    return str(target)


def _is_listed(row: Row, diff: Diff) -> bool:
    if row.model_key is None or (row.status == BOOKKEEPING and not row.loadable):
        return False
    heads = any(r.part in _HEADS and r.checkpoint_key and r.model_key for r in diff.rows)
    return row.model_key.startswith(BACKBONE) or heads


def _leaf(row: Row) -> dict[str, Any]:
    """What the tree shows of one tensor."""
    elements = row.num_elements
    counts = (row.model_key or "").startswith(BACKBONE) and row.status != BOOKKEEPING
    return {
        "name": (row.model_key or "").removeprefix(BACKBONE),
        "path": branch_path(row.model_key or ""),
        "status": row.status,
        "model_shape": shape_text(row.model_shape),
        "file_shape": shape_text(row.checkpoint_shape),
        "file_key": printable(row.checkpoint_key or ""),
        "elements": elements,
        "in_backbone": elements if counts else 0,
        "loadable": row.loadable,
        "note": printable(row.note),
    }
