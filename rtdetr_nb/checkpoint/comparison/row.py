"""One row of a comparison: a tensor in the model and in the file, its status, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from rtdetr_nb.architecture.key_info import BATCH_COUNTER, KeyInfo, is_batch_counter
from rtdetr_nb.architecture.state_dict_table import BACKBONE
from rtdetr_nb.checkpoint.checkpoint import FileCandidate
from rtdetr_nb.checkpoint.naming.renaming import Origin, ValueFix, no_counterpart_note
from rtdetr_nb.checkpoint.naming.shape_notes import explain_shapes

if TYPE_CHECKING:
    from rtdetr_nb.checkpoint.reading.tensor_info import TensorInfo

MATCHED, MISMATCHED, MISSING = "matched", "mismatched", "missing"
UNUSED, BOOKKEEPING = "unused", "bookkeeping"
STATUSES = (MATCHED, MISMATCHED, MISSING, UNUSED, BOOKKEEPING)

_BOOKKEEPING = re.compile(rf"(^|\.)({BATCH_COUNTER}|anchors|valid_mask|num_points_scale)$")
_TRAINING_STATE = re.compile(
    r"(optim|sched|scaler|message_hub|loops|callbacks|rng|criterion|postprocessor|amp)"
)


@dataclass(frozen=True)
class Row:
    """One tensor of a comparison.

    Attributes:
        model_key, checkpoint_key: its name in the model and in the file; None if it is missing.
        status: one of `STATUSES`.
        model_shape, checkpoint_shape: its shape in the model and in the file.
        part: "stem", "stages.0" to "stages.3", "encoder", "decoder" or "other".
        block: the block inside the part.
        dtype: its type in the file, or in the model if the file does not have it.
        kind: "parameter" or "buffer" in the model; "tensor" if only the file has it.
        rule: the renaming rules that led from one name to the other.
        note: a remark for the reader.
        fix: the change that its value needs.
        lacking: why its value cannot be read from the file; "" for nearly all.
    """

    model_key: str | None
    checkpoint_key: str | None
    status: str
    model_shape: tuple[int, ...] | None
    checkpoint_shape: tuple[int, ...] | None
    part: str
    block: str
    dtype: str
    kind: str
    rule: str = ""
    note: str = ""
    fix: ValueFix | None = field(default=None, repr=False)
    lacking: str = field(default="", repr=False)

    @property
    def num_elements(self) -> int:
        """Number of values of the model's tensor; 0 if the model does not have it."""
        return 0 if self.model_shape is None else prod(self.model_shape)

    @property
    def loadable(self) -> bool:
        """Whether the file's value can be loaded into the model.

        Batch counters of norms are loaded too. Other bookkeeping follows from the configuration: a
        value of the same shape may belong to another configuration.
        """
        if self.status == BOOKKEEPING:
            counter = is_batch_counter(self.model_key or "")
            return counter and self.checkpoint_key is not None
        return self.status == MATCHED and not self.lacking


COLUMNS = tuple(name for name in Row.__dataclass_fields__ if name not in ("fix", "lacking"))


def part_of(model_key: str) -> str:
    """Return the part of the model that a key belongs to."""
    words = model_key.removeprefix(BACKBONE).split(".")
    if words[0] == "stages" and len(words) > 1:
        return f"stages.{words[1]}"
    return words[0] if words[0] in ("stem", "encoder", "decoder") else "other"


def is_bookkeeping(model_key: str) -> bool:
    """Whether a key follows from the configuration or counts batches, and holds no weight."""
    return _BOOKKEEPING.search(model_key) is not None


def block_of(model_key: str) -> str:
    """Return the block of its part that a key belongs to ("stem2a", "blocks.0", "layers.3")."""
    words = model_key.removeprefix(BACKBONE).removeprefix(f"{part_of(model_key)}.").split(".")
    if words[0] == "decoder":  # the stack inside the part of the same name
        words = words[1:]
    return ".".join(words[:2]) if len(words) > 1 and words[1].isdecimal() else words[0]


def model_row(
    key: str, info: KeyInfo, origin: Origin | None, tensor: TensorInfo | None, has_heads: bool
) -> Row:
    """Return the row of one tensor of the model; `tensor` is the file's, if it has one."""
    shape = tuple(tensor.shape) if tensor else None
    bookkeeping = is_bookkeeping(key)
    if bookkeeping:
        status, note = BOOKKEEPING, _bookkeeping_note(key, in_file=tensor is not None)
    elif tensor is None:
        status, note = MISSING, _missing_note(key, info, has_heads)
    elif shape == info.shape:
        status, note = MATCHED, _matched_note(origin, tensor, info)
    else:
        status, note = MISMATCHED, _mismatched_note(key, info.shape, shape)
    return Row(
        model_key=key,
        checkpoint_key=origin.checkpoint_key if origin else None,
        status=status,
        model_shape=info.shape,
        checkpoint_shape=shape,
        part=part_of(key),
        block=block_of(key),
        dtype=tensor.dtype if tensor else info.dtype,
        kind=info.kind,
        rule=", ".join(origin.rules) if origin else "",
        note=note,
        fix=origin.fix if origin else None,
        lacking=tensor.lacking if tensor else "",
    )


def _matched_note(origin: Origin | None, tensor: TensorInfo, info: KeyInfo) -> str:
    notes = [note for note in (tensor.lacking, tensor.note) if note]
    notes += [origin.fix.why] if origin and origin.fix else []
    if tensor.dtype != info.dtype:
        notes.append(f"cast from {tensor.dtype} to {info.dtype}")
    return "; ".join(notes)


def _missing_note(key: str, info: KeyInfo, has_heads: bool) -> str:
    if not key.startswith(BACKBONE) and not has_heads:
        return "not part of a backbone file: it starts at random, which is normal"
    if key.startswith(BACKBONE) and not info.trainable:
        return "keeps its initial value, and nothing trains it"
    return "keeps its initial value"


def _mismatched_note(
    key: str, model_shape: tuple[int, ...], file_shape: tuple[int, ...] | None
) -> str:
    difference = explain_shapes(key, model_shape, file_shape or ())
    if "score_head" in key or "class_embed" in key:
        return (
            f"another number of classes ({difference}): this head starts at random, which is normal"
        )
    return difference


def _bookkeeping_note(key: str, in_file: bool) -> str:
    if not is_batch_counter(key):
        return "follows from the configuration; never copied"
    return "" if in_file else "the norm's batch counter starts at 0, which is harmless"


class _Copy(NamedTuple):
    """One copy of the model in the file, and the keys that can belong to it."""

    name: str
    prefix: str
    root: str
    keys: frozenset[str]

    def claim(self, key: str, name: str) -> int:
        """Return how closely a key, searched as `name`, belongs to this copy; -1 if it does not.

        A copy at the top level claims only its backbone: other keys there can be anything.
        """
        for place in (self.prefix, self.root):
            if place and name.startswith(place):
                return len(place)
        return 0 if key in self.keys else -1


def unused_rows(
    candidate: FileCandidate, used: set[str | None]
) -> tuple[list[Row], dict[str, int]]:
    """Return a row for each unused tensor of the file, and the number of tensors elsewhere."""
    official = {origin.checkpoint_key: BACKBONE + origin.name for origin in candidate.origins}
    copies = [
        _Copy(c.name, c.prefix, c.root, frozenset(origin.checkpoint_key for origin in c.origins))
        for c in (candidate, *candidate.checkpoint.candidates)
    ]
    rows: list[Row] = []
    elsewhere: Counter[str] = Counter()
    for key, tensor in candidate.checkpoint.tensors.items():
        if key in used:
            continue
        place = _elsewhere(key, candidate.checkpoint.name_of[key], copies)
        if place:
            elsewhere[place] += 1
            continue
        name = official.get(key, key)
        bookkeeping = is_bookkeeping(key)
        note = "a frozen norm counts no batches" if bookkeeping and key in official else ""
        rows.append(
            Row(
                model_key=None,
                checkpoint_key=key,
                status=BOOKKEEPING if bookkeeping else UNUSED,
                model_shape=None,
                checkpoint_shape=tuple(tensor.shape),
                part=part_of(name) if key in official else "other",
                block=block_of(name) if key in official else "",
                dtype=tensor.dtype,
                kind=tensor.kind,
                note=note or no_counterpart_note(key),
            )
        )
    return rows, dict(elsewhere)


def _elsewhere(key: str, name: str, copies: Sequence[_Copy]) -> str:
    """Name the other copy or the training state that a key belongs to; "" if it is compared.

    The first copy is the one that is compared. It also gets the keys that any copy could claim.
    """
    owner = max(copies, key=lambda copy: copy.claim(key, name))
    if owner.claim(key, name) >= 0:
        return "" if owner.prefix == copies[0].prefix else owner.name
    top = key.partition(".")[0]
    return top if _TRAINING_STATE.match(top) else ""
