"""Which of a run's recorded predictions are shown."""

from collections.abc import Sequence

import numpy as np

from rtdetr_nb.runs.records import PredictionsRecord

NO_PREDICTIONS = (
    "{} has no predictions. They come every `preview_freq` steps, on annotated validation "
    "pictures; 0 is never."
)
_MOST_STEPS = 4


def of_the_same_pictures(predictions: Sequence[PredictionsRecord]) -> list[PredictionsRecord]:
    """The predictions on the pictures that were predicted last, one record a step, in order.

    Empty if no validation picture has an object: there is nothing to draw.
    """
    predicted = [record for record in predictions if record["pictures"]]
    same = [record for record in predicted if _image_ids(record) == _image_ids(predicted[-1])]
    return list({record["step"]: record for record in same}.values())


def chosen_records(
    records: Sequence[PredictionsRecord], steps: Sequence[int]
) -> list[PredictionsRecord]:
    """The records of some steps, in their order; of none, the first, the last and some between."""
    ordered = sorted(records, key=lambda record: record["step"])
    if steps:
        return [record for record in ordered if record["step"] in steps]
    if len(ordered) <= _MOST_STEPS:
        return ordered
    places = np.linspace(0, len(ordered) - 1, _MOST_STEPS).round().astype(int)
    return [ordered[place] for place in places]


def _image_ids(record: PredictionsRecord) -> list[int]:
    return [picture["image_id"] for picture in record["pictures"]]
