"""Findings on the file: which copy was taken, and what it shares with the architecture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.smaller_sizes import who_trains
from rtdetr_nb.checkpoint.comparison.row import MISSING, Row
from rtdetr_nb.checkpoint.naming.searched_names import is_told_rule
from rtdetr_nb.checkpoint.naming.unknown_names import explain_unknown_names
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Check, Words, check
from rtdetr_nb.text.plain_text import counted

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.comparison.diff import Diff


# --- which copy was taken -----------------------------------------------------------------------


@check(FAILURE)
def another_variant(diff: Diff) -> Iterator[Words]:
    """The file holds another size of HGNetv2 than the configuration builds.

    The official loader would take the few tensors of equal shape without an error.
    """
    found, wanted = diff.candidate.variant, diff.config.backbone.name
    if found == wanted:
        return
    if share := diff.checkpoint.share:
        what, _, remedy = share.partition(". ")
        yield Words(f"{what}.", diff.candidate.name, action=remedy)
        return
    other = diff.candidate.other_size
    if not found and not other and (hint := _right_shapes_under_other_names(diff)):
        yield Words(
            "The file holds tensors of HGNetv2 under each other's names.",
            diff.candidate.name,
            "Most tensors that have a name of the model have the shape of another.",
            hint,
        )
        return
    yield Words(
        f"The file holds {diff.candidate.sized}; the configuration builds HGNetv2-{wanted}.",
        diff.candidate.name,
        "The official loader would take the few tensors of equal shape, without an error.",
        f"Use the configuration of that size (-c rtdetrv2_hgnetv2_{found.lower()})."
        if found
        else f"Only HGNetv2-L, -X and -H can be loaded. {who_trains(other)}".rstrip(),
    )


@check(NOTE)
def copy_taken(diff: Diff) -> Iterator[Words]:
    """The file holds several copies of the backbone, such as raw and averaged; one was taken."""
    candidate = diff.candidate
    others = [c for c in diff.checkpoint.candidates if c.name != candidate.name]
    if others:
        listed = ", ".join(f"{c.name} ({c.role})" for c in others)
        yield Words(
            f"{candidate.name} ({candidate.role}) was taken; the file also holds {listed}.",
            why=" ".join(candidate.notes),
            action="--candidate NAME takes another.",
        )


@check(NOTE)
def about_the_copy(diff: Diff) -> Iterator[Words]:
    """The only copy of the backbone has a peculiarity, such as norms folded into convolutions."""
    candidate = diff.candidate
    if all(c.name == candidate.name for c in diff.checkpoint.candidates):
        for note in candidate.notes:
            yield Words(note, candidate.name)


@check(WARNING)
def teacher_taken(diff: Diff) -> Iterator[Words]:
    """The weights are the teacher's; distillation trains the student."""
    if diff.candidate.role.startswith("teacher"):
        yield Words(
            "These are the weights of the teacher.",
            diff.candidate.name,
            "The student is what was distilled to be used.",
            "Choose the student, or its file, unless the teacher is wanted.",
        )


@check(WARNING)
def paddle_pooling(diff: Diff) -> Iterator[Words]:
    """The weights are PaddlePaddle's, with affine blocks: pooling in the stem pads differently."""
    candidate = diff.candidate
    if candidate.dialect == "paddle" and any(_is_affine(o.name) for o in candidate.origins):
        yield Words(
            "Weights of PaddlePaddle with learnable affine blocks compute slightly different maps "
            "here.",
            candidate.name,
            "Its pooling in the stem pads with minus infinity, ours with zeros: the last rows and "
            "columns differ by up to 0.3 % where a block's bias is negative.",
            "Fine-tuning makes up for it; a comparison of outputs will not agree exactly.",
        )


@check(NOTE)
def values_changed(diff: Diff) -> Iterator[Words]:
    """Values change on the way because the library that saved them computes differently."""
    for why in sorted({row.fix.why for row in diff.rows if row.fix and row.loadable}):
        yield Words(f"Values are changed on the way: {why}.")


# --- what the file and the model do not have in common ------------------------------------------


@check(FAILURE)
def affine_blocks_left_out(diff: Diff) -> Iterator[Words]:
    """The file has learnable affine blocks and the configuration builds the model without.

    The backbone would compute something else, and the official loader reports nothing.
    """
    extra = _extra_affine_blocks(diff)
    if extra and not diff.candidate.other_size:
        yield Words(
            f"The file has {len(extra)} tensors of learnable affine blocks (LAB); the "
            f"configuration builds the model without.",
            "lab.scale, lab.bias",
            "Without its affine blocks the backbone computes something else, and the official "
            "loader says nothing: missed 0, unmatched 0.",
            "Set HGNetv2.use_lab=True.",
        )


@check(WARNING)
def affine_blocks_missing(diff: Diff) -> Iterator[Words]:
    """The configuration asks for learnable affine blocks that the file does not have."""
    lacking = [r for r in diff.rows if r.status == MISSING and _is_affine(r.model_key)]
    if lacking and not _extra_affine_blocks(diff):
        yield Words(
            f"The configuration has use_lab=True, but the file lacks {len(lacking)} tensors "
            f"of these blocks.",
            "lab.scale, lab.bias",
            "They start as scale 1 and bias 0, which changes nothing, and are trained.",
            "Set HGNetv2.use_lab=False to have the file's own architecture.",
        )


@check(NOTE)
def batch_counters_left_out(diff: Diff) -> Iterator[Words]:
    """The file counts batches in its norms; frozen norms have no place for the counters."""
    unwanted = [row for row in _batch_counters(diff) if row.model_key is None]
    if unwanted:
        yield Words(
            f"The file's {len(unwanted)} batch counters (num_batches_tracked) have no place in "
            f"frozen norms.",
            why="Nothing reads them; leaving them out is harmless.",
        )


@check(NOTE)
def batch_counters_missing(diff: Diff) -> Iterator[Words]:
    """The file has no batch counters, as where norms were frozen; the model's start at 0."""
    counters = _batch_counters(diff)
    lacking = [row for row in counters if row.checkpoint_key is None]
    if lacking and all(row.model_key for row in counters):
        yield Words(
            f"The file lacks {len(lacking)} batch counters (num_batches_tracked): as "
            f"where norms were frozen.",
            why="They start at 0, which is harmless; the official log lists them as missed.",
        )


@check(NOTE)
def names_changed(diff: Diff) -> Iterator[Words]:
    """Names were read otherwise than they stand: without wrappers, divided, or as you asked."""
    counts = Counter(rule for o in diff.candidate.origins for rule in o.rules if is_told_rule(rule))
    for rule, count in counts.items():
        yield Words(f"In {counted(count, 'name')}: {rule}.", diff.candidate.name)


FILE_CHECKS: tuple[Check[Diff], ...] = (
    another_variant,
    copy_taken,
    about_the_copy,
    teacher_taken,
    paddle_pooling,
    values_changed,
    names_changed,
    affine_blocks_left_out,
    affine_blocks_missing,
    batch_counters_left_out,
    batch_counters_missing,
)
"""All findings on the file, in the order in which they are shown."""


def _right_shapes_under_other_names(diff: Diff) -> str:
    """Say which names would be right, if the shapes are those of the configured size; else ""."""
    checkpoint, prefix = diff.checkpoint, diff.candidate.prefix
    shapes = {
        name: checkpoint.tensors[key].shape
        for key, name in checkpoint.name_of.items()
        if name.startswith(prefix)
    }
    return explain_unknown_names(shapes)


def _extra_affine_blocks(diff: Diff) -> list[Row]:
    return [r for r in diff.rows if r.model_key is None and _is_affine(r.checkpoint_key)]


def _is_affine(key: str | None) -> bool:
    return re.search(r"\.lab\.(scale|bias)$", key or "") is not None


def _batch_counters(diff: Diff) -> list[Row]:
    """Return the rows of the backbone's batch counters, of the model's and of the file's."""
    return [
        row
        for row in diff.rows
        if "num_batches_tracked" in (row.model_key or row.checkpoint_key or "")
        and row.part not in ("encoder", "decoder", "other")
    ]
