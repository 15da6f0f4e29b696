"""The two-sided comparison of a checkpoint with the model that a configuration builds.

Every tensor of the model and every tensor of the chosen copy has a row: also those that the model
lacks, and those that the file holds in vain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike, fspath
from typing import TYPE_CHECKING

from rtdetr_nb.architecture.key_info import KeyInfo
from rtdetr_nb.architecture.state_dict_table import BACKBONE, ModelConfig, model_keys
from rtdetr_nb.checkpoint.checkpoint import (
    Checkpoint,
    FileCandidate,
    choose_candidate,
    open_checkpoint,
)
from rtdetr_nb.checkpoint.comparison.diff_tables import diff_html, diff_text
from rtdetr_nb.checkpoint.comparison.judge import judge
from rtdetr_nb.checkpoint.comparison.row import (
    BOOKKEEPING,
    COLUMNS,
    MATCHED,
    MISSING,
    STATUSES,
    UNUSED,
    Row,
    model_row,
    unused_rows,
)
from rtdetr_nb.checkpoint.comparison.selection import Selection, select
from rtdetr_nb.checkpoint.naming.near_names import NearPair, near_pairs
from rtdetr_nb.checkpoint.naming.renaming import Origin
from rtdetr_nb.checkpoint.official_loader.every_door import EveryDoor, doors_of
from rtdetr_nb.errors import ConfigError, SelectionError
from rtdetr_nb.text.findings import Verdict
from rtdetr_nb.text.plain_text import show_as_text

if TYPE_CHECKING:
    import pandas


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
    """A comparison as data: `table` shows it, `select` chooses from it.

    `elsewhere` counts the tensors that are not compared: those of other copies of the model and of
    the training state.
    """

    candidate: FileCandidate
    config: ModelConfig = field(repr=False)
    rows: tuple[Row, ...] = field(repr=False)
    elsewhere: Mapping[str, int] = field(default_factory=dict)

    @property
    def checkpoint(self) -> Checkpoint:
        """The file that was compared."""
        return self.candidate.checkpoint

    @cached_property
    def model_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the model's tensors by name, in its order."""
        return {row.model_key: row.model_shape or () for row in self.rows if row.model_key}

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
        """Pairs of a missing tensor and an unused key that may belong together; only offered."""
        missing = [(r.model_key, r.model_shape) for r in self.rows if r.status == MISSING]
        unused = [(r.checkpoint_key, r.checkpoint_shape) for r in self.rows if r.status == UNUSED]
        names = {key: self.checkpoint.name_of[key] for key, _ in unused if key is not None}
        behind = {key: name.removeprefix(self.candidate.root) for key, name in names.items()}
        return near_pairs(missing, unused, behind)  # pyright: ignore[reportArgumentType]

    def accept_near(self, pairs: Iterable[NearPair] | None = None) -> Diff:
        """Return the comparison with offered pairs applied: those given, or all of `near`.

        Raises:
            SelectionError: a pair was not offered here.
        """
        accepted = {pair.model_key: pair for pair in (self.near if pairs is None else pairs)}
        for pair in accepted.values():
            if pair not in self.near:
                raise SelectionError(
                    f"{pair.checkpoint_key} was not offered for {pair.model_key}; diff.near holds "
                    f"the {len(self.near)} offers."
                )
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
        return judge(self)

    @cached_property
    def doors(self) -> EveryDoor:
        """What each door of the official code does with the file as it is; reads no values."""
        return doors_of(self.checkpoint, self.config)

    def select(
        self,
        include: Iterable[str] | str | None = None,
        exclude: Iterable[str] | str = (),
        *,
        parts: Iterable[str] | None = None,
        blocks: Iterable[str] | None = None,
        rows: Iterable[Row | str] | None = None,
    ) -> Selection:
        """Select tensors by shell-style patterns, parts, blocks or rows; see `selection.select`."""
        return select(self, include, exclude, parts=parts, blocks=blocks, rows=rows)

    @property
    def table(self) -> pandas.DataFrame:
        """The rows as a table with the columns of `COLUMNS`."""
        import pandas

        return pandas.DataFrame(
            [{c: getattr(r, c) for c in COLUMNS} for r in self.rows], columns=list(COLUMNS)
        )

    @property
    def summary(self) -> pandas.DataFrame:
        """Counts per part: tensors by status, and the share of the parameters that is matched."""
        import pandas

        return pandas.DataFrame([vars(part) for part in self.parts])

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        return diff_text(self)

    def _repr_html_(self) -> str:
        return diff_html(self)


def compare(source: Checkpoint | FileCandidate | str | PathLike[str], config: ModelConfig) -> Diff:
    """Compare one copy of the weights with the model that `config` builds.

    A checkpoint stands for its first candidate, and a path for the checkpoint there. An official
    encoder and decoder beside the backbone are compared too.

    Raises:
        CheckpointError: the file holds no HGNetv2.
        AmbiguousCheckpointError: it holds several that nothing tells apart.
        ConfigError: `config` is a name or a path.
    """
    if isinstance(config, str | PathLike):
        raise ConfigError(
            f"{fspath(config)!r} is a name, not a configuration. Give rt.load_config("
            f"{fspath(config)!r})."
        )
    if isinstance(source, str | PathLike):
        source = open_checkpoint(source)
    candidate = (
        source
        if isinstance(source, FileCandidate)
        else choose_candidate(source, variant=config.backbone.name)
    )
    checkpoint = candidate.checkpoint
    table = model_keys(config)
    origins = _official_origins(candidate, table)
    has_heads = any(not name.startswith(BACKBONE) for name in origins)
    rows = []
    for key, info in table.items():
        origin = origins.get(key)
        tensor = checkpoint.tensors[origin.checkpoint_key] if origin else None
        rows.append(model_row(key, info, origin, tensor, has_heads))
    unused, elsewhere = unused_rows(candidate, {r.checkpoint_key for r in rows})
    return Diff(candidate, config, (*rows, *unused), elsewhere)


def _official_origins(candidate: FileCandidate, table: Mapping[str, KeyInfo]) -> dict[str, Origin]:
    origins = {BACKBONE + origin.name: origin for origin in candidate.origins}
    if candidate.root != candidate.prefix:
        beside = candidate.checkpoint.keys_behind(candidate.root)
        for key in table:
            if not key.startswith(BACKBONE) and key in beside:
                origins[key] = Origin(key, beside[key])
    return origins


def _summarise(part: str, rows: list[Row]) -> PartSummary:
    counts = Counter(row.status for row in rows)
    learned = [r for r in rows if r.model_shape is not None and r.status != BOOKKEEPING]
    total = sum(row.num_elements for row in learned)
    matched = sum(row.num_elements for row in learned if row.status == MATCHED)
    tensors = sum(row.model_key is not None for row in rows)
    by_status = {status: counts[status] for status in STATUSES}
    return PartSummary(part, tensors, share=matched / total if total else 0.0, **by_status)
