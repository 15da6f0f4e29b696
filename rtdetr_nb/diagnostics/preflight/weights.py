"""The part on the weights: what they would fill, by which door, and which pictures they expect."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rtdetr_nb.architecture.state_dict_table import model_keys
from rtdetr_nb.checkpoint.checkpoint import Checkpoint, open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.comparison.judge import judge
from rtdetr_nb.checkpoint.official_loader.every_door import doors_of
from rtdetr_nb.checkpoint.official_loader.prediction import predict_official
from rtdetr_nb.checkpoint.official_loader.rules import OfficialMatch, match_officially
from rtdetr_nb.checkpoint.tuning.load import match_tuning_file
from rtdetr_nb.config.config import Config
from rtdetr_nb.diagnostics.input_format.check_input import check_input
from rtdetr_nb.diagnostics.preflight.part import Figure, Part, part
from rtdetr_nb.diagnostics.preflight.training import Training
from rtdetr_nb.errors import UserError
from rtdetr_nb.text.findings import FAILURE, NOTE, Finding
from rtdetr_nb.text.listing import first_of
from rtdetr_nb.text.plain_text import counted

_NEEDED = ("model", "optimizer", "last_epoch")  # of a checkpoint to resume from


def look_at_weights(training: Training) -> Part:
    """Judge the file that the training starts from or goes on with."""
    if training.tuning and training.resume:
        both = "Give a tuning file (-t) or a checkpoint to resume from (-r), not both."
        return part("weights", "Two files are given.", [Finding(FAILURE, both)])
    for flag, path in (("-t", training.tuning), ("-r", training.resume)):
        if path is not None and not path.is_file():
            missing = Finding(FAILURE, f"There is no file {path}.", flag, action="Give its path.")
            return part("weights", f"{path} is not there.", [missing])
    if training.tuning is not None:
        return _tuning_part(training, training.tuning)
    if training.resume is not None:
        return _resume_part(training, training.resume)
    begun = Finding(NOTE, "The training starts from random weights: no file is given.", "-t")
    return part("weights", "No file is given.", [begun])


def _tuning_part(training: Training, path: Path) -> Part:
    config, checkpoint = training.config, open_checkpoint(path)
    diff = compare(checkpoint, config)
    findings = list(judge(diff, total_steps=training.total_steps).findings)
    findings += _door_findings(training, checkpoint)
    sentence, figures = _loaded(checkpoint, config)
    if not any(finding.level == FAILURE for finding in findings):
        report = check_input(
            checkpoint, training.source, config=config, probe=_has_labels(training)
        )
        findings += report.verdict.findings
        if report.found is not None:
            sentence += f" It expects {report.found}."
    return part("weights", sentence, findings, figures)


def _has_labels(training: Training) -> bool:
    return training.source is not None and not training.source.train.missing


def _loaded(checkpoint: Checkpoint, config: Config) -> tuple[str, list[Figure]]:
    """How many of the model's tensors the file fills, as it is; and each official door."""
    shapes = {key: info.shape for key, info in model_keys(config).items()}
    try:
        loaded = len(match_tuning_file(checkpoint, shapes)[2].loaded)
    except UserError:
        loaded = 0
    figures = [Figure("tensors loaded", loaded, f"{loaded:,} of {len(shapes):,}")]
    name = checkpoint.path.name
    if not loaded:
        return f"{name} loads nothing.", [*figures, *_doors(checkpoint, config)]
    sentence = f"{name} fills {loaded:,} of the model's {len(shapes):,} tensors."
    return sentence, [*figures, *_doors(checkpoint, config)]


def _doors(checkpoint: Checkpoint, config: Config) -> list[Figure]:
    """What each door of the official code does with the file."""
    doors = doors_of(checkpoint, config)
    return [
        Figure(f"official {door}", each.loaded, f"{each.loaded:,} of {doors.wanted[door]:,}",
               each.outcome)
        for door, each in doors.predictions.items()
    ]  # fmt: skip


def _door_findings(training: Training, checkpoint: Checkpoint) -> list[Finding]:
    """What -t does with the file as it is: here, and in the official code."""
    shapes = {key: info.shape for key, info in model_keys(training.config).items()}
    try:
        match_tuning_file(checkpoint, shapes)
    except UserError as error:
        return [Finding(FAILURE, str(error), "-t")]
    prediction = predict_official(checkpoint.path, training.config)
    if prediction.match is not None:
        return []
    first = str(prediction).splitlines()[0]
    return [
        Finding(
            FAILURE if training.official else NOTE,
            f"The official -t stops at this file: {first}.",
            "-t",
            "It reads files of torch.save alone.",
            "Write a .pth for it: `rtdetr-nb convert --input FILE --output tuning.pth`.",
        )
    ]


def _resume_part(training: Training, path: Path) -> Part:
    checkpoint = open_checkpoint(path)
    tree = checkpoint.tree
    if not isinstance(tree, Mapping) or any(key not in tree for key in _NEEDED):
        return part("weights", f"{path.name} is no checkpoint to resume from.", [_no_state(tree)])
    shapes = {key: info.shape for key, info in model_keys(training.config).items()}
    params = tree["model"] if isinstance(tree["model"], Mapping) else {}
    match = match_officially(shapes, params)
    findings = _resume_findings(match, path)
    if not findings:
        findings = _what_is_left(training, resumed_epochs(checkpoint) or 0)
    loaded = f"{len(match.loaded):,} of {len(shapes):,}"
    figures = [Figure("tensors loaded", len(match.loaded), loaded)]
    figures += _doors(checkpoint, training.config)
    done = resumed_epochs(checkpoint)
    sentence = f"{path.name} goes on after {counted(done or 0, 'epoch')}."
    return part("weights", sentence, findings, figures)


def _no_state(tree: object) -> Finding:
    missing = [key for key in _NEEDED if not isinstance(tree, Mapping) or key not in tree]
    return Finding(
        FAILURE,
        f"The file holds no {', '.join(missing)}, so no run can be resumed from it.",
        "-r",
        "The official code would go on in silence with random weights where `model` is missing.",
        "Give a run's last.pth, or its weights as a tuning file (-t).",
    )


def _resume_findings(match: OfficialMatch, path: Path) -> list[Finding]:
    """The checkpoint is of another model."""
    lists = {
        "lacks": match.missed,
        "has in another shape": match.unmatched,
        "has too many": match.unused,
    }
    odd = [f"{word} {len(keys):,} ({first_of(keys, 2)})" for word, keys in lists.items() if keys]
    if not odd:
        return []
    return [
        Finding(
            FAILURE,
            f"The checkpoint is of another model than the configuration builds: it "
            f"{', '.join(odd)}.",
            "-r",
            "Resuming needs each tensor of the model, and no other.",
            f"Give the configuration that the run began with; mostly {path.parent / 'config.yml'}.",
        )
    ]


def _what_is_left(training: Training, done: int) -> list[Finding]:
    if done < training.config.epoches:
        return []
    return [
        Finding(
            FAILURE,
            f"The checkpoint has {counted(done, 'epoch')}, and the training ends after "
            f"{training.config.epoches}.",
            "epoches",
            "There is nothing left to train.",
            "Set epoches to more than that.",
        )
    ]


def resumed_epochs(checkpoint: Checkpoint) -> int | None:
    """Whole epochs behind a checkpoint to resume from; None where it does not say."""
    tree = checkpoint.tree
    last = tree.get("last_epoch") if isinstance(tree, Mapping) else None
    return last + 1 if isinstance(last, int) else None


def resumed_steps(checkpoint: Checkpoint) -> int | None:
    """Steps behind a checkpoint of this kit; None for one of the official code."""
    tree = checkpoint.tree
    own = tree.get("rtdetr_nb") if isinstance(tree, Mapping) else None
    step = own.get("step") if isinstance(own, Mapping) else None
    return step if isinstance(step, int) else None
