"""Runs of the official code that look like ours: the same folder, records and handle.

A small process (`official_supervisor`) starts the official `tools/train.py`, reads what it prints
and writes `run.json`, `metrics.jsonl` and `train.log`. Nothing in the checkout is changed.

The official code has no graceful stop: `run.stop()` ends it where it is, and what was trained since
the end of the last epoch is lost.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rtdetr_nb.checkpoint.findings import Finding, Verdict
from rtdetr_nb.config import Config, load_config
from rtdetr_nb.errors import RunError
from rtdetr_nb.official_command import OfficialCheckout, open_official
from rtdetr_nb.official_log import read_official_log
from rtdetr_nb.training.history import events
from rtdetr_nb.training.run import Run, launch, preparing
from rtdetr_nb.training.run_folder import CONFIG_FILE, RUN_FILE, STOP_FILE, RunFolder

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
    settings = [f"{name}={value}" for name, value in flags.items() if value is not None]
    run = Run(RunFolder(folder).path)
    with preparing(run):
        for name in (RUN_FILE, STOP_FILE):
            (folder / name).unlink(missing_ok=True)
        if isinstance(config, Config):
            effective = _with_absolute_data(config.override([*overrides, *settings]), Path.cwd())
            source, said = folder / CONFIG_FILE, ()
        else:
            source, said = checkout.find_config(config), overrides
            loaded = load_config(source, [*overrides, *settings])
            effective = _with_absolute_data(loaded, checkout.folder)
        (folder / CONFIG_FILE).write_text(effective.to_yaml(), encoding="utf-8")
        command = checkout.command(
            source,
            tuning=tuning,
            resume=resume,
            output_dir=folder,
            device=effective.device,
            seed=effective.seed,
            use_amp=use_amp,
            test_only=test_only,
            processes=processes,
            master_port=master_port,
            overrides=said,
            python=python,
        )
        facts = {"-t": tuning, "-r": resume, "--processes": processes}
        options = [word for flag, value in facts.items() if value for word in (flag, str(value))]
        supervisor = [sys.executable, "-m", "rtdetr_nb.official_supervisor", str(folder)]
        supervisor += ["--checkout", str(checkout.folder), *options, "--", *command.words]
        launch(supervisor, folder)
    return run


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
    folder.begin(resumed=False, imported_from=str(source.absolute()))
    for record in records:
        folder.append(record)
    folder.update(status="finished")
    return Run(target)


def _with_absolute_data(config: Config, base: Path) -> Config:
    """The same configuration for a process that starts elsewhere."""
    overrides = []
    for loader in ("train_dataloader", "val_dataloader"):
        dataset = config.yaml.get(loader, {}).get("dataset", {})
        overrides += [
            f"{loader}.dataset.{name}={base / Path(dataset[name]).expanduser()}"
            for name in ("img_folder", "ann_file")
            if name in dataset
        ]
    return config.override(overrides)
