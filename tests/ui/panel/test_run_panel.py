import re
from pathlib import Path

import pytest

from rtdetr_nb.errors import RunError
from rtdetr_nb.runs.file_names import LOG_FILE, RUN_FILE
from rtdetr_nb.runs.previous import PreviousRun
from rtdetr_nb.runs.record_file import RecordReader
from rtdetr_nb.runs.records import Record
from rtdetr_nb.ui import live_plot
from rtdetr_nb.ui.panel import stop_button
from rtdetr_nb.ui.panel.run_panel import run_panel
from rtdetr_nb.ui.panel.run_settings import RunSettings
from tests.ui.fake_page import open_widgets, plot_threads, wait_until
from tests.ui.fake_run import FakeRun


@pytest.fixture
def fake(tmp_path, monkeypatch) -> FakeRun:
    """The run that the panel will start; its process is this one."""
    fake = FakeRun(tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    stops = []
    monkeypatch.setattr("rtdetr_nb.runs.run.Run.stop", lambda run: stops.append(run.folder))
    fake.stops = stops  # type: ignore[attr-defined]

    def start(settings: RunSettings, replace: bool = False):
        settings.check()
        fake.describe("running")
        return fake.run

    monkeypatch.setattr(RunSettings, "start", start)
    return fake


@pytest.fixture
def panel(fake, page):
    panel = run_panel(output=str(fake.folder), steps=20)
    yield panel
    panel.close()
    assert plot_threads() == []


def test_controls_and_settings_are_one(panel):
    panel.controls["steps"].value = 33
    panel.controls["freeze_at"].value = 0
    assert panel.settings.steps == 33 and panel.settings.freeze_at == 0
    panel.settings = RunSettings(output="elsewhere", image_size=160, preview_freq=3)
    assert panel.controls["output"].value == "elsewhere"
    assert panel.settings == RunSettings(output="elsewhere", image_size=160, preview_freq=3)
    assert "image_size=160" in panel._code.value


def test_every_control_has_a_name(panel):
    names = [control.description for control in panel.controls.values()]
    assert len(set(names)) == len(names) == 14 and all(names)


def test_a_bad_setting_is_a_sentence_at_once(panel):
    panel.controls["batch_size"].value = 0
    assert panel.message == "Batch size is 0; expected 1 or more."
    assert 'role="alert"' in panel._message.value
    panel.start_button.click()
    assert panel.run is None and "Batch size" in panel.message
    panel.controls["batch_size"].value = 2
    assert panel.message == "" and panel._message.value == ""
    panel.controls["freeze_norm"].value = True
    assert "mean 0 and variance 1" in panel.message


def test_clicks_start_watch_and_stop(panel, fake, page):
    panel._ipython_display_()
    panel.stop_button.click()
    assert fake.stops == []  # nothing to stop yet
    panel.start_button.click()
    assert panel.run == fake.run and panel.stop_button.enabled
    fake.step(1)
    wait_until(lambda: "step 1 of 20" in panel.plot._status.value)
    panel.stop_button.click()
    assert fake.stops == [fake.folder]
    fake.describe("stopped")
    wait_until(lambda: not panel.stop_button.enabled)
    panel.wait()
    kept = page.bundles[1]
    assert "stopped" in kept["text/plain"] and "data:image/png" in kept["text/html"]


def test_a_message_for_an_earlier_run_stops_nothing(panel, fake):
    panel.start()
    button = panel.stop_button
    button._receive(button, {"kind": "stop", "run_token": "another run"}, [])
    assert fake.stops == []
    button._receive(button, {"kind": "stop", "run_token": button.run_token}, [])
    assert fake.stops == [fake.folder]


def test_predictions_appear_as_they_come(panel, fake):
    panel.start()
    picture = {
        "image_id": 1, "file": "nowhere.jpg", "size": [64, 64], "scores": [0.5],
        "true_boxes": [[1, 1, 9, 9]], "true_labels": ["disc"],
        "boxes": [[1, 1, 9, 9]], "labels": ["disc"],
    }  # fmt: skip
    fake.append({"event": "predictions", "step": 0, "pictures": [picture]})
    wait_until(lambda: "step 0" in panel._gallery._note.value)


def test_each_record_is_read_once_for_plot_and_gallery(panel, fake, monkeypatch):
    read = []

    def count(reader: RecordReader) -> list[Record]:
        records = read_new(reader)
        read.extend(record.get("step") for record in records)
        return records

    read_new = RecordReader.read
    monkeypatch.setattr(RecordReader, "read", count)
    panel.start()
    for step in (1, 2, 3):
        fake.step(step)
    wait_until(lambda: "step 3 of 20" in panel.plot._status.value)
    assert [step for step in read if step] == [1, 2, 3]


def test_the_panel_of_a_living_run_finds_it_again(fake, page):
    """As after a restart of the kernel."""
    fake.describe("running")
    panel = run_panel(output=str(fake.folder))
    assert panel.run is not None and panel.stop_button.enabled
    panel.close()


def test_a_start_that_fails_leaves_the_finished_run_on_the_page(panel, fake):
    fake.step(1)
    fake.describe("finished", started="first")
    earlier = PreviousRun(fake.folder)
    start = fake.describe

    def begin_in_its_place(status: str, **facts: object) -> None:
        earlier.move_description_away([RUN_FILE])
        start(status, **facts)

    fake.describe = begin_in_its_place
    panel.start()
    fake.describe = start
    (fake.folder / LOG_FILE).write_text("of the run before\n--- started now\nof this start\n")
    start("failed", error="There is no memory.")
    wait_until(lambda: "back in its place" in panel.message)
    assert panel.message.startswith("The run has not started: There is no memory.")
    assert "of this start" in panel._message.value
    assert "of the run before" not in panel._message.value
    assert panel.run.status == "finished" and panel.run.describe().owns_records
    wait_until(lambda: "finished" in panel.plot._status.value)
    assert "step 1 of 20" in panel.plot._status.value


def test_what_cannot_be_done_is_a_sentence(panel):
    for act, sentence in ((panel.stop, "no run to stop"), (panel.wait, "no run to wait for")):
        with pytest.raises(RunError, match=sentence):
            act()
    panel.controls["data"].value = "nowhere"
    panel.resume_button.click()
    assert "There is no nowhere" in panel.message


def test_settings_by_name_have_to_exist():
    with pytest.raises(RunError, match="no setting stpes. Settings are: data, output"):
        run_panel(stpes=3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"freeze_at": 7}, "expected -1 to 4"), ({"steps": 2.5}, "Steps is 2.5; expected a whole")],
)
def test_settings_that_no_control_can_show_are_refused(panel, change, sentence):
    with pytest.raises(RunError, match=sentence):
        run_panel(**change)
    before = panel.settings
    with pytest.raises(RunError, match=sentence):
        panel.settings = RunSettings(**change)
    assert panel.settings == before


def test_labels_have_to_fit_before_anything_is_started(fake):
    with pytest.raises(RunError, match="1 labels for 2 runs"):
        run_panel(output=str(fake.folder), compare=[fake.run], labels=["only one"])


def test_a_path_that_can_be_none_is_a_sentence_at_once(panel):
    panel.controls["tuning"].value = "x" * 300
    assert "File name too long" in panel.message


def test_without_a_run_the_notebook_keeps_a_word(panel, page):
    panel._ipython_display_()
    assert page.bundles[1]["text/plain"] == "No run yet."
    assert "RunPanel(" in page.bundles[0]["text/plain"]


def test_starts_and_closes_leave_no_thread(panel, fake):
    for _ in range(3):
        panel.start()
        assert len(plot_threads()) == 1


def test_starts_and_closes_leave_no_widget(fake, page):
    before = open_widgets()
    panel = run_panel(output=str(fake.folder), steps=20)
    panel.start()
    after_one = open_widgets()
    for _ in range(3):
        panel.start()
    assert open_widgets() == after_one
    panel.close()
    assert open_widgets() == before


def test_a_plot_of_the_same_run_in_another_cell_leaves_the_panel_alive(panel, fake):
    panel.start()
    other = live_plot.live_plot(panel.run)
    other._ipython_display_()
    fake.step(1)
    wait_until(lambda: "step 1 of 20" in panel.plot._status.value)
    other.close()


def test_the_hint_says_what_a_blocked_kernel_means(panel, fake, monkeypatch):
    panel.start()
    assert f"touch {fake.folder / 'stop'}" in panel._hint.value
    monkeypatch.setattr(stop_button, "_server_root", lambda: fake.folder.parent)
    panel.start()
    assert panel.stop_button.stop_path == "run/stop"
    assert "Stop works" in panel._hint.value


def test_the_server_that_started_this_kernel_is_found(monkeypatch, tmp_path):
    import jupyter_server.serverapp

    servers = [
        {"pid": 11, "root_dir": "/elsewhere"},
        {"pid": 12, "root_dir": str(tmp_path)},
    ]
    monkeypatch.setattr(jupyter_server.serverapp, "list_running_servers", lambda: iter(servers))
    monkeypatch.delenv("JPY_PARENT_PID", raising=False)
    assert stop_button.contents_path(tmp_path / "runs/a b/stop") is None
    monkeypatch.setenv("JPY_PARENT_PID", "12")
    assert stop_button.contents_path(tmp_path / "runs/a b/stop") == "runs/a b/stop"
    assert stop_button.contents_path(tmp_path.parent / "stop") is None


def test_scripts_ask_nothing_of_the_network():
    """Only the server's own contents service, by a relative address."""
    folder = Path(stop_button.__file__).parent
    for name in ("stop_button.js", "../copy_text.js", "../clipboard.js", "../picking/picker.js"):
        assert not re.search(r"https?://", (folder / name).read_text())
