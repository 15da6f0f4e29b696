"""How large the description of a pickle may become."""

from __future__ import annotations

from rtdetr_nb.errors import CheckpointError

MAXIMUM_ENTRIES = 300_000
"""Entries of the tree, with every shared part counted once for each place it is used in, and with
one more for every 64 characters of their names. A checkpoint of 3,600 tensors has about 10,000."""


class TreeBudget:
    """Counts the entries of one tree."""

    def __init__(self) -> None:
        self.spent = 0
        """Entries so far."""

    def spend(self, entries: int, characters: int = 0) -> None:
        """Count entries, and the characters of their names, before they are made.

        Raises:
            CheckpointError: There are more than any checkpoint has.
        """
        self.spent += entries + characters // 64
        if self.spent > MAXIMUM_ENTRIES:
            raise CheckpointError(
                f"It unfolds to more than {MAXIMUM_ENTRIES:,} entries, as files do that are made "
                "to exhaust memory. Do not trust where it comes from."
            )
