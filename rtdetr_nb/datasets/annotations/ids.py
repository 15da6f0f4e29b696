"""Ids of pictures and categories: numbers, numbers in quotes, and other texts."""

import re
from collections.abc import Collection, Sequence
from itertools import repeat
from typing import Any, cast

import numpy as np

Id = int | str

# A detection carries the id of its picture as a double.
_LARGEST = 2**53
_LARGEST_TABLE = 4_000_000
_NUMBER = re.compile(r"[+-]?\d+")


def id_of(value: Any) -> Id | None:
    """The id that a JSON value stands for; None if it is no id.

    A number in quotes, or with nothing behind its decimal point, is that number.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, str) and value.strip():
        text = value.strip()
        return int(text) if _NUMBER.fullmatch(text) else text
    return None


def are_numbers(ids: Collection[Id]) -> bool:
    """Whether all ids are numbers that a detection can carry."""
    if set(map(type, ids)) - {int}:
        return False
    numbers = cast("Collection[int]", ids)
    return not numbers or (max(numbers) < _LARGEST and min(numbers) > -_LARGEST)


class Places:
    """Where ids stand in a list of ids, found for many at once.

    Args:
        ids: each once.
    """

    def __init__(self, ids: Sequence[Id]) -> None:
        self.ids = ids
        self._of = {each: place for place, each in enumerate(ids)}
        self._first, self._table = 0, np.empty(0, np.int32)
        if ids and are_numbers(ids):
            numbers = np.array(ids, np.int64)
            self._first, span = int(numbers.min()), int(numbers.max() - numbers.min()) + 1
            if span <= _LARGEST_TABLE:
                self._table = np.full(span, -1, np.int32)
                self._table[numbers - self._first] = np.arange(len(ids), dtype=np.int32)

    def __getitem__(self, each: Id) -> int:
        return self._of.get(each, -1)

    def of(self, ids: Sequence[Id]) -> np.ndarray:
        """The place of each id, int32; -1 for one that is not in the list."""
        # Numbers that lie close are looked up in a table: a dict costs a third of all reading.
        numbers = np.array(ids) if len(self._table) and are_numbers(ids) else None
        if numbers is None or not numbers.size:
            return np.fromiter(map(self._of.get, ids, repeat(-1)), np.int32, len(ids))
        offsets = numbers - self._first
        known = (offsets >= 0) & (offsets < len(self._table))
        return np.where(known, self._table[np.where(known, offsets, 0)], np.int32(-1))
