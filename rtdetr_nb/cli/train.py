"""`rtdetr-nb train`: trains in the folder of a run, or evaluates weights."""

import argparse
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtdetr_nb.cli.log import logging_to
from rtdetr_nb.cli.progress import figure
from rtdetr_nb.cli.recording import train_and_record
from rtdetr_nb.cli.thread_waiting import let_waiting_threads_sleep
from rtdetr_nb.errors import RunError, UserError
from rtdetr_nb.files.json_file import to_json
from rtdetr_nb.runs.file_names import (
    CONFIG_FILE,
    CURVES_FILE,
    EVALUATION_FILE,
    LOG_FILE,
    RUN_FILE,
)

if TYPE_CHECKING:
    from rtdetr_nb.config.config import Config
    from rtdetr_nb.runs.folder import RunFolder
    from rtdetr_nb.training.assembly import TrainingOptions
    from rtdetr_nb.training.distributed import Processes

logger = logging.getLogger(__name__)


def add_command(commands: Any) -> None:
    """Add `train` to the sub-commands of a parser."""
    parser = commands.add_parser(
        "train",
        help="train or evaluate, with the flags of the official tools/train.py",
        description="Train RT-DETRv2 or evaluate it; flags as in the official tools/train.py.",
    )
    parser.add_argument(
        "-c", "--config", required=True, help="a YAML file, or the name of a shipped configuration"
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument("-t", "--tuning", type=Path, metavar="FILE", help="weights to start from")
    start.add_argument("-r", "--resume", type=Path, metavar="FILE", help="checkpoint to go on from")
    parser.add_argument("-d", "--device", help="cpu, cuda or cuda:N (a GPU if there is one)")
    parser.add_argument("--seed", type=int, help="two runs with one seed on one CPU are the same")
    parser.add_argument("--use-amp", action="store_true", help="automatic mixed precision")
    parser.add_argument(
        "--test-only", action="store_true", help="evaluate the weights, no training"
    )
    parser.add_argument(
        "--output-dir", metavar="DIR", help="folder of the run; with -r, that of its checkpoint"
    )
    parser.add_argument("--summary-dir", metavar="DIR", help="also write TensorBoard events there")
    parser.add_argument(
        "-u", "--update", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="change the configuration, for example -u HGNetv2.freeze_at=-1",
    )  # fmt: skip
    parser.add_argument(
        "--max-steps", type=_positive, metavar="N", help="stop after N optimizer updates"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train or evaluate as the options say, alone or as one of torchrun's processes."""
    from rtdetr_nb.config.load import load_config

    let_waiting_threads_sleep()
    try:
        _check_weights(options)
        config = _with_data(load_config(options.config, options.update), options.update)
        config = config.with_values(_flags(options))
    except UserError as error:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            raise
        return error.exit_code  # the machine's first process tells it
    from rtdetr_nb.training.distributed import join_processes

    with join_processes(config.device) as processes:
        try:
            code = (_test_only if options.test_only else _train)(config, options, processes)
        except UserError as error:
            if processes.is_first or error is not processes.agreed_error:
                raise
            code = error.exit_code
        processes.failed = code != 0
        return code


def _with_data(config: "Config", updates: list[str]) -> "Config":
    """The configuration with the keys of the data set that `data` names; `-u` wins over those."""
    from rtdetr_nb.datasets.configured import with_data_settings

    if config.data is None:
        return config
    others = [update for update in updates if update.partition("=")[0].strip() != "data"]
    return with_data_settings(config).override(others)


def _check_weights(options: argparse.Namespace) -> None:
    """Refuse a path that leads nowhere before the run folder is touched."""
    for verb, path in (("start", options.tuning), ("resume", options.resume)):
        if path is not None and not path.exists():
            raise RunError(f"There is no file {path} to {verb} from.")


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    """What flags say in the configuration's terms. They win over -u, as in the official code."""
    names = ("device", "seed", "output_dir", "summary_dir")
    flags = {name: getattr(options, name) for name in names}
    if not any(update.startswith("output_dir=") for update in options.update):
        flags["output_dir"] = flags["output_dir"] or _folder_of_resumed_run(options)
    given = {name: value for name, value in flags.items() if value is not None}
    return given | ({"use_amp": True} if options.use_amp else {})


def _folder_of_resumed_run(options: argparse.Namespace) -> str | None:
    """Return the folder of the resumed run; None for a checkpoint without a run beside it."""
    folder = options.resume.parent if options.resume is not None else None
    return str(folder) if folder is not None and (folder / RUN_FILE).is_file() else None


def _train(config: "Config", options: argparse.Namespace, processes: "Processes") -> int:
    """Lock the run folder in the first process, then train in all of them."""
    from rtdetr_nb.runs.folder import RunFolder
    from rtdetr_nb.runs.stop_request import StopRequest
    from rtdetr_nb.training.distributed import is_launched

    path = _output_folder(config)
    folder, note = None, ""
    # Before the run is described: "running" in `run.json` invites a signal to stop it.
    with StopRequest(second_signal_ends=not is_launched()) as stop:
        with processes.failing_together():
            if processes.is_first:
                folder = RunFolder(path)
                note = folder.claim(
                    resumed=folder.holds(options.resume),
                    config=_config_text(config, options, folder),
                    tuning=options.tuning and str(options.tuning),
                    resume=options.resume and str(options.resume),
                    max_steps=options.max_steps,
                )
        if folder is None:
            with logging_to(None):
                return _train_silently(config, _training_options(path, options, stop, processes))
        stop.also_asked = folder.stop_requested
        with logging_to(folder.path / LOG_FILE):
            if note:
                logger.warning(note)
            return train_and_record(
                config, _training_options(path, options, stop, processes), folder
            )


def _config_text(config: "Config", options: argparse.Namespace, folder: "RunFolder") -> str:
    """Return the text for the run's `config.yml`: unchanged if that file is what was given."""

    own = folder.path / CONFIG_FILE
    is_given = Path(options.config).resolve() == own.resolve() and own.is_file()
    if is_given and not options.update and not _flags(options).keys() - {"output_dir"}:
        return own.read_text(encoding="utf-8")
    return config.to_yaml()


def _output_folder(config: "Config") -> Path:
    return Path(config.output_dir or "output")


def _training_options(
    folder: Path,
    options: argparse.Namespace,
    stop: "Callable[[], bool]",
    processes: "Processes",
) -> "TrainingOptions":
    """Return the options of the training loop."""
    from rtdetr_nb.training.assembly import TrainingOptions

    return TrainingOptions(
        output_dir=folder,
        tuning=options.tuning,
        resume=options.resume,
        max_steps=options.max_steps,
        stop_requested=stop,
        processes=processes,
    )


def _train_silently(config: "Config", options: "TrainingOptions") -> int:
    """Train in a process other than the first, which writes the records of all."""
    from rtdetr_nb.training.loop import train

    for _ in train(config, options):
        pass
    return 0


def _test_only(config: "Config", options: argparse.Namespace, processes: "Processes") -> int:
    """Evaluate, and show and write the figures."""
    from rtdetr_nb.runs.folder import RunFolder
    from rtdetr_nb.training.evaluate import evaluate_weights

    with processes.failing_together():
        if not (options.tuning or options.resume):
            raise RunError("--test-only needs weights: give them with -t or -r.")
        folder = RunFolder(_output_folder(config)) if processes.is_first else None
    with logging_to(folder and folder.path / LOG_FILE):
        result = evaluate_weights(
            config, tuning=options.tuning, resume=options.resume, processes=processes
        )
    if not processes.is_first:
        return 0
    weights = {"weights": str(options.tuning or options.resume)}
    curves = {"precision_recall": result.precision_recall.record}
    _write_evaluation({**weights, **result.figures, **curves}, _output_folder(config))
    for name, value in result.statistics.items():
        print(f"{name:<10} {figure(value)}")
    print(f"{result.num_images} images")
    for name, value in result.per_class.items():
        print(f"AP {name:<20} {figure(value)}")
    return 0


def _write_evaluation(evaluation: dict[str, Any], folder: Path) -> None:
    """The figures as `evaluation.json`, and their curves as a picture beside it."""
    from rtdetr_nb.ui.figures.base import to_png
    from rtdetr_nb.ui.figures.precision_recall import precision_recall_figure

    figures, curves = folder / EVALUATION_FILE, folder / CURVES_FILE
    try:
        figures.write_text(to_json(evaluation, indent=1) + "\n", encoding="utf-8")
        curves.write_bytes(to_png(precision_recall_figure(evaluation)))
    except OSError as error:
        raise RunError(
            f"The evaluation cannot be written to {folder} ({error.strerror}). Make room, or give "
            "another folder with --output-dir."
        ) from error
    print(f"written {figures} and {curves}")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value
