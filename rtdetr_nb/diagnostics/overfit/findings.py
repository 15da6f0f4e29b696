"""What is wrong, or worth knowing, about how a few pictures were learnt."""

from __future__ import annotations

from collections.abc import Iterator

from rtdetr_nb.datasets.checks.same_bytes import same_bytes
from rtdetr_nb.datasets.split import Split
from rtdetr_nb.diagnostics.overfit.chosen import SMALLEST_SIDE
from rtdetr_nb.diagnostics.overfit.outcome import STEPS_AT_EACH_END, TEACHES, Outcome
from rtdetr_nb.text.findings import FAILURE, NOTE, WARNING, Check, Words, check
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted

# Of the loss at the beginning. Measured on the sample: a sound run stands at 0.93 after 20 steps
# and at 0.35 after 100; at rates of 0 the loss stays within 0.97 to 1.03.
_FALLEN = 0.9
_RISING = 0.02  # AP between the last two looks
_WHOLE_BACKBONE = 4


@check(FAILURE)
def run_failed(outcome: Outcome) -> Iterator[Words]:
    """The run ended by an error, so that nothing can be said about learning."""
    if outcome.error:
        yield Words(outcome.error.splitlines()[0], action="Mend this first.")


@check(WARNING)
def run_stopped(outcome: Outcome) -> Iterator[Words]:
    """The run was stopped before it had learnt the pictures or used all its steps."""
    if outcome.status == "stopped" and not outcome.is_learnt:
        made = len(outcome.steps)
        yield Words(
            f"The run was stopped after {counted(made, 'step')} of {outcome.lesson.steps}.",
            action="Run the same line again.",
        )


@check(FAILURE)
def rates_are_zero(outcome: Outcome) -> Iterator[Words]:
    """Every learning rate is 0, so that no weight moves."""
    if outcome.stands_still:
        yield Words(
            "Every learning rate is 0 at every step, so no weight has moved.",
            "optimizer",
            "Nothing can be learnt.",
            "Set optimizer.lr and the lr of the groups in optimizer.params.",
        )


@check(NOTE)
def groups_stand_still(outcome: Outcome) -> Iterator[Words]:
    """Some parameter groups have a learning rate of 0, the others have not."""
    if outcome.stands_still or not outcome.steps:
        return
    largest = [max(rates) for rates in zip(*(s.get("lr", []) for s in outcome.steps), strict=False)]
    still = [f"group {index}" for index, rate in enumerate(largest) if rate == 0]
    if still:
        yield Words(f"The learning rate of {first_of(still)} is 0: its weights stay as they are.",
                    "optimizer.params")  # fmt: skip


@check(FAILURE)
def loss_does_not_fall(outcome: Outcome) -> Iterator[Words]:
    """The loss at the end is nearly that of the beginning, although rates are not 0."""
    share = outcome.fallen_to("loss")
    if outcome.is_whole and not outcome.stands_still and share > _FALLEN:
        yield Words(
            f"The loss hardly falls: the mean of the last {STEPS_AT_EACH_END} steps is {share:.0%} "
            "of that of the first.",
            "optimizer",
            "The weights move too little, or not to where the losses lead.",
            "Look at the learning rates, at what is frozen, and at RTDETRCriterionv2.weight_dict.",
        )


@check(FAILURE)
def not_learnt(outcome: Outcome) -> Iterator[Words]:
    """All steps were made, the loss falls, the AP does not come near the target any more."""
    if not outcome.is_whole or _hardly_moves(outcome) or _is_rising(outcome):
        return
    yield Words(
        f"AP stays at {outcome.looks[-1].ap:.2f} and does not rise any more."
        if outcome.looks
        else "The pictures were not looked at.",
        "",
        _what_remains(outcome),
        "Look at .figure(): are boxes and names the same for the same things in all pictures?",
    )


@check(WARNING)
def still_learning(outcome: Outcome) -> Iterator[Words]:
    """All steps were made and the AP was still rising, by losses that teach names and boxes."""
    learns = not _hardly_moves(outcome) and not outcome.losses_off
    if outcome.is_whole and _is_rising(outcome) and learns:
        before, last = outcome.looks[-2].ap, outcome.looks[-1].ap
        yield Words(
            f"AP was still rising when the steps were used up (from {before:.2f} to {last:.2f}).",
            why="So it can learn, only not so quickly.",
            action=f"Give more steps: steps={2 * outcome.lesson.steps}.",
        )


@check(FAILURE)
def same_picture_other_boxes(outcome: Outcome) -> Iterator[Words]:
    """Two of the pictures are the same file with different boxes, which nothing can learn."""
    split = outcome.split
    place = {split.image_path(index): index for index in range(len(split))}
    for group in same_bytes(place):
        boxes = {_described(split, place[path]) for path in group}
        if len(boxes) > 1:
            yield Words(
                f"{first_of([path.name for path in group])} are the same picture with different "
                "boxes or names.",
                str(split.source),
                "Nothing can learn both.",
                "Mend the annotations; check_data finds all such pictures.",
            )


@check(WARNING)
def boxes_beyond_the_edge(outcome: Outcome) -> Iterator[Words]:
    """Boxes reach beyond the edge of their picture, where nothing can be found."""
    cut = sum(picture.cut for picture in outcome.chosen)
    if cut:
        boxes = sum(picture.boxes for picture in outcome.chosen)
        yield Words(f"{cut} of {counted(boxes, 'box reaches', 'boxes reach')} beyond the edge of "
                    "the picture.", str(outcome.split.source),
                    "What lies there cannot be found; boxes may be those of other pictures.",
                    "Look at .figure(), and run check_data on the whole data set.")  # fmt: skip


@check(FAILURE)
def not_learnt_without_weight(outcome: Outcome) -> Iterator[Words]:
    """All steps were made, the target was not reached, and a loss has a weight of 0."""
    if outcome.is_whole:
        yield from _weight_to_give(outcome)


@check(WARNING)
def losses_without_weight(outcome: Outcome) -> Iterator[Words]:
    """A loss has a weight of 0, and the run was stopped or reached its target even so."""
    if not outcome.is_whole:
        yield from _weight_to_give(outcome)


@check(WARNING)
def more_boxes_than_queries(outcome: Outcome) -> Iterator[Words]:
    """A picture has more boxes than the decoder can find."""
    queries = outcome.config.decoder.num_queries
    most = max(picture.boxes for picture in outcome.chosen)
    if most > queries:
        yield Words(f"A picture has {most} boxes, and the decoder finds {queries} at most.",
                    "RTDETRTransformerv2.num_queries", "The others cannot be learnt.",
                    "Raise it, or take fewer boxes.")  # fmt: skip


@check(NOTE)
def small_boxes(outcome: Outcome) -> Iterator[Words]:
    """A box is so small at this picture size that learning it by heart takes long."""
    size = outcome.lesson.image_size
    small = [picture for picture in outcome.chosen if picture.smallest_side < SMALLEST_SIDE]
    if small and not outcome.is_learnt:
        side = min(picture.smallest_side for picture in small) * size
        yield Words(f"{counted(len(small), 'picture has', 'pictures have')} boxes that are small "
                    f"at {size} pixels: down to {side:.1f}.", "", "They take longer to learn.",
                    f"A larger image_size makes it quicker: {2 * size}.")  # fmt: skip


@check(NOTE)
def frozen_random_backbone(outcome: Outcome) -> Iterator[Words]:
    """The backbone is frozen and starts at random: a few pictures can be learnt from it even so."""
    if outcome.config.backbone.freeze_at >= _WHOLE_BACKBONE and not outcome.is_tuned:
        yield Words("The whole backbone is frozen at random weights.", "HGNetv2.freeze_at",
                    "A few pictures can be learnt even so; a training cannot.",
                    "Give a tuning file.")  # fmt: skip


@check(NOTE)
def fewer_pictures(outcome: Outcome) -> Iterator[Words]:
    """There are fewer pictures with usable boxes than were asked for."""
    asked, found = outcome.lesson.pictures, len(outcome.chosen)
    if found < asked:
        yield Words(f"Only {counted(found, 'picture')} of the {asked} asked for could be used.",
                    str(outcome.split.source), "The others have no boxes, or crowds.")  # fmt: skip


OVERFIT_CHECKS: tuple[Check[Outcome], ...] = (
    run_failed,
    run_stopped,
    rates_are_zero,
    groups_stand_still,
    loss_does_not_fall,
    not_learnt,
    still_learning,
    same_picture_other_boxes,
    boxes_beyond_the_edge,
    not_learnt_without_weight,
    losses_without_weight,
    more_boxes_than_queries,
    small_boxes,
    frozen_random_backbone,
    fewer_pictures,
)


def _weight_to_give(outcome: Outcome) -> Iterator[Words]:
    for name in outcome.losses_off:
        yield Words(
            f"{name} has a weight of 0.",
            "RTDETRCriterionv2.weight_dict",
            f"It is what teaches {TEACHES[name]}.",
            "Give it a weight above 0.",
        )


def _hardly_moves(outcome: Outcome) -> bool:
    return outcome.stands_still or outcome.fallen_to("loss") > _FALLEN


def _is_rising(outcome: Outcome) -> bool:
    looks = outcome.looks
    return len(looks) > 1 and looks[-1].ap - looks[-2].ap > _RISING


def _what_remains(outcome: Outcome) -> str:
    """Which losses have fallen least, and what the boxes of the pictures are like."""
    boxes = sum(row.boxes for row in outcome.rows)
    if not boxes:
        return ""
    known, other, missed = (
        sum(getattr(row, name) for row in outcome.rows)
        for name in ("known", "other_name", "missed")
    )
    least = max((n for n in TEACHES if outcome.fallen_to(n) < 1), key=outcome.fallen_to, default="")
    slowest = f" {least}, which teaches {TEACHES[least]}, has fallen least." if least else ""
    return (
        f"Of {counted(boxes, 'box', 'boxes')} {known} are known, {other} have another name and "
        f"{missed} are missed.{slowest}"
    )


def _described(split: Split, index: int) -> tuple[object, ...]:
    own = split.boxes(index)
    rows = zip(own.boxes_xywh.round(1).tolist(), own.labels.tolist(), strict=True)
    return tuple(sorted((tuple(box), label) for box, label in rows))
