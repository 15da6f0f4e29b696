"""The categories of a COCO-format file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtdetr_nb.datasets.annotations.ids import Id, id_of
from rtdetr_nb.datasets.annotations.tally import Tally
from rtdetr_nb.errors import DatasetError

MENDED = {
    "category ids in quotes": "{count} categories have ids in quotes (first {first}); they are "
    "those numbers.",
    "category ids as text": "{count} categories have ids that are texts (first {first}); they get "
    "numbers.",
    "no category name": "{count} categories have no name (first {first}); the id is their name.",
    "category name is no text": "{count} categories have a name that is no text (first {first}); "
    "it is written as one.",
    "category twice": "{count} categories are listed twice with one name (first {first}); each is "
    "taken once.",
}


@dataclass(frozen=True)
class Category:
    """A category as its file has it."""

    id: Id
    name: str


def read_categories(entries: Sequence[Any], tally: Tally) -> tuple[Category, ...]:
    """The categories in the order of the file, each once.

    Raises:
        DatasetError: an entry has no id, or two have one id and different names.
    """
    found: dict[Id, Category] = {}
    for place, entry in enumerate(entries):
        category = _read_category(entry, place, tally)
        known = found.setdefault(category.id, category)
        if known.name != category.name:
            raise DatasetError(
                f"The annotation file {tally.where}: two categories have the id {category.id!r}: "
                f"{known.name!r} and {category.name!r}. Give each its own id."
            )
        if known is not category:
            tally.add("category twice", repr(category.name))
    return tuple(found.values())


def _read_category(entry: Any, place: int, tally: Tally) -> Category:
    category_id = id_of(entry.get("id")) if isinstance(entry, Mapping) else None
    if category_id is None:
        raise DatasetError(
            f"The annotation file {tally.where}: entry {place} of categories is "
            f"{str(entry)[:80]}; expected an object with id."
        )
    if isinstance(entry["id"], str):
        kind = "category ids as text" if isinstance(category_id, str) else "category ids in quotes"
        tally.add(kind, repr(entry["id"]))
    name = entry.get("name")
    if name is None or (isinstance(name, str) and not name.strip()):
        tally.add("no category name", repr(category_id))
        return Category(category_id, str(category_id))
    if not isinstance(name, str):
        tally.add("category name is no text", repr(name))
    return Category(category_id, str(name))
