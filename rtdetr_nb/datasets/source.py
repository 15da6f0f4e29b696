"""A data set: what there is to train on and to evaluate on, and what is told about it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np

from rtdetr_nb.datasets.annotations.labels import LabelRule, choose_labels, joined_categories
from rtdetr_nb.datasets.annotations.notes import NOTE, DataNote
from rtdetr_nb.datasets.layouts.found import Found, FoundSplit
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.files.pasted_path import pasted_path
from rtdetr_nb.text.plain_text import counted

# Where there are no validation pictures.
_VAL_SHARE = 0.2
_SPLIT_SEED = 0

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class DataSource:
    """A data set of any layout.

    Attributes:
        layout: what its layout is called.
        spec: what opens it again, as the key `data` of a configuration has it: a path, or the
            pictures and annotations of each split.
        train: to train on.
        val: to evaluate on.
        rule: how category ids become labels, for both.
        own_notes: what is told about the whole; `notes` has that of the splits too.
        in_official_keys: whether the official keys of a configuration can say what this is.
    """

    layout: str
    spec: str | dict[str, list[str]]
    train: Split
    val: Split
    rule: LabelRule
    own_notes: tuple[DataNote, ...] = ()
    in_official_keys: bool = True

    @classmethod
    def from_files(
        cls, train: tuple[PathLike, PathLike], val: tuple[PathLike, PathLike] | None = None
    ) -> "DataSource":
        """A data set whose files lie anywhere.

        Args:
            train: folder of pictures and COCO-format annotation file.
            val: likewise; without it a fifth of the pictures is set apart, by a seed.

        Raises:
            DatasetError: a file cannot be used.
        """
        from rtdetr_nb.datasets.annotations.annotation_cache import read_once

        given = {"train": train} | ({"val": val} if val is not None else {})
        spec, found = {}, {}
        for name, (images, annotations) in given.items():
            folder = pasted_path(images, DatasetError)
            file = pasted_path(annotations, DatasetError)
            spec[name] = [str(folder), str(file)]
            found[name] = FoundSplit(folder, read_once(file))
        return cls.of("files", spec, Found(found["train"], found.get("val")))

    @classmethod
    def of(cls, layout: str, spec: str | dict[str, list[str]], found: Found) -> "DataSource":
        """A data set from what a layout has found.

        Raises:
            DatasetError: train and val number their categories differently.
        """
        given = [found.train] + ([found.val] if found.val else [])
        where = os.fspath(spec) if isinstance(spec, str) else spec["train"][1]
        categories = joined_categories(
            (str(s.pictures.source), s.pictures.categories) for s in given
        )
        rule, notes = choose_labels(categories, where)
        train = Split.of("train", found.train.folder, found.train.pictures, rule)
        if found.val is not None:
            val = Split.of("val", found.val.folder, found.val.pictures, rule)
        else:
            train, val, note = _set_apart(train)
            notes = [*notes, note]
        plain = found.val is not None and all(each.official for each in given)
        own_notes = (*found.notes, *notes)
        return cls(layout, spec, train, val, rule, own_notes, plain and rule.own is None)

    @property
    def notes(self) -> tuple[DataNote, ...]:
        """All that is told: of the whole, of `train`, of `val`."""
        both = [*self.train.notes, *(n for n in self.val.notes if n not in self.train.notes)]
        return (*self.own_notes, *both)

    @property
    def official(self) -> bool:
        """Whether the official code reads the same from the same files."""
        return self.in_official_keys and all(note.official for note in self.notes)

    @property
    def num_classes(self) -> int:
        """Size of the class head."""
        return self.rule.num_classes

    @property
    def settings(self) -> dict[str, Any]:
        """The data set in a configuration's terms, by dotted key.

        These are official keys alone where they can say it; else `data` says what this kit opens.
        """
        settings: dict[str, Any] = {
            "num_classes": self.num_classes,
            "remap_mscoco_category": self.rule.remap_mscoco_category,
        }
        for split in (self.train, self.val):
            prefix = f"{split.name}_dataloader.dataset"
            settings[f"{prefix}.img_folder"] = str(split.folder)
            settings[f"{prefix}.ann_file"] = str(split.source)
        return settings if self.in_official_keys else {"data": self.spec, **settings}

    @property
    def updates(self) -> str:
        """The settings as `-u` of the command line takes them; quote values with blanks."""
        return "-u " + " ".join(f"{key}={value}" for key, value in self.settings.items())

    def check_usable(self) -> None:
        """Refuse what no run can use.

        Raises:
            DatasetError: pictures are missing, or no box can be used.
        """
        for split in (self.train, self.val):
            split.check_usable()

    def write_coco(self, folder: PathLike) -> "DataSource":
        """Write the data set as the official code reads it, in this kit's layout; returns it.

        See `written.write_split` for what becomes of pictures and ids. The printed settings of what
        is returned (`updates`) are those for the official code.

        Raises:
            DatasetError: pictures are missing or broken, or the folder cannot be written or holds a
                data set already.
        """
        from rtdetr_nb.datasets.layouts import kit
        from rtdetr_nb.datasets.written import write_split

        target = pasted_path(folder, DatasetError)
        for split in (self.train, self.val):
            write_split(split, target)
        found = kit.find(target)
        assert found is not None
        return DataSource.of(kit.NAME, str(target), found)

    def text(self) -> str:
        """The splits and what is told about them, a line each."""
        lines = [
            f"{self.layout}: {self.num_classes} labels",
            f"  {self.train!r}",
            f"  {self.val!r}",
        ]
        return "\n".join([*lines, *(f"  {note.level}: {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return f"DataSource({self.layout}, {self.train!r}, {self.val!r}, {len(self.notes)} notes)"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self.text())

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text())}</pre>"


def _set_apart(split: Split) -> tuple[Split, Split, DataNote]:
    """A part of the pictures to evaluate on, chosen by a seed."""
    if len(split) < 2:
        raise DatasetError(
            f"{split.source} lists one picture and there are none for validation; at least two are "
            "needed, one of them to evaluate on."
        )
    count = max(1, round(len(split) * _VAL_SHARE))
    chosen = np.random.default_rng(_SPLIT_SEED).permutation(len(split))[:count]
    is_val = np.isin(np.arange(len(split)), chosen)
    note = DataNote(
        kind="no validation pictures",
        level=NOTE,
        what=f"There are no validation pictures: {counted(count, 'picture')} of {len(split):,} "
        f"{'is' if count == 1 else 'are'} set apart for that, chosen by the seed {_SPLIT_SEED}; "
        "the same ones each time.",
        where=str(split.source),
        why="Pictures of one scene may now be in both splits.",
        count=count,
        official=False,
    )
    train = split.subset(np.flatnonzero(~is_val))
    return train, replace(split.subset(np.flatnonzero(is_val)), name="val"), note


def as_spec(value: Any) -> str | dict[str, list[str]]:
    """The value of a configuration's key `data`.

    Raises:
        DatasetError: it is neither a path nor pictures and annotations of splits.
    """
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    is_pairs = isinstance(value, Mapping) and all(
        isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2
        for pair in value.values()
    )
    if is_pairs and "train" in value and set(value) <= {"train", "val"}:
        return {name: [str(part) for part in pair] for name, pair in value.items()}
    raise DatasetError(
        f"data is {value!r}; expected a folder, or train: [pictures, annotations] and "
        "val: [pictures, annotations]."
    )
