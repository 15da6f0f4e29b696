"""The two-sided comparison of a checkpoint with the model that a configuration builds.

Every tensor of the model and every tensor of the copy that was chosen is in the table, so that
nothing stays silent: not what the model lacks, and not what the file holds for nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rtdetr_nb.checkpoint.contents import TOP_LEVEL, Candidate, choose_candidate
from rtdetr_nb.checkpoint.dialects import Origin, ValueFix, no_counterpart_note
from rtdetr_nb.checkpoint.findings import Verdict
from rtdetr_nb.checkpoint.near import NearPair, near_pairs
from rtdetr_nb.model_keys import KeyInfo, ModelConfig, model_keys

if TYPE_CHECKING:
    import pandas

    from rtdetr_nb.checkpoint.read import Checkpoint
    from rtdetr_nb.checkpoint.select import Selection
    from rtdetr_nb.checkpoint.tensor_info import TensorInfo

MATCHED, MISMATCHED, MISSING = "matched", "mismatched", "missing"
UNUSED, BOOKKEEPING = "unused", "bookkeeping"
STATUSES = (MATCHED, MISMATCHED, MISSING, UNUSED, BOOKKEEPING)

BACKBONE = "backbone."
_BATCH_COUNTER = "num_batches_tracked"
_BOOKKEEPING = re.compile(rf"(^|\.)({_BATCH_COUNTER}|anchors|valid_mask|num_points_scale)$")
_TRAINING_STATE = re.compile(
    r"(optim|sched|scaler|message_hub|loops|callbacks|rng|criterion|postprocessor|amp)"
)


@dataclass(frozen=True)
class Row:
    """One line of the comparison.

    Attributes:
        model_key, checkpoint_key: the names on the two sides; None where there is none.
        status: one of `STATUSES`.
        model_shape, checkpoint_shape: the shapes on the two sides.
        part: "stem", "stages.0" to "stages.3", "encoder", "decoder" or "other".
        block: the block inside the part.
        dtype: the type in the file, or the model's where the file has nothing.
        kind: "parameter" or "buffer" in the model ("tensor" for what only the file has).
        rule: the renaming rules that led from one name to the other.
        note: what is worth knowing, in words.
        fix: how the value is changed on the way.
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

    @property
    def loadable(self) -> bool:
        """Whether the file's value can be put into the model.

        The norms' batch counters are loaded as well; the other bookkeeping follows from the
        configuration, and a value of the same shape could still be another configuration's.
        """
        if self.status == BOOKKEEPING:
            counter = (self.model_key or "").endswith(_BATCH_COUNTER)
            return counter and self.checkpoint_key is not None
        return self.status == MATCHED


COLUMNS = tuple(name for name in Row.__dataclass_fields__ if name != "fix")


@dataclass(frozen=True)
class PartSummary:
    """Counts of one part: tensors by status, and the share of its elements that are matched."""

    part: str
    tensors: int
    matched: int
    mismatched: int
    missing: int
    unused: int
    bookkeeping: int
    share: float


@dataclass(frozen=True)
class Diff:
    """A comparison as data; `table` shows it, `select` takes from it.

    `elsewhere` counts the tensors of the file that belong to other copies of the model or to the
    training state, which are not compared.
    """

    candidate: Candidate
    config: ModelConfig = field(repr=False)
    rows: tuple[Row, ...] = field(repr=False)
    elsewhere: Mapping[str, int] = field(default_factory=dict)

    @property
    def checkpoint(self) -> Checkpoint:
        """The file that was compared."""
        assert self.candidate.checkpoint is not None
        return self.candidate.checkpoint

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of rows of each status."""
        counted = Counter(row.status for row in self.rows)
        return {status: counted[status] for status in STATUSES}

    @cached_property
    def parts(self) -> tuple[PartSummary, ...]:
        """Counts per part, in the model's order."""
        grouped: dict[str, list[Row]] = {}
        for row in self.rows:
            grouped.setdefault(row.part, []).append(row)
        return tuple(_summarise(part, rows) for part, rows in grouped.items())

    @cached_property
    def near(self) -> list[NearPair]:
        """Pairs of an unused key and a missing tensor that may belong together; only offered."""
        missing = [(r.model_key, r.model_shape) for r in self.rows if r.status == MISSING]
        unused = [(r.checkpoint_key, r.checkpoint_shape) for r in self.rows if r.status == UNUSED]
        return near_pairs(missing, unused)  # pyright: ignore[reportArgumentType]

    def accept_near(self, pairs: Iterable[NearPair] | None = None) -> Diff:
        """Return the comparison with offered pairs applied: those given, or all of `near`."""
        accepted = {pair.model_key: pair for pair in (self.near if pairs is None else pairs)}
        used = {pair.checkpoint_key for pair in accepted.values()}
        found = {row.checkpoint_key: row for row in self.rows if row.checkpoint_key in used}
        rows = []
        for row in self.rows:
            if row.model_key in accepted and row.status == MISSING:
                key = accepted[row.model_key].checkpoint_key
                rows.append(
                    replace(
                        row,
                        checkpoint_key=key,
                        checkpoint_shape=found[key].checkpoint_shape,
                        dtype=found[key].dtype,
                        status=MATCHED,
                        rule="near name, accepted",
                        note="",
                    )
                )
            elif row.status != UNUSED or row.checkpoint_key not in used:
                rows.append(row)
        return replace(self, rows=tuple(rows))

    @cached_property
    def verdict(self) -> Verdict:
        """Judge names, shapes, configuration and (reading the tensors) values."""
        from rtdetr_nb.checkpoint.verdict import judge

        return judge(self)

    def select(
        self,
        include: Iterable[str] | str | None = None,
        exclude: Iterable[str] | str = (),
        **filters: Any,
    ) -> Selection:
        """Take tensors by shell-style patterns; see `select.select`."""
        from rtdetr_nb.checkpoint.select import select

        return select(self, include, exclude, **filters)

    @property
    def table(self) -> pandas.DataFrame:
        """One line a row, with the columns of `COLUMNS`."""
        import pandas

        return pandas.DataFrame(
            [{c: getattr(r, c) for c in COLUMNS} for r in self.rows], columns=list(COLUMNS)
        )

    @property
    def summary(self) -> pandas.DataFrame:
        """Counts per part: tensors by status, and the share of the parameters that is matched."""
        import pandas

        return pandas.DataFrame([vars(part) for part in self.parts])

    def __str__(self) -> str:
        from rtdetr_nb.checkpoint.rendering import diff_text

        return diff_text(self)

    def _repr_html_(self) -> str:
        from rtdetr_nb.checkpoint.rendering import diff_html

        return diff_html(self)


def compare(source: Checkpoint | Candidate, config: ModelConfig) -> Diff:
    """Compare one copy of the weights with the model that `config` builds.

    A checkpoint stands for its first candidate. Where an official encoder and decoder lie beside
    the backbone, they are compared too.

    Raises:
        CheckpointError: the file holds no HGNetv2.
        AmbiguousCheckpointError: it holds several that nothing tells apart.
    """
    candidate = source if isinstance(source, Candidate) else choose_candidate(source)
    checkpoint = candidate.checkpoint
    assert checkpoint is not None
    table = model_keys(config)
    origins = _official_origins(candidate, table)
    has_heads = any(not name.startswith(BACKBONE) for name in origins)
    rows = []
    for key, info in table.items():
        origin = origins.get(key)
        tensor = checkpoint.tensors[origin.checkpoint_key] if origin else None
        rows.append(_model_row(key, info, origin, tensor, has_heads))
    unused, elsewhere = _unused_rows(candidate, {r.checkpoint_key for r in rows})
    return Diff(candidate, config, (*rows, *unused), elsewhere)


def part_of(model_key: str) -> str:
    """Return the part of the model that a key belongs to."""
    words = model_key.removeprefix(BACKBONE).split(".")
    if words[0] == "stages" and len(words) > 1:
        return f"stages.{words[1]}"
    return words[0] if words[0] in ("stem", "encoder", "decoder") else "other"


def block_of(model_key: str) -> str:
    """Return the block of its part that a key belongs to ("stem2a", "blocks.0", "layers.3")."""
    words = model_key.removeprefix(BACKBONE).removeprefix(f"{part_of(model_key)}.").split(".")
    if words[0] == "decoder":  # the stack inside the part of the same name
        words = words[1:]
    return ".".join(words[:2]) if len(words) > 1 and words[1].isdecimal() else words[0]


def _official_origins(candidate: Candidate, table: Mapping[str, KeyInfo]) -> dict[str, Origin]:
    origins = {BACKBONE + origin.name: origin for origin in candidate.origins}
    if candidate.root != candidate.prefix and candidate.checkpoint is not None:
        for key in table:
            beside = candidate.root + key
            if not key.startswith(BACKBONE) and beside in candidate.checkpoint.tensors:
                origins[key] = Origin(key, beside)
    return origins


def _model_row(
    key: str, info: KeyInfo, origin: Origin | None, tensor: TensorInfo | None, has_heads: bool
) -> Row:
    shape = tuple(tensor.shape) if tensor else None
    bookkeeping = _BOOKKEEPING.search(key) is not None
    if bookkeeping:
        status, note = BOOKKEEPING, _bookkeeping_note(key, in_file=tensor is not None)
    elif tensor is None:
        status, note = MISSING, _missing_note(key, info, has_heads)
    elif shape == info.shape:
        status, note = MATCHED, _matched_note(origin, tensor, info)
    else:
        status, note = MISMATCHED, _mismatched_note(key)
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
    )


def _matched_note(origin: Origin | None, tensor: TensorInfo, info: KeyInfo) -> str:
    notes = [origin.fix.why] if origin and origin.fix else []
    if tensor.dtype != info.dtype:
        notes.append(f"cast from {tensor.dtype} to {info.dtype}")
    return "; ".join(notes)


def _missing_note(key: str, info: KeyInfo, has_heads: bool) -> str:
    if not key.startswith(BACKBONE) and not has_heads:
        return "not part of a backbone file: it starts at random, which is normal"
    if key.startswith(BACKBONE) and not info.trainable:
        return "keeps its initial value, and nothing trains it"
    return "keeps its initial value"


def _mismatched_note(key: str) -> str:
    if "score_head" in key or "class_embed" in key:
        return "another number of classes: this head starts at random, which is normal"
    return "the shapes differ: it is not loaded and keeps its initial value"


def _bookkeeping_note(key: str, in_file: bool) -> str:
    if not key.endswith(_BATCH_COUNTER):
        return "follows from the configuration; never copied"
    return "" if in_file else "the norm's batch counter starts at 0, which is harmless"


def _unused_rows(candidate: Candidate, used: set[str | None]) -> tuple[list[Row], dict[str, int]]:
    """List what the file holds beside the tensors in use; other copies are only counted."""
    assert candidate.checkpoint is not None
    official = {origin.checkpoint_key: BACKBONE + origin.name for origin in candidate.origins}
    others = [c for c in candidate.checkpoint.candidates if c.prefix != candidate.prefix]
    rows: list[Row] = []
    elsewhere: Counter[str] = Counter()
    for key, tensor in candidate.checkpoint.tensors.items():
        if key in used:
            continue
        place = _elsewhere(key, candidate, others)
        if place:
            elsewhere[place] += 1
            continue
        name = official.get(key, key)
        bookkeeping = _BOOKKEEPING.search(key) is not None
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


def _elsewhere(key: str, candidate: Candidate, others: Iterable[Candidate]) -> str:
    """Name the other copy or the training state that a key belongs to; empty if it is ours."""
    if candidate.prefix and key.startswith(candidate.prefix):
        return ""
    for other in others:
        own = {origin.checkpoint_key for origin in other.origins} if not other.root else ()
        if (other.root and key.startswith(other.root)) or key in own:
            longer = len(other.root) >= len(candidate.root) or not key.startswith(candidate.root)
            if longer:
                return other.name
    top = key.partition(".")[0]
    return top if _TRAINING_STATE.match(top) else ""


def _summarise(part: str, rows: list[Row]) -> PartSummary:
    counts = Counter(row.status for row in rows)
    learned = [r for r in rows if r.model_shape is not None and r.status != BOOKKEEPING]
    total = sum(_elements(row) for row in learned)
    matched = sum(_elements(row) for row in learned if row.status == MATCHED)
    tensors = sum(row.model_key is not None for row in rows)
    by_status = {status: counts[status] for status in STATUSES}
    return PartSummary(part, tensors, share=matched / total if total else 0.0, **by_status)


def _elements(row: Row) -> int:
    return KeyInfo(row.model_shape or ()).num_elements


__all__ = ["COLUMNS", "STATUSES", "TOP_LEVEL", "Diff", "PartSummary", "Row", "compare"]
