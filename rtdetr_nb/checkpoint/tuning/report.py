"""The reports of loading and of writing a tuning file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rtdetr_nb.checkpoint.tuning.stem_proof import StemProof
from rtdetr_nb.text.html_pieces import badge, shown
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted, show_as_text
from rtdetr_nb.text.table import Table


@dataclass(frozen=True)
class TuningReport:
    """What a tuning file did to a model.

    Attributes:
        path: the file.
        source: the state dict in it that was taken ("model", "ema.module" or "safetensors").
        loaded: names whose values are now the file's.
        missed: names of the model that the file lacks (as the official log calls them).
        unmatched: names of the model whose shape in the file differs.
        unused: keys of the file that the model lacks; the official log does not list them.
    """

    path: Path
    source: str
    loaded: tuple[str, ...] = field(repr=False)
    missed: tuple[str, ...] = field(repr=False)
    unmatched: tuple[str, ...] = field(repr=False)
    unused: tuple[str, ...] = field(repr=False)

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        lines = [f"{self.path}: {counted(len(self.loaded), 'tensor')} loaded from {self.source!r}"]
        for name in ("missed", "unmatched", "unused"):
            keys = getattr(self, name)
            if keys:
                lines.append(f"  {name}: {len(keys)} ({first_of(keys)})")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        groups = ("loaded", "missed", "unmatched", "unused")
        keys_of = ((word, getattr(self, word)) for word in groups)
        rows = tuple((word, str(len(keys)), first_of(keys, 2)) for word, keys in keys_of)
        columns = ("state dict", "tensors", "first names")
        title = f"{self.path}, {self.source!r}"
        return Table(title, columns, rows, frozenset({"tensors"})).html()


@dataclass(frozen=True)
class WriteReport:
    """What was written, and what was proved by reading it again.

    Attributes:
        path: the file.
        equal: for every selected tensor, whether the file returns it bit for bit.
        grafted: number of other tensors that came from the base.
        nbytes: size of the file.
        provenance: what the file says about where it comes from.
        stem: the proof of the stem, where an input format was folded into it: `equal` then speaks
            of the mended values.
        bare: it is the bare backbone, which `HGNetv2.pretrained` reads and `-t` does not; what it
            says about where it comes from is not in the file then.
    """

    path: Path
    equal: Mapping[str, bool] = field(repr=False)
    grafted: int
    nbytes: int
    provenance: Mapping[str, Any] = field(repr=False)
    stem: StemProof | None = None
    bare: bool = False

    @property
    def bit_equal(self) -> bool:
        """Whether every selected tensor is bit for bit in the file."""
        return all(self.equal.values())

    @property
    def caution(self) -> str:
        """What the official `-t` cannot do with this file, as a sentence; empty where it can."""
        if self.path.suffix == ".safetensors":
            return "The official -t reads files of torch.save only: give it a .pth."
        return ""

    _repr_pretty_ = show_as_text

    def __str__(self) -> str:
        grafted = f" and {self.grafted} from the base" if self.grafted else ""
        selected = f"{len(self.equal)} selected tensors{grafted}"
        written = f"{self.path}: {selected}, {self.nbytes / 1e6:.1f} MB"
        door = "; for HGNetv2.pretrained, not for -t" if self.bare else ""
        if self.stem is None:
            return f"{written}, read back bit-equal{door}"
        kept = len(self.equal) - len(self.stem.folded)
        return f"{written}; {kept} unchanged and read back bit-equal; {self.stem}{door}"

    def _repr_html_(self) -> str:
        caution = f"<p>{badge('warning')} {shown(self.caution)}</p>" if self.caution else ""
        return f"<p>{badge('ok')} {shown(str(self))}</p>{caution}"
