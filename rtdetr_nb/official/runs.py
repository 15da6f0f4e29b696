"""Runs of the official code that look like ours: the same folder, records and handle.

A small process (`rtdetr_nb.official.supervisor`) starts the official `tools/train.py`, reads its
output and writes `run.json`, `metrics.jsonl` and `train.log`. The checkout stays as it is.

The official code has no graceful stop: `run.stop()` ends it where it is, and the training since the
end of the last epoch is lost.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import ConfigError, RunError
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
from rtdetr_nb.text.findings import Finding, Verdict

__all__ = ["import_official_log", "official_verdict", "open_official", "start_official_run"]


def start_official_run(
    checkout: OfficialCheckout | str | os.PathLike[str],
    config: Config | str | os.PathLike[str],
    *,
    output_dir: str | os.PathLike[str],
    options: OfficialOptions | None = None,
    **changes: Any,
) -> Run:
    """Start the official code as a process and return at once.

    The official log tells the losses every `print_freq` steps only: override it for a short run.

    Args:
        checkout: the official code, or where it is.
        config: a `Config`, whose relative data paths start here; or a name as `load_config` takes
            it, such as "rtdetrv2_hgnetv2_l", one of the checkout's own configurations, or the path
            of any other, whose relative data paths start in the checkout.
        output_dir: folder of the run.
        options: see `OfficialOptions`. The seed is that of the configuration by default (which the
            official code ignores), the interpreter the one that runs here.
        changes: single options by name: `tuning`, `resume`, `device`, `seed`, `use_amp`,
            `processes`, `overrides`, ...

    Raises:
        RunError: a file is missing, the options contradict each other, or a run lives in the
            folder.
        ConfigError: the configuration or an override is not known. (The official code passes over
            keys that it does not know.)
    """
    if not isinstance(checkout, OfficialCheckout):
        checkout = open_official(checkout)
    given = (options or OfficialOptions()).changed(changes)
    folder = Path(output_dir).expanduser().absolute()
    source, effective = _effective(checkout, config, given)
    _check_data(effective)
    complete = replace(
        given,
        output_dir=folder,
        device=effective.device,
        seed=effective.seed,
        # Those of a `Config` are in the file that is written for it.
        overrides=given.overrides if source else (),
        python=given.python or sys.executable,
    )
    command = checkout.command_for(source or folder / CONFIG_FILE, complete)
    return launch_in(folder, effective, _supervisor(checkout, folder, complete, command))


def _effective(
    checkout: OfficialCheckout, config: Config | str | os.PathLike[str], options: OfficialOptions
) -> tuple[Path | None, Config]:
    """Return the file that the official code reads, if it exists yet, and the whole settings."""
    flags = {"device": options.device, "seed": options.seed, "use_amp": options.use_amp or None}
    settings = {name: value for name, value in flags.items() if value is not None}
    if isinstance(config, Config):
        own = config.override(options.overrides).with_values(settings)
        return None, _with_absolute_data(own, Path.cwd())
    try:
        source = checkout.find_config(config)
    except RunError as missing:
        try:  # a name that only we have
            return _effective(checkout, load_config(config), options)
        except ConfigError:
            raise missing from None
    loaded = load_config(source, options.overrides).with_values(settings)
    return source, _with_absolute_data(loaded, checkout.folder)


def _check_data(config: Config) -> None:
    """Refuse a data set that only this kit reads.

    Raises:
        RunError: the configuration names one.
    """
    if config.data is not None:
        raise RunError(
            f"The official code does not know the key data ({config.data}). Write the data set "
            "as it reads it, `data = rt.open_data(...).write_coco(FOLDER)`, and set what "
            "`data.updates` says."
        )


def _supervisor(
    checkout: OfficialCheckout, folder: Path, options: OfficialOptions, command: OfficialCommand
) -> list[str]:
    """Return the command of the process that starts the official one."""
    facts = {"-t": options.tuning, "-r": options.resume, "--processes": options.processes}
    words = [word for flag, value in facts.items() if value for word in (flag, str(value))]
    start = [sys.executable, "-m", "rtdetr_nb.official.supervisor", str(folder)]
    return [*start, "--checkout", str(checkout.folder), *words, "--", *command.words]


def official_verdict(run: Run) -> Verdict:
    """Return how the official code loaded the tuning file of a run, beside what was predicted.

    "failed" if nothing was loaded or each process trains alone, "warnings" if the log differs from
    the prediction; "ok" also while the log says nothing yet.
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
    """Make a run from the log of an official training that was started elsewhere.

    Args:
        log: what `tools/train.py` printed, or the `log.txt` of its output folder.
        output_dir: a new folder for the records.
        steps_per_epoch: for `log.txt`, which does not say it; without it `step` counts epochs.

    Raises:
        RunError: the file is not an official log, or there is a run in the folder.
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
    """Return the same configuration for a process that starts in another folder."""
    paths = {}
    for loader in ("train_dataloader", "val_dataloader"):
        dataset = config.yaml.get(loader, {}).get("dataset", {})
        paths |= {
            f"{loader}.dataset.{name}": str(base / Path(dataset[name]).expanduser())
            for name in ("img_folder", "ann_file")
            if name in dataset
        }
    return config.with_values(paths)
