"""What is said about a data set: what was mended, what may spoil a run, what stops it."""

from collections.abc import Iterable
from dataclasses import dataclass

from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Finding

__all__ = ["FAILURE", "NOTE", "WARNING", "DataNote", "failures"]


@dataclass(frozen=True)
class DataNote:
    """One thing that a person has to know about their pictures or labels.

    Attributes:
        kind: a short name for the kind, the same for all data sets ("turned pictures").
        level: "note" (mended, or good to know), "warning" (may spoil a run) or "failure" (no run
            starts with it).
        what: what was found and what is done with it, in a sentence.
        where: the file or folder.
        why: why it matters.
        action: what to do about it.
        count: how many pictures or annotations it is about.
        official: whether the official code reads these files as this kit does.
    """

    kind: str
    level: str
    what: str
    where: str = ""
    why: str = ""
    action: str = ""
    count: int = 0
    official: bool = True

    @property
    def finding(self) -> Finding:
        """The same, as the finding of any report."""
        return Finding(self.level, self.what, self.where, self.why, self.action)

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        return where + " ".join(part for part in (self.what, self.why, self.action) if part)


def failures(notes: Iterable[DataNote]) -> list[DataNote]:
    """The notes that no run starts with."""
    return [note for note in notes if note.level == FAILURE]
