"""Whether the decoder has room for the boxes of the fullest picture."""

import numpy as np

from rtdetr_nb.datasets.annotations.notes import NOTE, WARNING, DataNote
from rtdetr_nb.datasets.split import Split


def crowding_note(split: Split, num_queries: int, num_denoising: int) -> DataNote | None:
    """What to tell about the picture with the most boxes; None if there is room for them.

    Args:
        split: that is trained on.
        num_queries: detections that the decoder can make, `RTDETRTransformerv2.num_queries`.
        num_denoising: pairs of denoising queries that are aimed at.
    """
    columns = split.pictures.boxes
    counts = np.bincount(columns.images[~columns.crowds], minlength=len(split))
    fullest = int(counts.argmax()) if len(counts) else 0
    most = int(counts[fullest]) if len(counts) else 0
    # With num_denoising: 0 there are none, however full a picture is.
    denoised = most if num_denoising else 0
    if most <= num_queries and denoised <= num_denoising:
        return None
    parts = [f"The picture {split.paths[fullest]} has {most:,} boxes."]
    if most > num_queries:
        parts.append(f"The decoder has {num_queries:,} queries and finds no more than that.")
    if denoised > num_denoising:
        parts.append(f"A batch with it has {2 * most:,} denoising queries (two a box), which take "
                     "time and memory.")  # fmt: skip
    return DataNote(
        kind="crowded pictures",
        level=WARNING if most > num_queries else NOTE,
        what=" ".join(parts),
        where=str(split.source),
        action="The keys are RTDETRTransformerv2.num_queries, RTDETRPostProcessor.num_top_queries "
        "and RTDETRTransformerv2.num_denoising (0 switches denoising off).",
        count=int(np.count_nonzero(counts > num_queries)),
    )
