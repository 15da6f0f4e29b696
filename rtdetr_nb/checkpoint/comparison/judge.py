"""Is this checkpoint, under this configuration, a good start? Findings from names and shapes.

Together with those on settings and on values they make the verdict of a comparison.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.comparison.config_findings import config_findings
from rtdetr_nb.checkpoint.comparison.findings import FAILURE, NOTE, WARNING, Finding, Verdict
from rtdetr_nb.checkpoint.comparison.row import BOOKKEEPING, MATCHED, MISMATCHED, MISSING, Row
from rtdetr_nb.checkpoint.comparison.value_findings import health
from rtdetr_nb.checkpoint.naming.candidates import Candidate
from rtdetr_nb.text.plain_text import counted

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.comparison.diff import Diff


def judge(
    diff: Diff,
    rows: Iterable[Row] | None = None,
    *,
    total_steps: int | None = None,
    written: Diff | None = None,
) -> Verdict:
    """Collect every finding on a comparison.

    Args:
        diff: the comparison.
        rows: what will be loaded; everything that fits if None. Values are only read of these.
        total_steps: optimizer steps of the run, if known: short runs have traps of their own.
        written: the comparison of the tuning file that was made, which then is what fills the
            model, from `diff` alone or with a base.
    """
    filled = diff if written is None else written
    findings = [
        *candidate_findings(diff),
        *coverage_findings(filled),
        *leftover_findings(diff),
        *config_findings(filled.config, filled, total_steps=total_steps),
        *health(diff, rows),
    ]
    return Verdict(findings)


def candidate_findings(diff: Diff) -> list[Finding]:
    """Judge which copy was taken and whether it is the configured architecture."""
    fixes = sorted({row.fix.why for row in diff.rows if row.fix and row.loadable})
    return [
        *_other_variant(diff),
        *_choice(diff),
        *_teacher(diff.candidate),
        *_paddles_pooling(diff.candidate),
        *(Finding(NOTE, f"Values are changed on the way: {fix}.") for fix in fixes),
    ]


def coverage_findings(diff: Diff) -> list[Finding]:
    """Judge what of the model is filled."""
    backbone = [row for row in diff.rows if (row.model_key or "").startswith(BACKBONE)]
    findings = []
    if not any(row.status == MATCHED for row in backbone):
        findings.append(
            Finding(
                FAILURE,
                "No tensor of the backbone fits the model.",
                diff.candidate.name,
                "The backbone would stay at random weights.",
                "Check the file and the configuration.",
            )
        )
    return [*findings, *_gaps(diff, backbone), *_heads(diff)]


def leftover_findings(diff: Diff) -> list[Finding]:
    """Judge what the file and the model do not have in common by their architecture."""
    return [*_affine_blocks(diff), *_batch_counters(diff)]


def _other_variant(diff: Diff) -> list[Finding]:
    found, wanted = diff.candidate.variant, diff.config.backbone.name
    if found == wanted:
        return []
    named = f"HGNetv2-{found}" if found else "an HGNetv2 of another size"
    action = (
        f"Use the configuration of that size (-c rtdetrv2_hgnetv2_{found.lower()})."
        if found
        else "Only HGNetv2-L, -X and -H can be loaded."
    )
    return [
        Finding(
            FAILURE,
            f"The file holds {named}; the configuration builds HGNetv2-{wanted}.",
            diff.candidate.name,
            "The official loader would take the few tensors of equal shape and say nothing.",
            action,
        )
    ]


def _choice(diff: Diff) -> list[Finding]:
    candidate = diff.candidate
    others = [c for c in diff.checkpoint.candidates if c.name != candidate.name]
    if others:
        listed = ", ".join(f"{c.name} ({c.role})" for c in others)
        return [
            Finding(
                NOTE,
                f"{candidate.name} ({candidate.role}) was taken; the file also holds {listed}.",
                why=" ".join(candidate.notes),
                action="--candidate NAME takes another.",
            )
        ]
    return [Finding(NOTE, note, candidate.name) for note in candidate.notes]


def _teacher(candidate: Candidate) -> list[Finding]:
    if not candidate.role.startswith("teacher"):
        return []
    return [
        Finding(
            WARNING,
            "These are the weights of the teacher.",
            candidate.name,
            "The student is what was distilled to be used.",
            "Choose the student, or its file, unless the teacher is wanted.",
        )
    ]


def _paddles_pooling(candidate: Candidate) -> list[Finding]:
    if candidate.dialect != "paddle" or not any(_is_affine(o.name) for o in candidate.origins):
        return []
    return [
        Finding(
            WARNING,
            "Weights of PaddlePaddle with learnable affine blocks compute slightly different maps "
            "here.",
            candidate.name,
            "Its pooling in the stem pads with minus infinity, ours with zeros: the last rows and "
            "columns differ by up to 0.3 % where a block's bias is negative.",
            "Fine-tuning makes up for it; a comparison of outputs will not agree exactly.",
        )
    ]


def _gaps(diff: Diff, backbone: Sequence[Row]) -> list[Finding]:
    findings = []
    action = "Look at these rows of the table."
    if diff.near:
        action = (
            f"{counted(len(diff.near), 'tensor')} of the file could belong there by shape and "
            "name: look at the pairs, and apply them with `rtdetr-nb convert --accept-near` or "
            "`diff.accept_near()`."
        )
    for status, one, many in (
        (MISSING, "is not in the file and stays", "are not in the file and stay"),
        (
            MISMATCHED,
            "has another shape in the file and stays",
            "have another shape in the file and stay",
        ),
    ):
        rows = [r for r in backbone if r.status == status and ".lab." not in (r.model_key or "")]
        if rows:
            parts = ", ".join(dict.fromkeys(row.part for row in rows))
            first = rows[0]
            count = counted(
                len(rows), f"tensor of the backbone {one}", f"tensors of the backbone {many}"
            )
            shapes = f" ({first.checkpoint_shape} against {first.model_shape})"
            findings.append(
                Finding(
                    WARNING,
                    f"{count} at random.",
                    f"{parts}: {first.model_key}{shapes if status == MISMATCHED else ''}",
                    "Random layers among trained ones spoil what comes after them.",
                    action,
                )
            )
    return findings


def _affine_blocks(diff: Diff) -> list[Finding]:
    extra = [row for row in diff.rows if row.model_key is None and _is_affine(row.checkpoint_key)]
    lacking = [row for row in diff.rows if row.status == MISSING and _is_affine(row.model_key)]
    if extra:
        return [
            Finding(
                FAILURE,
                f"The file has {len(extra)} tensors of learnable affine blocks (LAB); the "
                f"configuration builds the model without.",
                "lab.scale, lab.bias",
                "Without its affine blocks the backbone computes something else, and the official "
                "loader says nothing: missed 0, unmatched 0.",
                "Set HGNetv2.use_lab=True.",
            )
        ]
    if lacking:
        return [
            Finding(
                WARNING,
                f"The configuration has use_lab=True, but the file lacks {len(lacking)} tensors "
                f"of these blocks.",
                "lab.scale, lab.bias",
                "They start as scale 1 and bias 0, which changes nothing, and are trained.",
                "Set HGNetv2.use_lab=False to have the file's own architecture.",
            )
        ]
    return []


def _is_affine(key: str | None) -> bool:
    return re.search(r"\.lab\.(scale|bias)$", key or "") is not None


def _heads(diff: Diff) -> list[Finding]:
    heads = [
        r
        for r in diff.rows
        if r.model_key and not r.model_key.startswith(BACKBONE) and r.status != BOOKKEEPING
    ]
    by_status = {
        status: [row for row in heads if row.status == status]
        for status in (MATCHED, MISMATCHED, MISSING)
    }
    if not by_status[MATCHED] and not by_status[MISMATCHED]:
        return [
            Finding(
                NOTE,
                "The file holds a backbone only: encoder and decoder start at random.",
                why="This is normal for a distilled backbone; the official log lists them as "
                "missed.",
            )
        ]
    classes = [r for r in by_status[MISMATCHED] if "score_head" in (r.model_key or "")]
    classes += [r for r in by_status[MISMATCHED] if "class_embed" in (r.model_key or "")]
    findings = []
    if classes:
        shape = classes[0].checkpoint_shape or (0,)
        findings.append(
            Finding(
                NOTE,
                f"The file was trained on another number of classes ({shape[0]}): "
                f"{counted(len(classes), 'tensor')} of the class heads will be random.",
                classes[0].model_key or "",
                "This is normal for a new data set; the official log lists them as unmatched.",
            )
        )
    rest = [r for r in by_status[MISMATCHED] if r not in classes] + by_status[MISSING]
    if rest:
        findings.append(
            Finding(
                WARNING,
                f"{len(rest)} tensors of encoder and decoder do not fit and start at random.",
                rest[0].model_key or "",
                "The file's encoder or decoder is built differently.",
                "Compare the configurations of HybridEncoder and RTDETRTransformerv2.",
            )
        )
    return findings


def _batch_counters(diff: Diff) -> list[Finding]:
    counters = [
        r for r in diff.rows if "num_batches_tracked" in (r.model_key or r.checkpoint_key or "")
    ]
    backbone = [r for r in counters if r.part not in ("encoder", "decoder", "other")]
    unwanted = [row for row in backbone if row.model_key is None]
    lacking = [row for row in backbone if row.checkpoint_key is None]
    if unwanted:
        return [
            Finding(
                NOTE,
                f"The file's {len(unwanted)} batch counters (num_batches_tracked) have no place in "
                f"frozen norms.",
                why="Nothing reads them; leaving them out is harmless.",
            )
        ]
    if lacking:
        return [
            Finding(
                NOTE,
                f"The file lacks {len(lacking)} batch counters (num_batches_tracked): its norms "
                f"were frozen.",
                why="They start at 0, which is harmless; the official log lists them as missed.",
            )
        ]
    return []
