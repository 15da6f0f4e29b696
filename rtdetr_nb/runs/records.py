"""What a run records: the reference of `metrics.jsonl`.

The file has one JSON object a line, in the order in which things happened. A record without `event`
is a `StepRecord`; any other says by `event` what happened. Official runs are recorded in the same
way, from what the official code prints (`rtdetr_nb.official.log`).

`step` counts optimizer updates over the whole run, also after it was resumed: step 1 is the first.
A run that resumes from an older checkpoint trains some steps again; both records of such a step
stay in the file, and `rtdetr_nb.runs.history` says which one counts. Numbers that are not finite
are written as the words "inf", "-inf" and "nan".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeGuard, cast, overload

if TYPE_CHECKING:
    from typing_extensions import NotRequired


class _Written(TypedDict, total=False):
    """What every record has once it is written.

    Attributes:
        time: when it was written, in seconds since 1970.
    """

    time: float


class StepRecord(_Written):
    """One optimizer update.

    Beside these keys each part of the loss has one, under its official name: `loss_vfl`,
    `loss_bbox`, `loss_giou`, and the same with the endings `_aux_0`, `_dn_0`, `_enc_0`, ...

    Attributes:
        step: the update, from 1.
        epoch: from 0.
        loss: total. In a printed official log this and its parts are medians of the last 20 steps.
        lr: learning rate of each parameter group, as used by the update.
        grad_norm: norm of the gradient before it is clipped.
        seconds: time of the step, waiting for data included.
        data_seconds: of it the time spent waiting for data.
        memory_mb: in MiB; on a GPU the most that was allocated so far, else what the first process
            holds in memory.
        loss_epoch_mean: official log only: mean total loss of the epoch so far.
    """

    step: int
    epoch: NotRequired[int]
    loss: float
    lr: NotRequired[list[float]]
    grad_norm: NotRequired[float]
    seconds: NotRequired[float]
    data_seconds: NotRequired[float]
    memory_mb: NotRequired[float]
    loss_epoch_mean: NotRequired[float]


class StartRecord(_Written):
    """The beginning of a run, before its first step, and again each time it is resumed.

    Attributes:
        step: that the run stands at: 0, or the step of the checkpoint from which it resumes.
        total_steps: that the run will have at its end; None if the official log does not say it.
        steps_per_epoch: optimizer updates of an epoch.
        device: such as "cpu" or "cuda:0".
        processes: that train together.
        precision: "float32", "bfloat16", "float16", or "mixed" for an official run.
        seed: of weights and data.
        trainable_parameters: number of values that are trained.
        lr_groups: what each parameter group trains, such as "backbone"; in the order of `lr`.
        pictures_per_step: of all processes together.
        train_pictures: that an epoch has.
        val_pictures: that an evaluation looks at.
    """

    event: Literal["start"]
    step: int
    total_steps: NotRequired[int | None]
    steps_per_epoch: NotRequired[int]
    device: NotRequired[str | None]
    processes: NotRequired[int]
    precision: NotRequired[str]
    seed: NotRequired[int | None]
    trainable_parameters: NotRequired[int | None]
    lr_groups: NotRequired[list[str]]
    pictures_per_step: NotRequired[int]
    train_pictures: NotRequired[int]
    val_pictures: NotRequired[int]


class TuningRecord(_Written):
    """What was loaded of a tuning file. Names are official model keys.

    Attributes:
        step: that the run stands at.
        file: path of the tuning file; None if the official log does not say it.
        source: which part of the file was loaded, in words.
        loaded: number of tensors; None if it is not known.
        missed: names in the model that the file does not have.
        unmatched: names in both, whose shapes differ.
        unused: names in the file that the model does not have.
    """

    event: Literal["tuning"]
    step: int
    file: str | None
    source: NotRequired[str | None]
    loaded: NotRequired[int | None]
    missed: list[str]
    unmatched: list[str]
    unused: NotRequired[list[str]]


class EvaluatingRecord(_Written):
    """How far an evaluation is, every few seconds.

    Attributes:
        step: of the weights that are evaluated.
        done: pictures so far.
        of: pictures of the whole evaluation.
    """

    event: Literal["evaluating"]
    step: int
    done: int
    of: int


class EvaluationRecord(_Written):
    """An evaluation on the validation pictures.

    Attributes:
        step: of the weights that were evaluated.
        epoch: number of whole epochs before it.
        statistics: the twelve figures of COCO by the names in `coco_categories.STATISTICS`; None
            where no box is of that kind.
        per_class: AP by category name; None if a category has no box.
        num_images: pictures evaluated.
    """

    event: Literal["evaluation"]
    step: int
    epoch: NotRequired[int]
    statistics: dict[str, float | None]
    per_class: NotRequired[dict[str, float | None]]
    num_images: NotRequired[int]


class PredictedPicture(TypedDict):
    """A validation picture, its true boxes, and what the model detected.

    Attributes:
        image_id: in the annotation file.
        file: absolute path of the picture.
        size: width and height in pixels.
        true_boxes: N times xyxy in pixels.
        true_labels: N class names.
        boxes: M times xyxy in pixels, best first.
        labels: M class names.
        scores: M values in 0..1.
    """

    image_id: int
    file: str
    size: list[int]
    true_boxes: list[list[float]]
    true_labels: list[str]
    boxes: list[list[float]]
    labels: list[str]
    scores: list[float]


class PredictionsRecord(_Written):
    """Predictions on a few validation pictures, every `preview_freq` steps.

    Attributes:
        step: of the weights that predicted.
        pictures: empty if no validation picture has an object.
    """

    event: Literal["predictions"]
    step: int
    pictures: list[PredictedPicture]


class CheckpointRecord(_Written):
    """A checkpoint was written.

    Attributes:
        step: of the weights in it.
        file: its name in the folder of the run.
    """

    event: Literal["checkpoint"]
    step: int
    file: str


class FindingRecord(_Written):
    """Something about an official run that its user should know; see `Finding`.

    Attributes:
        level: "failure", "warning" or "note".
        what: a sentence.
        where: the place that it is about.
        why: what it means.
        action: what to do.
    """

    event: Literal["finding"]
    level: str
    what: str
    where: NotRequired[str]
    why: NotRequired[str]
    action: NotRequired[str]


class ErrorRecord(_Written):
    """An error that ended the run.

    Attributes:
        message: in a sentence.
        type: class of the exception.
    """

    event: Literal["error"]
    message: str
    type: str


class EndRecord(_Written):
    """The end of the run: "end" if it is complete, "stop" if somebody asked it to stop.

    Attributes:
        step: the last one.
        message: what is left of an official run that was ended in the middle.
    """

    event: Literal["end", "stop"]
    step: int
    message: NotRequired[str]


EventRecord = (
    StartRecord
    | TuningRecord
    | EvaluatingRecord
    | EvaluationRecord
    | PredictionsRecord
    | CheckpointRecord
    | FindingRecord
    | ErrorRecord
    | EndRecord
)
Record = StepRecord | EventRecord


def is_step(record: Record) -> TypeGuard[StepRecord]:
    """Return whether a record is that of an optimizer update."""
    return "event" not in record and "step" in record


def as_record(values: dict[str, Any]) -> Record:
    """Return values as the record that they are.

    No type can list the losses of a step by name, and none checks what a file holds.
    """
    return cast(Record, values)


@overload
def events(records: Iterable[Record], kind: Literal["start"]) -> list[StartRecord]: ...
@overload
def events(records: Iterable[Record], kind: Literal["tuning"]) -> list[TuningRecord]: ...
@overload
def events(records: Iterable[Record], kind: Literal["evaluation"]) -> list[EvaluationRecord]: ...
@overload
def events(records: Iterable[Record], kind: Literal["predictions"]) -> list[PredictionsRecord]: ...
@overload
def events(records: Iterable[Record], kind: Literal["checkpoint"]) -> list[CheckpointRecord]: ...
@overload
def events(records: Iterable[Record], kind: Literal["finding"]) -> list[FindingRecord]: ...
@overload
def events(records: Iterable[Record], kind: Literal["error"]) -> list[ErrorRecord]: ...
@overload
def events(records: Iterable[Record], kind: Literal["end", "stop"]) -> list[EndRecord]: ...
def events(records: Iterable[Record], kind: str) -> list[Any]:
    """Return the records of one kind of event."""
    return [record for record in records if record.get("event") == kind]
