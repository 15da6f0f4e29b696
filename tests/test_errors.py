"""A mistake of a user is a sentence, in a cell too; a failure of ours keeps its traceback."""

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

CELL = "import rtdetr_nb as rt; {}"


def shown_by(line: str) -> str:
    shell = InteractiveShell.instance()
    with capture_output() as captured:
        shell.run_cell(CELL.format(line))
    return captured.stdout + captured.stderr


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("rt.open_checkpoint('nowhere.pth')", "CheckpointError: nowhere.pth"),
        ("rt.load_config('rtdetr_x')", "ConfigError: There is no configuration 'rtdetr_x'"),
        ("rt.attach_run('nowhere')", "RunError: "),
    ],
)
def test_a_mistake_in_a_cell_is_its_sentence(line, sentence):
    shown = shown_by(line)
    assert sentence in shown
    assert "Traceback" not in shown and len(shown.strip().splitlines()) == 1


def test_a_failure_of_ours_keeps_its_traceback():
    assert "Traceback" in shown_by("rt.open_checkpoint(0.5)")
