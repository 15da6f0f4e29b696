"""The tree of layers: tick what goes into the tuning file, and see what that amounts to.

The widget holds no truth: `picker.selection` is the same `Selection` that `diff.select` makes, it
can be set from Python, and `picker.code` is the line that makes it without a click.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from rtdetr_nb.checkpoint.checkpoint import Checkpoint
from rtdetr_nb.checkpoint.comparison.diff import Diff
from rtdetr_nb.checkpoint.comparison.selection import Selection
from rtdetr_nb.checkpoint.comparison.selection_summary import SelectionSummary, summarise_keys
from rtdetr_nb.checkpoint.tuning.input_format import InputFormat, named_format
from rtdetr_nb.checkpoint.tuning.report import WriteReport
from rtdetr_nb.checkpoint.tuning.write import write_tuning_file
from rtdetr_nb.config.config import Config
from rtdetr_nb.diagnostics.measuring.tensor_values import TensorValues, tensor_values
from rtdetr_nb.errors import SelectionError, UserError
from rtdetr_nb.text.findings import Verdict
from rtdetr_nb.text.html_pieces import WORD_COLORS, badge, shown
from rtdetr_nb.text.printable import printable
from rtdetr_nb.ui.picking.clicks import answer_click
from rtdetr_nb.ui.picking.pattern_cover import select_keys, selection_code
from rtdetr_nb.ui.picking.shown import judge_picked, leaf, listed_rows, verdict_values
from rtdetr_nb.ui.static_twin import StaticTwin

if TYPE_CHECKING:
    from rtdetr_nb.diagnostics.input_format.input_report import InputReport
    from rtdetr_nb.diagnostics.measuring.pictures import Pictures

_HERE = Path(__file__).parent
_MOST_STEPS_BACK = 100


class LayerPicker(anywidget.AnyWidget):
    """A tree of check boxes over the tensors of a comparison.

    What does not fit is shown, with the reason, and cannot be ticked. The first line is the verdict
    of `convert` on what is ticked. Encoder and decoder are only listed where the file has something
    for them.
    """

    _esm = (
        "".join((_HERE.parent / name).read_text() for name in ("element.js", "clipboard.js"))
        + (_HERE / "picker.js").read_text()
    )
    _css = _HERE / "picker.css"

    leaves = traitlets.List().tag(sync=True)
    colors = traitlets.Dict().tag(sync=True)
    picked = traitlets.List(traitlets.Int()).tag(sync=True)
    judged = traitlets.Dict().tag(sync=True)
    official = traitlets.Unicode().tag(sync=True)
    warnings = traitlets.List(traitlets.Unicode()).tag(sync=True)
    code = traitlets.Unicode().tag(sync=True)
    path = traitlets.Unicode().tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)
    caution = traitlets.Unicode().tag(sync=True)
    failed = traitlets.Bool().tag(sync=True)
    can_undo = traitlets.Bool().tag(sync=True)
    can_look = traitlets.Bool().tag(sync=True)
    looked = traitlets.Unicode().tag(sync=True)
    folded = traitlets.Unicode().tag(sync=True)
    values = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        diff: Diff,
        selection: Selection | None = None,
        path: str = "tuning.pth",
        data: Pictures | None = None,
    ):
        """Show `diff` with `selection` ticked; everything that fits if None. See `pick_layers`."""
        self.diff = diff
        self.data = data
        self._rows = listed_rows(diff)
        self._indices = {row.model_key: index for index, row in enumerate(self._rows)}
        self._selection: Selection | None = None
        self._verdict = Verdict()
        self._input_format: InputFormat | None = None
        self._earlier: list[list[int]] = []
        self._twin = StaticTwin(self._as_text, self._as_html)
        super().__init__(
            leaves=[leaf(row) for row in self._rows],
            colors=dict(WORD_COLORS),
            path=path,
            can_look=data is not None,
        )
        self._tell()
        self.selection = diff.select() if selection is None else selection
        self._earlier, self.can_undo = [], False
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
    def verdict(self) -> Verdict:
        """The verdict of `convert` on the tuning file of what is ticked."""
        return self._verdict

    @property
    def summary(self) -> SelectionSummary:
        """The ticked tensors in figures."""
        return summarise_keys(self.diff, self._keys())

    @property
    def input_format(self) -> InputFormat | None:
        """What is folded into the stem when the file is written; set it by its name too.

        Raises:
            TuningError: there is no input format of that name.
        """
        return self._input_format

    @input_format.setter
    def input_format(self, wanted: InputFormat | str | None) -> None:
        self._input_format = None if wanted is None else named_format(wanted)
        self.folded = "" if self._input_format is None else str(self._input_format)
        self._twin.update()

    def clear(self) -> None:
        """Untick everything."""
        self.picked = []

    def undo(self) -> None:
        """Take back the last change of the ticks; does nothing if there is none to take back."""
        if self._earlier:
            *before, self.picked = self._earlier
            self._earlier, self.can_undo = before, bool(before)

    def mend_input(self) -> InputReport:
        """Look at the pictures, and fold into the stem what they show that the backbone expects.

        Raises:
            UserError: the picker was made without `data`, or there are no pictures in it.
        """
        from rtdetr_nb.diagnostics.input_format.check_input import check_input

        if self.data is None:
            raise UserError("There are no pictures to look at. Give some: pick_layers(..., data=).")
        config = self.diff.config if isinstance(self.diff.config, Config) else None
        report = check_input(self.diff.candidate, self.data, config=config)
        self.input_format = report.to_mend
        worst = report.findings[:1] if report.verdict != "ok" else ()
        self.looked = printable(" ".join([report.sentence, *(f.why for f in worst)]))
        return report

    def show_values(self, index: int) -> TensorValues:
        """Show range, mean and histogram of a row's values, below the tree.

        Raises:
            UserError: the file has nothing for the row, or its values cannot be read.
        """
        row = self._rows[index]
        found = tensor_values(self.diff, row.checkpoint_key or row.model_key or "")
        self.values = found._repr_html_()
        return found

    def write(
        self,
        path: str | PathLike[str] | None = None,
        base: str | PathLike[str] | Checkpoint | None = None,
        overwrite: bool = False,
        allow_failed: bool = False,
    ) -> WriteReport:
        """Write what is ticked as a tuning file, and prove it; see `write_tuning_file`.

        Raises:
            UserError: nothing is ticked, the verdict is "failed", or the file cannot be written.
        """
        return write_tuning_file(
            self.selection,
            self.path if path is None else str(path),
            base=base,
            overwrite=overwrite,
            input_format=self.input_format,
            allow_failed=allow_failed,
        )

    def _keys(self) -> list[str]:
        return [self._rows[index].model_key or "" for index in self.picked]

    @traitlets.validate("picked")
    def _only_what_fits(self, proposal: Any) -> list[int]:
        """Refuse what does not fit the model, also from a click."""
        indices = sorted(set(proposal["value"]))
        for index in indices:
            if not 0 <= index < len(self._rows) or not self._rows[index].loadable:
                raise traitlets.TraitError(f"Row {index} cannot be picked.")
        return indices

    @traitlets.observe("picked")
    def _on_change(self, change: Any) -> None:
        self._earlier = [*self._earlier, change["old"]][-_MOST_STEPS_BACK:]
        self.can_undo = True
        self._tell()

    def _tell(self) -> None:
        """Say what the pick amounts to."""
        self._selection = None
        keys = self._keys()
        picked = self.diff.select(rows=keys) if keys else None
        self._verdict = judge_picked(picked)
        with self.hold_sync():
            self.official = self.summary.official_sentence
            self.code = selection_code(self.diff, keys) if keys else ""
            self.warnings = [] if picked is None else list(picked.warnings)
            self.judged = verdict_values(self._verdict, picked)
            self.message, self.caution, self.failed = "", "", False
        self._twin.update()

    def _on_message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """Do what a click asks for; what goes wrong becomes a sentence in the widget."""
        answer_click(self, content)

    def _as_text(self) -> str:
        return str(self.selection) if self.picked else "Nothing is picked."

    def _as_html(self) -> str:
        if not self.picked:
            return "<p>Nothing is picked.</p>"
        mended = f"<p>Folded into the stem: {shown(self.folded)}.</p>" if self.folded else ""
        verdict = f"<p>{badge(self.judged['word'])} {shown(self.judged['text'])}</p>"
        return f"{verdict}{self.selection._repr_html_()}{mended}"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The widget, and beside it what a page without widgets can show."""
        return self._twin.beside(super()._repr_mimebundle_(**options))

    def _ipython_display_(self) -> None:
        self._twin.show(self._repr_mimebundle_())


def pick_layers(
    diff: Diff,
    selection: Selection | None = None,
    path: str = "tuning.pth",
    data: Pictures | None = None,
) -> LayerPicker:
    """Return the tree of a comparison's layers, with `selection` ticked or everything that fits.

    Args:
        diff: the comparison.
        selection: what is ticked at first.
        path: where its "Write tuning file" writes, until another path is typed in.
        data: pictures of the training to come (a data source, a folder, or a list of files): one
            click asks them which ones the backbone expects, and mends its stem.
    """
    return LayerPicker(diff, selection, path, data)
