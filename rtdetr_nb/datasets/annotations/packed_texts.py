"""Many texts in two arrays, so that a data worker that reads them copies no page of memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True, eq=False)
class PackedTexts:
    """An immutable sequence of texts.

    A list of Python texts would be copied into every worker, page by page: reading a text changes
    the count of its references, and with it the page that it lies on.

    Attributes:
        content: all texts in UTF-8, one after the other, (bytes,) uint8.
        ends: where each text ends, (texts + 1,) int64, beginning with 0.
    """

    content: np.ndarray
    ends: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[str]) -> "PackedTexts":
        """Pack texts."""
        # Names of files may hold bytes that are no UTF-8; they come back as they were.
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        ends = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=ends[1:])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, index: int) -> str:
        index = range(len(self))[index]
        piece = self.content[self.ends[index] : self.ends[index + 1]]
        return piece.tobytes().decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        content, ends = self.content.tobytes(), self.ends.tolist()
        pieces = (content[start:end] for start, end in pairwise(ends))
        return (piece.decode("utf-8", "surrogatepass") for piece in pieces)

    def take(self, indices: np.ndarray) -> "PackedTexts":
        """The texts at these indices."""
        return PackedTexts.of(self[int(index)] for index in indices)
