"""Runs of the official code that look like ours: the same folder, records and handle.

A small process (`official_supervisor`) starts the official `tools/train.py`, reads what it prints
and writes `run.json`, `metrics.jsonl` and `train.log`. Nothing in the checkout is changed.

The official code has no graceful stop: `run.stop()` ends it where it is, and what was trained since
the end of the last epoch is lost.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rtdetr_nb.checkpoint.comparison.findings import Finding, Verdict
from rtdetr_nb.config.load import Config, load_config
from rtdetr_nb.errors import RunError
from rtdetr_nb.official.command import (
    OfficialCheckout,
    OfficialCommand,
    OfficialOptions,
    open_official,
)
from rtdetr_nb.official.log import read_official_log
from rtdetr_nb.runs.file_names import CONFIG_FILE, RUN_FILE
from rtdetr_nb.runs.folder import RunFolder
from rtdetr_nb.runs.records import events
from rtdetr_nb.runs.run import Run, launch_in

__all__ = ["import_official_log", "official_verdict", "open_official", "start_official_run"]


def start_official_run(
    checkout: OfficialCheckout | str | os.PathLike[str],
    config: Config | str | os.PathLike[str],
    *,
    output_dir: str | os.PathLike[str],
    tuning: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    device: str | None = None,
    seed: int | None = None,
    use_amp: bool = False,
    test_only: bool = False,
    processes: int = 1,
    master_port: int | None = None,
    overrides: Sequence[str] = (),
    python: str = sys.executable,
) -> Run:
    """Start the official code in a process of its own and return at once.

    The official log tells the losses every `print_freq` steps only: override it for a short run.

    Args:
        checkout: the official code, or where it is.
        config: a `Config`, whose relative data paths start here; or one of the checkout's own
            configurations or the path of any other, whose relative data paths start in the
            checkout.
        output_dir: folder of the run.
        tuning: tuning file to start from.
        resume: checkpoint to go on from.
        device: such as "cpu".
        seed: of the run; by default that of the configuration, which the official code ignores.
        use_amp: train in mixed precision, if the configuration does not say so.
        test_only: evaluate, no training.
        processes: above 1, torchrun starts so many, one for each GPU.
        master_port: of torchrun.
        overrides: `section.key=value` assignments.
        python: interpreter that has what the official code needs.

    Raises:
        RunError: a file is missing, the options contradict each other, or a run lives in the
            folder.
        ConfigError: the configuration or an override is not known. (The official code passes over
            keys that it does not know.)
    """
    if not isinstance(checkout, OfficialCheckout):
        checkout = open_official(checkout)
    folder = Path(output_dir).expanduser().absolute()
    flags = {"device": device, "seed": seed, "use_amp": use_amp or None}
    settings = {name: value for name, value in flags.items() if value is not None}
    source, effective = _effective(checkout, config, overrides, settings)
    options = OfficialOptions(
        tuning=tuning,
        resume=resume,
        output_dir=folder,
        device=effective.device,
        seed=effective.seed,
        use_amp=use_amp,
        test_only=test_only,
        processes=processes,
        master_port=master_port,
        # Those of a `Config` are in the file that is written for it.
        overrides=overrides if source else (),
        python=python,
    )
    command = checkout.command_with(source or folder / CONFIG_FILE, options)
    return launch_in(folder, effective, _supervisor(checkout, folder, options, command))


def _effective(
    checkout: OfficialCheckout,
    config: Config | str | os.PathLike[str],
    overrides: Sequence[str],
    settings: Mapping[str, object],
) -> tuple[Path | None, Config]:
    """The file that the official code reads, if there is one, and what it amounts to."""
    if isinstance(config, Config):
        own = config.override(overrides).with_values(settings)
        return None, _with_absolute_data(own, Path.cwd())
    source = checkout.find_config(config)
    loaded = load_config(source, overrides).with_values(settings)
    return source, _with_absolute_data(loaded, checkout.folder)


def _supervisor(
    checkout: OfficialCheckout, folder: Path, options: OfficialOptions, command: OfficialCommand
) -> list[str]:
    """The command of the process that starts the official one."""
    facts = {"-t": options.tuning, "-r": options.resume, "--processes": options.processes}
    words = [word for flag, value in facts.items() if value for word in (flag, str(value))]
    start = [sys.executable, "-m", "rtdetr_nb.official.supervisor", str(folder)]
    return [*start, "--checkout", str(checkout.folder), *words, "--", *command.words]


def official_verdict(run: Run) -> Verdict:
    """How the official code loaded the tuning file of a run, beside what was predicted.

    "failed" where nothing was loaded or the processes train each by itself, "warnings" where the
    log says something else than the prediction; "ok" too while the log says nothing yet.
    """
    names = ("level", "what", "where", "why", "action")
    found = events(run.records, "finding")
    return Verdict(Finding(**{name: record.get(name, "") for name in names}) for record in found)


def import_official_log(
    log: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    steps_per_epoch: int | None = None,
) -> Run:
    """Make a run of the log of an official training that was started elsewhere.

    Args:
        log: what `tools/train.py` printed, or the `log.txt` of its output folder.
        output_dir: a new folder for the records.
        steps_per_epoch: for `log.txt`, which does not say it; without it `step` counts epochs.

    Raises:
        RunError: the log is none, or there is a run in the folder.
    """
    source, target = Path(log).expanduser(), Path(output_dir).expanduser()
    if (target / RUN_FILE).exists():
        raise RunError(
            f"There is a run in {target}. Give a new folder for the records of {source}."
        )
    records = read_official_log(source, steps_per_epoch=steps_per_epoch)
    folder = RunFolder(target)
    folder.claim_and_record(resumed=False, imported_from=str(source.absolute()))
    for record in records:
        folder.append(record)
    folder.end("finished")
    return Run(target)


def _with_absolute_data(config: Config, base: Path) -> Config:
    """The same configuration for a process that starts elsewhere."""
    paths = {}
    for loader in ("train_dataloader", "val_dataloader"):
        dataset = config.yaml.get(loader, {}).get("dataset", {})
        paths |= {
            f"{loader}.dataset.{name}": str(base / Path(dataset[name]).expanduser())
            for name in ("img_folder", "ann_file")
            if name in dataset
        }
    return config.with_values(paths)
