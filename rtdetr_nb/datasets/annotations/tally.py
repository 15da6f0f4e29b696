"""Counts of what was mended while a file was read, and the sentences that tell it."""

from collections import Counter

from rtdetr_nb.datasets.annotations.notes import NOTE, DataNote


class Tally:
    """How often each kind of value was mended, and where first.

    Args:
        where: the file that is read.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, kind: str, example: str) -> None:
        """Count one more of a kind."""
        self.counts[kind] += 1
        self._first.setdefault(kind, example)

    def notes(self, sentences: dict[str, str], level: str = NOTE) -> list[DataNote]:
        """A note a kind; a sentence has `{count}` and `{first}` in it."""
        return [
            DataNote(
                kind=kind,
                level=level,
                what=sentence.format(count=f"{self.counts[kind]:,}", first=self._first[kind]),
                where=self.where,
                count=self.counts[kind],
                official=False,
            )
            for kind, sentence in sentences.items()
            if self.counts[kind]
        ]
