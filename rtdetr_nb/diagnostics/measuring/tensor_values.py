"""The values of one tensor of a file in figures: range, mean, spread and a histogram."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rtdetr_nb.checkpoint.checkpoint import Checkpoint
from rtdetr_nb.checkpoint.comparison.diff import Diff
from rtdetr_nb.errors import SelectionError
from rtdetr_nb.text.html_pieces import shown
from rtdetr_nb.text.plain_text import show_as_text
from rtdetr_nb.text.printable import printable
from rtdetr_nb.text.suggestion import suggest
from rtdetr_nb.text.table import shape_text

_BINS = 40
_BLOCKS = "▁▂▃▄▅▆▇█"
_BAR, _HEIGHT = 8, 60  # pixels of the histogram on a page


@dataclass(frozen=True)
class TensorValues:
    """What `tensor_values` found.

    Attributes:
        key: name in the file.
        shape: of the tensor.
        dtype: of the values in the file.
        low, high, mean, std: of the values that are finite; NaN if there are none.
        zeros: share of values that are 0.
        not_finite: number of values that are infinite or NaN.
        counts: of the values in `_BINS` bins of equal width between `low` and `high`.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float
    mean: float
    std: float
    zeros: float
    not_finite: int
    counts: tuple[int, ...] = field(repr=False)

    @property
    def sentence(self) -> str:
        """The figures in one line."""
        lost = f"; {self.not_finite:,} values are not finite" if self.not_finite else ""
        zeros = f"; {self.zeros:.1%} are 0" if self.zeros else ""
        return (
            f"{printable(self.key)} {shape_text(self.shape)} {self.dtype}: {self.low:.4g} to "
            f"{self.high:.4g}, mean {self.mean:.4g}, standard deviation {self.std:.4g}{zeros}{lost}"
        )

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        most = max(self.counts, default=0)
        if not most:
            return self.sentence
        bars = (_BLOCKS[round((len(_BLOCKS) - 1) * n / most)] if n else " " for n in self.counts)
        return f"{self.sentence}\n  {self.low:.3g} |{''.join(bars)}| {self.high:.3g}"

    def _repr_html_(self) -> str:
        most = max(self.counts, default=0) or 1
        bars = "".join(
            f'<rect x="{_BAR * place}" y="{_HEIGHT * (1 - count / most):.1f}" width="{_BAR - 1}" '
            f'height="{_HEIGHT * count / most:.1f}"/>'
            for place, count in enumerate(self.counts)
        )
        width = _BAR * _BINS
        return (
            f"<div>{shown(self.sentence)}</div>"
            f'<svg role="img" aria-label="Histogram" width="{width}" height="{_HEIGHT + 16}" '
            f'fill="#0072b2">{bars}<g fill="#7f7f7f" font-size="11">'
            f'<text x="0" y="{_HEIGHT + 13}">{self.low:.4g}</text>'
            f'<text x="{width}" y="{_HEIGHT + 13}" text-anchor="end">{self.high:.4g}</text>'
            "</g></svg>"
        )


def tensor_values(source: Checkpoint | Diff, key: str) -> TensorValues:
    """Look at the values of one tensor, as they are in the file.

    Args:
        source: the file, or a comparison of it.
        key: its name in the file; of a comparison, in the model too.

    Raises:
        SelectionError: the comparison has no such tensor, or the file has nothing for it.
        CheckpointError: the file has no such tensor, or its values cannot be read.
    """
    if isinstance(source, Diff):
        source, key = source.checkpoint, _key_in_file(source, key)
    tensor = source.read([key])[key]
    values = tensor.abs() if tensor.is_complex() else tensor
    array = values.double().numpy().reshape(-1)
    finite = array[np.isfinite(array)]
    known = finite if finite.size else np.array([np.nan])
    # In units of the largest one, whose square may lie beyond what a number can hold.
    unit = float(np.abs(known).max()) or 1.0
    return TensorValues(
        key=key,
        shape=tuple(tensor.shape),
        dtype=source.tensors[key].dtype,
        low=float(known.min()),
        high=float(known.max()),
        mean=float((known / unit).mean() * unit),
        std=float((known / unit).std() * unit),
        zeros=float((finite == 0).mean()) if finite.size else 0.0,
        not_finite=int(array.size - finite.size),
        counts=_histogram(finite / unit) if finite.size else (),
    )


def _histogram(values: np.ndarray) -> tuple[int, ...]:
    """Numbers of values in bins from the least to the largest; one that fills all is the first."""
    above = values - values.min()
    span = float(above.max()) or 1.0
    return tuple(np.histogram(above / span, bins=_BINS, range=(0.0, 1.0))[0].tolist())


def _key_in_file(diff: Diff, key: str) -> str:
    for row in diff.rows:
        if key in (row.model_key, row.checkpoint_key):
            if row.checkpoint_key is None:
                raise SelectionError(f"The file has nothing for {key}: {row.note or row.status}.")
            return row.checkpoint_key
    names = [name for row in diff.rows for name in (row.model_key, row.checkpoint_key) if name]
    hint = suggest(key, names)
    raise SelectionError(f"The comparison has no tensor {key!r}. {hint}".strip())
