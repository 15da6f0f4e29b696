"""What is found in a corpus of broken backbones, and that sound ones raise no alarm."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from rtdetr_nb.diagnostics.input_format.check_input import check_input
from rtdetr_nb.diagnostics.input_format.input_report import InputReport
from tests.diagnostics.input_format.corpus import BROKEN, NORMALISED, NOT_FOUND, SOUND, Case, State

pytestmark = pytest.mark.slow


def check(
    case: Case, own: State, foreign: State, kinds: Mapping[str, list[Path]], folder: Path
) -> InputReport:
    """Save the case as a distillation trainer would, and check it as a user would."""
    path = folder / "backbone.pth"
    torch.save({"meta": {"epoch": 3}, "state_dict": case.build(own, foreign)}, path)
    return check_input(path, kinds[case.pictures], image_size=192, pictures=12, device="cpu")


@pytest.mark.parametrize("case", SOUND, ids=lambda case: case.what)
def test_sound_backbones_raise_no_alarm(case, own, foreign, kinds, tmp_path):
    report = check(case, own, foreign, kinds, tmp_path)
    assert report.verdict == "ok", report.verdict.text()
    assert report.layers["fits"].all()
    assert len(report.layers) == 80
    assert (report.found.name if report.found else None) == case.format
    # The margin, both figures: half of what makes an alarm.
    assert report.layers["divergence"][1:].max() < 0.15
    assert report.layers["divergence"].median() < 0.03


@pytest.mark.parametrize("case", NORMALISED, ids=lambda case: case.what)
def test_other_input_formats_are_found(case, own, foreign, kinds, tmp_path):
    report = check(case, own, foreign, kinds, tmp_path)
    assert report.found is not None and report.found.name == case.format
    assert report.verdict == "warnings"
    assert "other pictures than RT-DETRv2 feeds" in report.verdict.warnings[0].what
    assert report.layers["fits"].all()


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.what)
def test_broken_backbones_are_found_where_they_break(case, own, foreign, kinds, tmp_path):
    report = check(case, own, foreign, kinds, tmp_path)
    worst = [f for f in report.findings if f.level in ("warning", "failure")]
    assert [f.where for f in worst] == [case.first], report.verdict.text()
    assert case.cause in worst[0].why
    assert (report.found.name if report.found else None) == case.format


@pytest.mark.parametrize("case", NOT_FOUND, ids=lambda case: case.what)
def test_what_is_not_found_is_known(case, own, foreign, kinds, tmp_path):
    """When one of these is found after all, the page on what is found has to say so."""
    assert check(case, own, foreign, kinds, tmp_path).verdict == "ok"
