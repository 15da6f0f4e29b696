"""Findings on what of the model is filled, and what starts at random."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from shlex import quote
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.row import BOOKKEEPING, MATCHED, MISMATCHED, MISSING, Row
from rtdetr_nb.checkpoint.comparison.unreached import Unreached, find_unreached, in_another_layout
from rtdetr_nb.checkpoint.reading.stated_classes import stated_classes
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Check, Words, check
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.comparison.diff import Diff


@dataclass(frozen=True)
class CoverageCase:
    """A comparison, and the comparison of what will fill the model: the same, or a tuning file.

    `chosen` are the rows that will be written; None for everything that fits.
    """

    diff: Diff
    filled: Diff
    chosen: Collection[Row] | None = None

    @cached_property
    def unreached(self) -> Unreached | None:
        """What of the backbone lies in the file under names that no rule reaches."""
        return find_unreached(self.diff, self.chosen)

    @cached_property
    def other_layout(self) -> list[Row]:
        """The backbone's tensors whose values lie in the file in another order of axes."""
        return in_another_layout(self.diff, self.chosen)

    @cached_property
    def backbone(self) -> list[Row]:
        """The backbone's rows of what will fill the model."""
        return [row for row in self.filled.rows if (row.model_key or "").startswith(BACKBONE)]

    @cached_property
    def heads(self) -> list[Row]:
        """The rows of encoder and decoder of what will fill the model."""
        return [
            row
            for row in self.filled.rows
            if row.model_key
            and not row.model_key.startswith(BACKBONE)
            and row.status != BOOKKEEPING
        ]

    @property
    def has_heads(self) -> bool:
        """Whether there is an encoder or decoder, fitting or not."""
        return any(row.status in (MATCHED, MISMATCHED) for row in self.heads)


@check(FAILURE)
def nothing_fits(case: CoverageCase) -> Iterator[Words]:
    """No tensor of the backbone has the name and shape that the model needs."""
    if any(row.status == MATCHED for row in case.backbone) or _fits_backbone(case.diff):
        return
    yield Words(
        "No tensor of the backbone fits the model.",
        case.filled.candidate.name,
        "The backbone would stay at random weights.",
        "Check the file and the configuration.",
    )


@check(FAILURE)
def names_not_reached(case: CoverageCase) -> Iterator[Words]:
    """Tensors of the backbone lie in the file under names that no rule leads to the model.

    What is reached would be written as if it were the whole. A file that lacks a part is another
    matter: see missing tensors.
    """
    unreached = case.unreached
    if unreached is None:
        return
    lie = counted(
        unreached.count,
        "tensor of the backbone seems to lie",
        "tensors of the backbone seem to lie",
    )
    yield Words(
        f"{lie} in the file under names that no rule leads to the model.",
        unreached.example,
        "A part would be written as if it were the whole, and the rest would be random.",
        _way_out(case, unreached),
    )


@check(FAILURE)
def shapes_not_reached(case: CoverageCase) -> Iterator[Words]:
    """Tensors of the backbone lie in the file with as many values, but in another order of axes."""
    rows = case.other_layout
    if rows:
        shapes = f"{rows[0].checkpoint_shape} for {rows[0].model_shape}"
        yield Words(
            f"{counted(len(rows), 'tensor of the backbone has', 'tensors of the backbone have')} "
            f"as many values as in the model, in other axes ({shapes}).",
            rows[0].model_key or "",
            "Another program laid its values out in another order; a part would be written as if "
            "it were the whole.",
            "Export the weights in the order of torch: output channels, input channels, rows, "
            "columns.",
        )


@check(WARNING)
def missing_tensors(case: CoverageCase) -> Iterator[Words]:
    """Tensors of the backbone are not in the file and stay at random weights."""
    rows = _gaps(case, MISSING)
    if rows and not (case.unreached and case.unreached.count >= len(rows)):
        count = counted(
            len(rows),
            "tensor of the backbone is not in the file and stays",
            "tensors of the backbone are not in the file and stay",
        )
        yield _gap_words(case, rows, count, "")


@check(WARNING)
def mismatched_tensors(case: CoverageCase) -> Iterator[Words]:
    """Tensors of the backbone have another shape in the file and stay at random weights."""
    rows = [row for row in _gaps(case, MISMATCHED) if row not in case.other_layout]
    if rows:
        count = counted(
            len(rows),
            "tensor of the backbone has another shape in the file and stays",
            "tensors of the backbone have another shape in the file and stay",
        )
        shapes = f" ({rows[0].checkpoint_shape} against {rows[0].model_shape})"
        yield _gap_words(case, rows, count, shapes)


@check(NOTE)
def backbone_only(case: CoverageCase) -> Iterator[Words]:
    """The file holds no encoder and no decoder, which is normal for a distilled backbone."""
    if not case.has_heads:
        yield Words(
            "Only a backbone is loaded: encoder and decoder start at random.",
            why="This is normal for a distilled backbone; the official log lists them as missed.",
        )


@check(NOTE)
def other_classes(case: CoverageCase) -> Iterator[Words]:
    """The file was trained on another number of classes: the class heads start at random."""
    heads = _class_heads(case)
    if heads:
        shape = heads[0].checkpoint_shape or (0,)
        yield Words(
            f"The file was trained on another number of classes ({shape[0]}): "
            f"{counted(len(heads), 'tensor')} of the class heads will be random.",
            heads[0].model_key or "",
            "This is normal for a new data set; the official log lists them as unmatched.",
        )


@check(NOTE)
def same_number_of_classes(case: CoverageCase) -> Iterator[Words]:
    """The file's class heads have as many classes as the configuration, and are taken over.

    Whether they are the same classes, in the same order, stands in no shape.
    """
    head = next((r for r in case.heads if r.status == MATCHED and _is_score_head(r)), None)
    if head is None:
        return
    count = (head.model_shape or (0,))[0]
    named = stated_classes(case.diff.checkpoint.tree, count)
    names = f": {first_of(named)}" if named else ""
    yield Words(
        f"The class heads are taken over: the file knows as many classes ({count}){names}.",
        head.model_key or "",
        "Shapes do not say whether they are the classes of your data, in the same order.",
        "If they are others, leave the heads out (--exclude '*score_head*' '*class_embed*').",
    )


@check(WARNING)
def other_heads(case: CoverageCase) -> Iterator[Words]:
    """The file's encoder or decoder does not fit, or a part of it is absent."""
    if not case.has_heads:
        return
    classes = _class_heads(case)
    rest = [row for row in case.heads if row.status == MISMATCHED and row not in classes]
    rest += [row for row in case.heads if row.status == MISSING]
    if rest:
        absent = all(row.status == MISSING for row in rest)
        count = counted(
            len(rest), "tensor of encoder and decoder", "tensors of encoder and decoder"
        )
        how, why = (
            ("the file lacks", "The file lacks these parts of encoder or decoder.")
            if absent
            else ("cannot be taken", "The file's encoder or decoder is built differently.")
        )
        yield Words(
            f"Random at the start: {count} that {how}.",
            rest[0].model_key or "",
            why,
            "Compare the configurations of HybridEncoder and RTDETRTransformerv2.",
        )


COVERAGE_CHECKS: tuple[Check[CoverageCase], ...] = (
    nothing_fits,
    names_not_reached,
    shapes_not_reached,
    missing_tensors,
    mismatched_tensors,
    backbone_only,
    other_classes,
    same_number_of_classes,
    other_heads,
)
"""All findings on what is filled, in the order in which they are shown."""


def _fits_backbone(diff: Diff) -> bool:
    return any(r.status == MATCHED and (r.model_key or "").startswith(BACKBONE) for r in diff.rows)


def _gaps(case: CoverageCase, status: str) -> list[Row]:
    """Return the backbone's rows of a status; affine blocks have findings for themselves."""
    return [r for r in case.backbone if r.status == status and ".lab." not in (r.model_key or "")]


def _gap_words(case: CoverageCase, rows: Sequence[Row], count: str, shapes: str) -> Words:
    parts = ", ".join(dict.fromkeys(row.part for row in rows))
    return Words(
        f"{count} at random.",
        f"{parts}: {rows[0].model_key}{shapes}",
        "Random layers among trained ones spoil what comes after them.",
        "Look at these rows of the table.",
    )


def _way_out(case: CoverageCase, unreached: Unreached) -> str:
    """Say how the names can be reached: by renamings that were tried, or by pairs of near names."""
    actions = []
    if unreached.renames:
        words = " ".join(f"--rename {quote(rename.text)}" for rename in unreached.renames)
        total = sum(row.status != BOOKKEEPING for row in case.backbone)
        actions.append(f"With {words} {unreached.matched} of {total} tensors match.")
    else:
        actions.append(
            "Give --rename PATTERN=REPLACEMENT, as in re.sub, for the words that differ."
        )
    if unreached.near:
        actions.append(
            f"Or look at the {counted(unreached.count, 'pair')} of near names, and apply them with "
            "`rtdetr-nb convert --accept-near` or `diff.accept_near()`."
        )
    return " ".join(actions)


def _is_score_head(row: Row) -> bool:
    return "score_head" in (row.model_key or "")


def _class_heads(case: CoverageCase) -> list[Row]:
    """Return the class heads of another number of classes, score heads first."""
    rows = [row for row in case.heads if row.status == MISMATCHED]
    return [
        r for word in ("score_head", "class_embed") for r in rows if word in (r.model_key or "")
    ]
