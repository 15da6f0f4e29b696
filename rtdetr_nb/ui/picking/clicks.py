"""What the buttons of the tree do: each calls one method of the picker, and answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtdetr_nb.checkpoint.tuning.judged import ConversionRefusedError
from rtdetr_nb.checkpoint.tuning.output_path import OutputExistsError
from rtdetr_nb.errors import TuningError, UserError
from rtdetr_nb.text.printable import printable
from rtdetr_nb.ui.picking.write_below import allowed

if TYPE_CHECKING:
    from rtdetr_nb.ui.picking.picker import LayerPicker

_ANYWAY = 'A tick at "Write it all the same"'


def answer_click(picker: LayerPicker, content: Mapping[str, Any]) -> None:
    """Do what a click asks for, and answer it.

    What goes wrong becomes a sentence in the widget; only a failure of ours is raised too.
    """
    act = _ACTS.get(content.get("do", ""))
    if act is None:
        return
    try:
        act(picker, content)
    except UserError as error:
        _say(picker, _in_words_of_the_page(error), failed=True)
    except Exception as error:
        _say(
            picker,
            f"Unexpected error (please report it): {type(error).__name__}: {error}.",
            failed=True,
        )
        raise
    finally:
        # The same words as the last time change no trait, and the page waits for an answer.
        picker.send({"do": "answer", "to": content["do"]})


def _write(picker: LayerPicker, content: Mapping[str, Any]) -> None:
    path, base = (str(content[name]).strip() for name in ("path", "base"))
    if not path:
        raise TuningError("Give a name for the file.")
    report = picker.write(
        allowed(path),
        base=allowed(base) if base else None,
        overwrite=bool(content["replace"]),
        allow_failed=bool(content.get("anyway")),
    )
    picker.path = str(report.path)
    whole = Path(report.path).absolute().parent.resolve()
    _say(picker, f"Written into {whole} and opened again: {report}.", caution=report.caution)


def _pick(picker: LayerPicker, content: Mapping[str, Any]) -> None:
    picker.picked = content["picked"]


def _values(picker: LayerPicker, content: Mapping[str, Any]) -> None:
    picker.show_values(int(content["index"]))


def _undo(picker: LayerPicker, _: Mapping[str, Any]) -> None:
    picker.undo()


def _mend(picker: LayerPicker, _: Mapping[str, Any]) -> None:
    picker.mend_input()


def _leave(picker: LayerPicker, _: Mapping[str, Any]) -> None:
    picker.input_format = None


_ACTS = {
    "pick": _pick,
    "values": _values,
    "write": _write,
    "undo": _undo,
    "mend": _mend,
    "leave": _leave,
}


def _say(picker: LayerPicker, text: str, caution: str = "", failed: bool = False) -> None:
    picker.message = "\n".join(printable(line) for line in text.splitlines())
    picker.caution, picker.failed = printable(caution), failed


def _in_words_of_the_page(error: UserError) -> str:
    """The sentence of an error, with the box to tick instead of a parameter to give."""
    if isinstance(error, ConversionRefusedError):
        return error.told(_ANYWAY)
    if isinstance(error, OutputExistsError):
        return f'{error.path} exists: tick "Replace an existing file", or give another name.'
    return str(error)
