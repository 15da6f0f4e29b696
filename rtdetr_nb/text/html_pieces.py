"""Small pieces of HTML that read on a light page as on a dark one, styles and all inside.

A colour never stands alone: it brings its own text colour, and a word says the same. Styles are
written into the elements because notebooks that are not trusted lose their style sheets.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from rtdetr_nb.text.name_difference import Segment
from rtdetr_nb.text.printable import printable

GREEN, RED, AMBER, GREY, VIOLET = "#1a7f37", "#b42318", "#8a5a00", "#57606a", "#6f4fb5"
_MARK = "background-color:#ffe08a;color:#1f2328;border-radius:3px;padding:0 2px"

WORD_COLORS = {
    "matched": GREEN,
    "mismatched": RED,
    "missing": AMBER,
    "unused": GREY,
    "bookkeeping": VIOLET,
    "ok": GREEN,
    "yes": GREEN,
    "no": AMBER,
    "warnings": AMBER,
    "warning": AMBER,
    "failed": RED,
    "failure": RED,
    "note": GREY,
}
"""Grounds of the status, verdict and finding words; each has 4.5 : 1 or more under white."""


def badge(word: str) -> str:
    """Return a status, verdict or level as a coloured word."""
    color = WORD_COLORS.get(word, GREY)
    return (
        f"<span style='background-color:{color};color:#ffffff;border-radius:3px;padding:0 5px;"
        f"white-space:nowrap'>{escape(word)}</span>"
    )


def answer_box(word: str, lead: str, sentence: str, then: Iterable[str] = ()) -> str:
    """Return the answer that a report begins with: a box with its verdict, and what to do.

    Args:
        word: the verdict, which colours the edge.
        lead: the answer in a word or two.
        sentence: the rest of it.
        then: what to do, in the order in which to do it.
    """
    edge = WORD_COLORS.get(word, GREY)
    style = (
        f"border-left:5px solid {edge};background-color:rgba(127,127,127,.12);padding:.5em .9em;"
        "margin:.4em 0;max-width:60em;overflow-wrap:anywhere"
    )
    steps = "".join(f"<div style='margin-top:.3em'>{step}</div>" for step in then)
    return (
        f"<div style='{style}'>{badge(word)} <b>{shown(lead)}:</b> {shown(sentence)}{steps}</div>"
    )


def marked(segments: Iterable[Segment], tag: str = f"<mark style='{_MARK}'>") -> str:
    """Return a name with the changed pieces marked; `tag` opens the mark."""
    return "".join(
        f"{tag}{shown(piece.text)}</mark>" if piece.changed else shown(piece.text)
        for piece in segments
    )


def shown(text: str) -> str:
    """Return text of a file, escaped and without control characters."""
    return escape(printable(text))


def picture_html(words: str, source: str) -> str:
    """A picture no wider than the page, with words for those who do not see it."""
    return f'<img alt="{escape(words, quote=True)}" style="max-width:100%" src="{source}">'


def error_html(sentence: str, log: str = "") -> str:
    """Return a sentence about an error with log lines below it; empty without a sentence."""
    if not sentence:
        return ""
    lines = ""
    if log:
        lines = (
            '<details open><summary>the last lines of the log</summary><pre style="margin:.3em 0;'
            f'white-space:pre-wrap;font-size:.9em">{escape(log)}</pre></details>'
        )
    return (
        '<div role="alert" style="border-left:4px solid #d55e00;padding:.2em .6em;margin:.3em 0">'
        f"{escape(sentence)}{lines}</div>"
    )
