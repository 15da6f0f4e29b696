"""One part of a preflight: what it looked at, what it found, and the figures that it gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from rtdetr_nb.errors import UserError
from rtdetr_nb.text.findings import FAILURE, WARNING, Finding, Verdict
from rtdetr_nb.text.printable import printable


@dataclass(frozen=True)
class Figure:
    """One number of a preflight.

    Attributes:
        name: what it is, with its unit in words.
        value: the number; seconds, bytes or pixels where it is a time, a size or a picture.
        text: the same for people.
        note: how it was come by, where that is not plain.
    """

    name: str
    value: float
    text: str
    note: str = ""


@dataclass(frozen=True)
class Part:
    """What one part has found.

    Attributes:
        name: what it looked at.
        sentence: what it did and saw, in one sentence.
        findings: what is worth knowing.
        figures: its numbers.
        seconds: that it took.
        is_left_out: what other parts have found leaves nothing to look at.
    """

    name: str
    sentence: str = ""
    findings: tuple[Finding, ...] = ()
    figures: tuple[Figure, ...] = field(default=(), repr=False)
    seconds: float = 0.0
    is_left_out: bool = False

    @property
    def word(self) -> str:
        """The verdict in a table."""
        return "left out" if self.is_left_out else str(self.verdict)

    @property
    def verdict(self) -> Verdict:
        """ "ok", "warnings" or "failed"."""
        return Verdict(self.findings)


def part(
    name: str,
    sentence: str,
    findings: Sequence[Finding] = (),
    figures: Sequence[Figure] = (),
) -> Part:
    """Return a part whose time `look_at` fills in."""
    return Part(name, sentence, tuple(dict.fromkeys(findings)), tuple(figures))


def look_at(name: str, look: Callable[[], Part]) -> Part:
    """Look at one part; an error in it is what it has found, and never the end of the others."""
    began = time.monotonic()
    try:
        seen = look()
    except UserError as error:
        seen = Part(name, "It cannot be used.", (Finding(FAILURE, str(error)),))
    except Exception as error:  # noqa: BLE001 - whatever breaks here, the other parts are looked at
        seen = Part(name, "It could not be looked at.", (_crash(name, error),))
    return replace(seen, name=name, seconds=time.monotonic() - began)


def _crash(name: str, error: Exception) -> Finding:
    lines = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {printable(lines[0])}" if lines else type(error).__name__
    return Finding(
        WARNING,
        f"The part {name!r} ended with an error of this program: {reason}.",
        "",
        "What it would have found is not known.",
        "Report it with this line; the other parts stand.",
    )
