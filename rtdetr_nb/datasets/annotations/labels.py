"""From category ids to labels: as the official code has them wherever it can train on the ids."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtdetr_nb.coco_categories import COCO_CATEGORY_IDS, COCO_LABELS
from rtdetr_nb.datasets.annotations.category_entry import Category
from rtdetr_nb.datasets.annotations.ids import Id
from rtdetr_nb.datasets.annotations.labelled_pictures import LabelledPictures
from rtdetr_nb.datasets.annotations.notes import NOTE, DataNote
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.text.listing import first_of

# A class head with more rows than this, and twice as many as there are classes, is a mistake: the
# official code would run out of memory, or spend it on rows that no box trains.
_LARGEST_HEAD = 1_000


@dataclass(frozen=True)
class LabelRule:
    """How category ids become labels.

    Attributes:
        num_classes: size of the class head.
        remap_mscoco_category: the ids are COCO's 1..90 and the labels their places, 0..79.
        own: label by category id, where labels are numbered by this kit; else None.
    """

    num_classes: int
    remap_mscoco_category: bool = False
    own: dict[Id, int] | None = None

    def label(self, category_id: Id) -> int:
        """The label of a category; -1 where it has none."""
        if self.own is not None:
            return self.own.get(category_id, -1)
        if not isinstance(category_id, int):
            return -1
        return COCO_LABELS.get(category_id, -1) if self.remap_mscoco_category else category_id

    def output_id(self, label: int) -> int:
        """What a detection of that label carries: COCO's id, or else the label."""
        return COCO_CATEGORY_IDS[label] if self.remap_mscoco_category else label


def choose_labels(categories: Sequence[Category], where: str) -> tuple[LabelRule, list[DataNote]]:
    """The rule for the categories of a whole data set, and what has to be told about it.

    Args:
        categories: of all splits, each once.
        where: the data set, for the note.
    """
    ids = [category.id for category in categories]
    if set(ids) == set(COCO_CATEGORY_IDS):
        return LabelRule(len(COCO_CATEGORY_IDS), remap_mscoco_category=True), []
    numbers = [each for each in ids if isinstance(each, int)]
    largest = max(numbers, default=0)
    fits = largest < max(_LARGEST_HEAD, 2 * len(ids))
    if len(numbers) == len(ids) and min(numbers, default=0) >= 0 and fits:
        return LabelRule(largest + 1), []
    order = sorted(numbers) + [each for each in ids if not isinstance(each, int)]
    rule = LabelRule(len(order), own={each: label for label, each in enumerate(order)})
    return rule, [_told(ids, rule, where)]


def _told(ids: Sequence[Id], rule: LabelRule, where: str) -> DataNote:
    return DataNote(
        kind="labels of our own",
        level=NOTE,
        what=f"The category ids ({first_of(ids)}) are no labels that the official code can train "
        f"on; the labels are 0 to {rule.num_classes - 1}, in the order of the ids.",
        where=where,
        action="For the official code write the data set with data.write_coco(folder), and set "
        f"num_classes: {rule.num_classes} and remap_mscoco_category: False.",
        count=len(ids),
        official=False,
    )


def joined_categories(splits: Iterable[tuple[str, Sequence[Category]]]) -> list[Category]:
    """The categories of several files, each once.

    Args:
        splits: annotation file and categories of each.

    Raises:
        DatasetError: two files number their categories differently.
    """
    joined: dict[Id, Category] = {}
    (first, categories), *others = splits
    joined.update((category.id, category) for category in categories)
    for where, more in others:
        difference = next(_differences(list(joined.values()), more), None)
        if difference is not None:
            raise DatasetError(
                f"{first} and {where} number their categories differently: {difference}. A box "
                "would be taken for one of another class. Give a category the same id in both."
            )
        for category in more:
            joined.setdefault(category.id, category)
    return list(joined.values())


def _differences(one: Sequence[Category], other: Sequence[Category]) -> Iterator[str]:
    """Ids with two names, and names with two ids, in the order of the ids."""
    names = {category.id: category.name for category in one}
    for category in other:
        name = names.get(category.id, category.name)
        if _plain(name) != _plain(category.name):
            yield f"the id {category.id!r} is {name!r} in one and {category.name!r} in the other"
    ids, other_ids = _ids_by_name(one), _ids_by_name(other)
    for name, category_id in ids.items():
        if other_ids.get(name, category_id) != category_id:
            yield f"{name!r} has the id {category_id!r} in one and {other_ids[name]!r} in the other"


def _ids_by_name(categories: Sequence[Category]) -> dict[str, Id]:
    """Id of each name that a file has once."""
    counts = Counter(_plain(category.name) for category in categories)
    return {_plain(c.name): c.id for c in categories if counts[_plain(c.name)] == 1}


def _plain(name: str) -> str:
    """A name without what people write in two ways: capitals and blanks."""
    return " ".join(name.casefold().split())


def check_labels(
    source: Path, pictures: LabelledPictures, rule: LabelRule, num_classes: int | None
) -> None:
    """Refuse a category that boxes have and that has no place in the class head.

    Raises:
        DatasetError: names the first such category.
    """
    used = [pictures.categories[int(place)] for place in np.unique(pictures.boxes.categories)]
    for category in sorted(used, key=lambda category: str(category.id)):
        label = rule.label(category.id)
        name = f"category {category.id} ({category.name!r})"
        if rule.remap_mscoco_category and label < 0:
            raise DatasetError(
                f"{source}: {name} is not one of COCO's 80 category ids, which "
                "remap_mscoco_category: True expects. For other data set "
                "remap_mscoco_category: False; labels are then the category ids themselves."
            )
        if label < 0 or (num_classes is not None and label >= num_classes):
            raise DatasetError(
                f"{source}: {name} has no place among num_classes: {num_classes}. "
                "Without remap_mscoco_category a label is the category id itself, so the ids "
                f"have to be 0 to {(num_classes or 1) - 1}. Set num_classes to the largest id "
                "plus one, renumber the categories from 0, or, for COCO's own ids, set "
                "remap_mscoco_category: True and num_classes: 80. `-u data=FOLDER` sets what fits."
            )
