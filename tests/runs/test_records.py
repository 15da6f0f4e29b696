"""The format of the records, beside what a run really records."""

from typing import get_args, get_type_hints

from typing_extensions import NotRequired

from rtdetr_nb.runs.records import Record, events, is_step
from rtdetr_nb.runs.run import Run
from tests.runs.one_folder import Runs

HINTS = {
    record_type: get_type_hints(record_type, localns={"NotRequired": NotRequired})
    for record_type in get_args(Record)
}
TYPES = {
    kind: record_type
    for record_type, hints in HINTS.items()
    for kind in get_args(hints.get("event")) or ("step",)
}


def test_events_by_kind() -> None:
    evaluation: Record = {"event": "evaluation", "step": 1, "statistics": {}}
    records: list[Record] = [{"event": "start", "step": 0}, {"step": 1, "loss": 1.0}, evaluation]
    assert events(records, "evaluation") == [evaluation]


def test_a_run_records_what_the_reference_says(runs: Runs) -> None:
    runs.finish("--max-steps", 4, "-u", "preview_freq=2")
    records = Run(runs.folder).records
    kinds = {record.get("event", "step") for record in records}
    # An evaluation that takes seconds says how far it is.
    assert kinds - {"evaluating"} == {
        "start",
        "step",
        "evaluation",
        "predictions",
        "checkpoint",
        "end",
    }
    for record in records:
        known = set(HINTS[TYPES[str(record.get("event", "step"))]])
        found = {name for name in record if not name.startswith("loss_")}
        only_official = {"loss_epoch_mean"} if is_step(record) else {"message"}
        assert found <= known <= found | only_official, record
