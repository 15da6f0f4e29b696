"""The process beside an official training: reads what it prints and writes the run folder.

`python -m rtdetr_nb.official.supervisor FOLDER --checkout DIR [...] -- COMMAND`, started by
`start_official_run`. It lives as long as the training, and its end ends the training.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from rtdetr_nb.checkpoint.official_loader.prediction import OfficialPrediction, predict_official
from rtdetr_nb.config.load import load_config
from rtdetr_nb.official.load_check import check_load
from rtdetr_nb.official.log import OfficialLogReader
from rtdetr_nb.runs.file_names import CONFIG_FILE, LAST_FILE, LOG_FILE
from rtdetr_nb.runs.folder import RunFolder, start_facts
from rtdetr_nb.runs.records import Record, TuningRecord, as_record
from rtdetr_nb.text.findings import NOTE

# Time to end after SIGTERM: torchrun gives its workers 30 seconds.
_PATIENCE_SECONDS = 40.0
_SECONDS_BETWEEN_LOOKS = 1.0  # for the stop file
_FIGURES = "medians of the last 20 steps, as the official log prints them"


def main(arguments: Sequence[str] | None = None) -> int:
    """Supervise one training; returns its exit status, or 0 if it was stopped."""
    parser = argparse.ArgumentParser(prog="rtdetr_nb.official.supervisor")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("-t", "--tuning", type=Path)
    parser.add_argument("-r", "--resume", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("command", nargs="+")
    return _Supervisor(parser.parse_args(arguments)).run()


class _Supervisor:
    """One training, from its start to its end."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._folder = RunFolder(options.folder)
        self._config = load_config(options.folder / CONFIG_FILE)
        self._reader = OfficialLogReader(
            epochs=self._config.epoches,
            processes=options.processes,
            facts={
                "seed": self._config.seed,
                "device": self._config.device,
                "precision": "mixed" if self._config.use_amp else "float32",
            },
        )
        self._process: subprocess.Popen[str] | None = None
        self._prediction: OfficialPrediction | None = None
        self._stopping = False

    def run(self) -> int:
        """Train to the end or until asked to stop; return the exit status."""
        # Before the run is described: "running" in `run.json` invites a signal to stop it.
        with self._stopped_by_signals():
            try:
                self._begin()
                return self._end_stopped() if self._stopping else self._train()
            except BaseException as error:
                self._folder.fail(str(error), type(error).__name__)
                raise

    def _begin(self) -> None:
        options, folder = self._options, self._folder
        folder.claim_and_record(
            resumed=folder.holds(options.resume),
            tuning=options.tuning and str(options.tuning),
            resume=options.resume and str(options.resume),
            official=str(options.checkout),
            official_command=options.command,
            figures=_FIGURES,
        )
        self._stopping = self._stopping or folder.stop_requested()
        if options.tuning:
            # Before the training begins: nothing is judged by a file that changed meanwhile.
            self._prediction = predict_official(options.tuning, self._config)

    def _train(self) -> int:
        command, folder = self._options.command, self._folder
        try:
            process = self._process = _start(command, self._options.checkout)
        except OSError as error:
            return self._fail("OSError", f"{command[0]} cannot be started: {error}.", 2)
        threading.Thread(target=_sweep, args=(process,), daemon=True).start()
        if self._stopping:
            self._end_process()
        ended = threading.Event()
        threading.Thread(target=self._obey_stop_file, args=(ended,), daemon=True).start()
        try:
            self._follow(process)
        except BaseException:
            _signal_group(process, signal.SIGKILL)  # nothing would record what it does
            raise
        finally:
            ended.set()
        status = process.wait()
        if self._stopping:
            return self._end_stopped()
        if status != 0:
            kind, message = self._reader.failure or ("Exit", f"It ended with exit status {status}.")
            return self._fail(kind, message, status)
        folder.append({"event": "end", "step": self._reader.step})
        folder.end("finished")
        return 0

    def _follow(self, process: "subprocess.Popen[str]") -> None:
        """Write the log and the records until the training closes its output."""
        assert process.stdout is not None
        with open(self._folder.path / LOG_FILE, "a", encoding="utf-8") as log:
            for line in process.stdout:
                log.write(line)
                log.flush()
                for record in self._reader.read(line):
                    self._write(record)

    def _write(self, record: Record) -> None:
        if "event" in record and record["event"] == "tuning" and self._prediction is not None:
            self._write_load(record, self._prediction)
            return
        self._folder.append(record)
        if "event" in record and record["event"] == "start":
            self._folder.note(**start_facts(record))

    def _write_load(self, record: TuningRecord, prediction: OfficialPrediction) -> None:
        """Write what was loaded, completed from the prediction, and how the two compare."""
        finding, match = check_load(record, prediction, self._config), prediction.match
        record["source"] = prediction.source
        record["loaded"] = len(match.loaded) if match and finding.level == NOTE else None
        record["unused"] = list(match.unused) if match else []
        self._folder.append(record)
        self._folder.append(as_record({"event": "finding", **asdict(finding)}))

    def _fail(self, kind: str, message: str, status: int) -> int:
        text = f"{kind}: {message}" if message else kind
        expected = self._prediction
        if expected is not None and expected.exception == kind:
            text += " (As predicted for this tuning file.)"
        self._folder.fail(text, kind)
        return status

    def _end_stopped(self) -> int:
        """Record that the training was ended in the middle, and which checkpoint it has left."""
        last = self._folder.path / LAST_FILE
        if not last.exists():
            left = "No epoch had ended, so there is no checkpoint."
        elif zipfile.is_zipfile(last):
            left = f"{LAST_FILE} is from the end of the last whole epoch."
        else:
            left = f"{LAST_FILE} was being written and is not whole; use an earlier checkpoint."
        message = f"The official code has no graceful stop: it was ended where it was. {left}"
        self._folder.append({"event": "stop", "step": self._reader.step, "message": message})
        self._folder.end("stopped", note=message)
        return 0

    @contextlib.contextmanager
    def _stopped_by_signals(self) -> Iterator[None]:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self._stopping = True
            self._end_process()

        numbers = (signal.SIGTERM, signal.SIGINT)
        previous = {number: signal.signal(number, stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _obey_stop_file(self, ended: threading.Event) -> None:
        """End the training when the file `stop` appears."""
        while not ended.wait(_SECONDS_BETWEEN_LOOKS):
            if self._folder.stop_requested():
                self._stopping = True
                self._end_process()
                return

    def _end_process(self) -> None:
        if self._process is None:
            return
        _signal_group(self._process, signal.SIGTERM)
        kill = (self._process, signal.SIGKILL)
        timer = threading.Timer(_PATIENCE_SECONDS, _signal_group, kill)
        timer.daemon = True
        timer.start()


def _start(command: Sequence[str], folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # So that its lines come one by one instead of by the kilobyte.
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )


def _sweep(process: "subprocess.Popen[str]") -> None:
    """Kill workers that outlive the training: they would keep its output open for ever."""
    process.wait()
    _signal_group(process, signal.SIGKILL)


def _signal_group(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


if __name__ == "__main__":
    sys.exit(main())
