"""The demo from end to end, small."""

import io
import os
import re
import signal
import time
from pathlib import Path

import pytest
from rich.console import Console

import rtdetr_nb as rt
from rtdetr_nb.cli.main import main
from rtdetr_nb.demo.run_demo import LABELS, DemoSettings, run_demo
from rtdetr_nb.errors import RunError
from tests.paths import DATA

CHECKPOINT = DATA / "demo_backbone_mmdet.pth"


@pytest.mark.slow
def test_the_demo_does_the_whole_job(shapes_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "demo"
    settings = DemoSettings(CHECKPOINT, shapes_folder, output, steps=2, image_size=96)
    terminal = io.StringIO()
    report = run_demo(settings, Console(file=terminal, width=120))

    said = terminal.getvalue()
    assert "400 of 400 selected tensors are bit-equal in the model" in said
    assert str(report) in said.replace("\n", "")
    for name in LABELS:
        run = rt.attach_run(output / name)
        assert run.status == "finished" and len(run.history) == 2
    page = report.read_text(encoding="utf-8")
    assert len(re.findall(r'<img [^>]*src="data:image/png;base64,', page)) == 4
    assert "A detector on frozen features" in page
    assert not re.search(r'(src|href)="http', page), "the report must open offline"
    assert rt.open_checkpoint(output / "tuning.pth").candidates[0].variant == "L"


def test_a_folder_with_anything_else_in_it_is_not_replaced(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("years of work")
    (tmp_path / "tuning.pth").write_text("mine")
    with pytest.raises(RunError, match=r"files that no demo has written \(thesis.tex\)"):
        run_demo(DemoSettings(CHECKPOINT, tmp_path, tmp_path), Console(file=io.StringIO()))
    assert thesis.read_text() == "years of work"
    assert (tmp_path / "tuning.pth").read_text() == "mine"


def test_a_demo_that_is_ended_stops_its_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal has to unwind the demo, which stops the run that it waits for."""
    unwound = []

    def run_demo(_settings: DemoSettings, _console: Console) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            unwound.append(True)

    monkeypatch.setattr("rtdetr_nb.demo.run_demo.run_demo", run_demo)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--output", str(tmp_path / "demo")])
    assert ended.value.code == 143 and unwound
    assert signal.getsignal(signal.SIGTERM) == before
