"""The button looks beside the kernel and shows what it found; a mistake is a sentence."""

from threading import Event

import pytest

from rtdetr_nb.diagnostics.preflight.part import Part
from rtdetr_nb.diagnostics.preflight.report import PreflightReport
from rtdetr_nb.errors import RunError
from rtdetr_nb.text.findings import FAILURE, Finding
from rtdetr_nb.ui.panel.look_button import LOOKS, Look, LookButton
from rtdetr_nb.ui.panel.run_panel import run_panel
from rtdetr_nb.ui.panel.run_settings import RunSettings
from tests.paths import DATA
from tests.ui.fake_page import wait_until

SOUND = PreflightReport("quick_run", (Part("disk", "There is room."),))
FAULTY = PreflightReport("quick_run", (Part("disk", "", (Finding(FAILURE, "It is full."),)),))


def asking(look) -> Look:
    return Look("Preflight", "Can it start?", "It is looked at.", look)


@pytest.mark.parametrize(("report", "words"), [(SOUND, "Go."), (FAULTY, "1 reason stands")])
def test_a_click_looks_and_shows(monkeypatch, report, words):
    asked, ends = [], Event()

    def look(settings):
        asked.append(settings)
        ends.wait(10)
        return report

    button = LookButton(asking(look), lambda: RunSettings(steps=7))
    button.button.click()
    assert button.button.disabled and "looked at" in button.page.value
    button.start()  # one look at a time
    ends.set()
    wait_until(lambda: not button.button.disabled)
    assert [settings.steps for settings in asked] == [7] and button.report == report
    assert words in button.page.value and ("<details open>" in button.page.value) != report.go


def test_a_mistake_is_a_sentence(monkeypatch):
    def refuse(_settings):
        raise RunError("There is no data set <b>.")

    button = LookButton(asking(refuse), RunSettings)
    button.start()
    wait_until(lambda: not button.button.disabled)
    assert 'role="alert"' in button.page.value and "&lt;b&gt;" in button.page.value


def test_the_panel_has_a_button_for_each_look(tmp_path):
    panel = run_panel(output=str(tmp_path / "run"), data=str(DATA / "shapes"), steps=9)
    assert list(panel.looks) == ["Preflight", "Features", "Overfit", "Seeds 0, 1, 2"]
    methods = [what.look for what in LOOKS]
    assert methods == [
        RunSettings.preflight,
        RunSettings.probe_detection,
        RunSettings.overfit,
        RunSettings.compare_seeds,
    ]
    seeds = panel.looks["Seeds 0, 1, 2"]
    seeds.button.click()
    wait_until(lambda: not seeds.button.disabled)
    assert "There is no tuning file to compare" in seeds.page.value
    panel.close()


def test_settings_are_looked_at_as_the_run_that_they_start(tmp_path, monkeypatch):
    asked = {}

    def look(config, tuning, **options):
        asked.update(config=config, tuning=tuning, **options)
        return SOUND

    monkeypatch.setattr("rtdetr_nb.diagnostics.preflight.preflight.preflight", look)
    settings = RunSettings(data=str(DATA / "shapes"), output=str(tmp_path / "run"), steps=9)
    assert settings.preflight() is SOUND
    assert (asked["tuning"], asked["max_steps"]) == (None, 9)
    assert asked["output_dir"] == settings.output
    assert asked["config"].yaml == settings.config().yaml
