"""A run that is there already is found again; the rest is in the tests of the run settings."""

import json
import logging
from pathlib import Path

import pytest

from rtdetr_nb.config.load import load_config
from rtdetr_nb.runs import find_or_start as ensure
from rtdetr_nb.runs.run import Run


def test_a_full_disk_does_not_hide_a_run_that_has_been_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def start(*_: object, **__: object) -> Run:
        (tmp_path / "run.json").write_text(json.dumps({"status": "starting", "pid": 1}))
        (tmp_path / "request.json").mkdir()  # nothing can be written there
        return Run(tmp_path)

    monkeypatch.setattr(ensure, "start_run", start)
    with caplog.at_level(logging.WARNING):
        run = ensure.ensure_run(load_config("quick_run"), output_dir=tmp_path)
    assert run == Run(tmp_path)
    assert "request.json cannot be written" in caplog.text and "attach_run" in caplog.text
