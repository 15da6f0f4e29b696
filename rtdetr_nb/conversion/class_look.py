"""Class heads that are taken over, and the classes of the data: are they the same?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtdetr_nb.checkpoint.comparison.diff import Diff
from rtdetr_nb.checkpoint.comparison.row import MATCHED
from rtdetr_nb.checkpoint.reading.stated_classes import stated_classes
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.text.findings import NOTE, Finding

if TYPE_CHECKING:
    from rtdetr_nb.diagnostics.measuring.pictures import Pictures

_HEAD = "score_head"


def class_findings(diff: Diff, data: Pictures | None) -> list[Finding]:
    """Compare the names that a file states for its class heads with those of a data set.

    Args:
        diff: the file against the model; heads that do not fit are not taken over.
        data: of the training to come; pictures without labels say nothing.
    """
    heads = [r for r in diff.rows if r.status == MATCHED and _HEAD in (r.model_key or "")]
    if data is None or not heads:
        return []
    named = stated_classes(diff.checkpoint.tree, (heads[0].model_shape or (0,))[0])
    wanted = _classes_of(data) if named else {}
    other = next((label for label, name in wanted.items() if _named(named, label) != name), None)
    if other is None:
        return []
    return [
        Finding(
            NOTE,
            f"The file's class heads are of other classes: label {other} is "
            f"{_named(named, other)!r} there and {wanted[other]!r} in the data.",
            heads[0].model_key or "",
            "They are taken over, since there are as many, and have to learn the new ones.",
            "Leave them out to begin anew (--exclude '*score_head*' '*class_embed*').",
        )
    ]


def _named(names: tuple[str, ...], label: int) -> str:
    return names[label] if label < len(names) else "no class"


def _classes_of(data: Pictures) -> dict[int, str]:
    from rtdetr_nb.datasets.open_data import open_data

    try:
        return dict(open_data(data).train.classes)  # pyright: ignore[reportArgumentType]
    except DatasetError:  # pictures without labels
        return {}
