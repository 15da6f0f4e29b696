"""What the official code said about a tuning file, beside what was predicted for it."""

from collections.abc import Sequence

from rtdetr_nb.checkpoint.official_loader.prediction import OfficialPrediction
from rtdetr_nb.config.config import Config
from rtdetr_nb.runs.records import TuningRecord
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Finding
from rtdetr_nb.text.listing import first_of

_WHERE = "Load model.state_dict"


def check_load(record: TuningRecord, prediction: OfficialPrediction, config: Config) -> Finding:
    """Compare the official load line with the prediction.

    Args:
        record: with the lists `missed` and `unmatched` of the line.
        prediction: for the same file.
        config: of the model.

    Returns:
        A note if both agree, a warning if they differ, a failure if nothing was loaded.
    """
    match = prediction.match
    if match is None:
        return _unexpected_load(prediction)
    said = {"missed": record["missed"], "unmatched": record["unmatched"]}
    differences = [_difference(name, names, getattr(match, name)) for name, names in said.items()]
    if any(differences):
        return _differs("; ".join(filter(None, differences)))
    if not match.loaded:
        return _nothing_loaded()
    loaded, total = len(match.loaded), len(match.loaded) + len(match.missed) + len(match.unmatched)
    return Finding(
        NOTE,
        f"The official code loaded {loaded} of {total} tensors of HGNetv2-{config.backbone.name}'s "
        "detector, as predicted.",
        _WHERE,
    )


def _difference(kind: str, said: Sequence[str], predicted: Sequence[str]) -> str:
    """Return in which names two lists differ; empty if in none."""
    odd = sorted(set(said) ^ set(predicted))
    if not odd:
        return ""
    return (
        f"{kind}: {len(said)} tensors, predicted {len(predicted)} "
        f"({len(odd)} differ: {first_of(odd)})"
    )


def _unexpected_load(prediction: OfficialPrediction) -> Finding:
    return Finding(
        WARNING, f"The official code loaded the file; predicted was {prediction}.", _WHERE
    )


def _differs(differences: str) -> Finding:
    return Finding(
        WARNING,
        f"The official load line differs from the prediction. {differences}.",
        _WHERE,
        "The checkout, the configuration or the file is not what was judged.",
        "Look at the line in train.log before you let the run go on.",
    )


def _nothing_loaded() -> Finding:
    return Finding(
        FAILURE,
        "The official code loaded nothing of the tuning file.",
        _WHERE,
        "It trains from random weights, without an error.",
        "Stop the run and write the tuning file with rtdetr-nb convert.",
    )
