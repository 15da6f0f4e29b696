"""What the chart of runs sends to a page: all values once, then what is new."""

from pathlib import Path
from typing import Any

import pytest

from rtdetr_nb.runs.progress import RunProgress
from rtdetr_nb.ui import run_chart
from rtdetr_nb.ui.live_plot import live_plot
from rtdetr_nb.ui.run_chart import RunChart
from tests.ui.fake_run import FakeRun


@pytest.fixture
def fake(tmp_path) -> FakeRun:
    return FakeRun(tmp_path / "run", total_steps=20)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(RunChart, "send", lambda _, content: messages.append(content))
    return messages


def test_a_page_gets_all_and_then_what_is_new(fake: FakeRun, sent: list) -> None:
    fake.step(1, loss=3.0)
    progress = RunProgress(fake.run, "tuned")
    progress.update()
    chart = RunChart([progress])
    (run,) = chart.get_state("runs")["runs"]
    assert run["label"] == "tuned" and run["steps"] == [1.0] and run["values"]["loss"] == [3.0]
    fake.step(2, loss=2.0)
    fake.evaluate(2, 0.25)
    progress.update()
    chart.follow()
    chart.follow()
    (message,) = sent
    assert (message["do"], message["run"], message["from"]) == ("append", 0, 1)
    assert message["steps"] == [2.0] and message["values"]["loss"] == [2.0]
    assert message["ap"] == [0.25] and message["ap_steps"] == [2.0]
    (run,) = chart.get_state("runs")["runs"]  # a page that opens now lacks nothing
    assert run["steps"] == [1.0, 2.0] and run["ap"] == [0.25]


def test_a_run_that_is_over_is_there_before_anything_is_sent(
    tmp_path: Path, fake: FakeRun, sent: list
) -> None:
    """A message that is sent before a page listens is lost: the run compared with was not drawn."""
    fake.step(1, loss=3.0)
    fake.finish()
    later = FakeRun(tmp_path / "later", total_steps=20)
    plot = live_plot(later.run, fake.run)
    _, run = plot._chart.get_state("runs")["runs"]
    assert run["steps"] == [1.0] and sent == []
    plot._chart._handle_custom_msg({"do": "whole"}, [])
    assert [message["do"] for message in sent] == ["all"]
    assert sent[0]["runs"][1]["steps"] == [1.0]
    plot._chart._handle_custom_msg({"do": "whole", "have": [[0, 0], [1, 0]]}, [])
    assert len(sent) == 1, "a page that has all is not sent it again"


def test_steps_that_are_trained_anew_replace_the_old_ones(fake: FakeRun, sent: list) -> None:
    for step in (1, 2, 3):
        fake.step(step, loss=float(step))
    progress = RunProgress(fake.run, "tuned")
    progress.update()
    chart = RunChart([progress])
    fake.append({"event": "start", "step": 1})
    fake.step(2, loss=9.0)
    progress.update()
    chart.follow()
    (message,) = sent
    assert message["do"] == "all" and message["runs"][0]["values"]["loss"] == [1.0, 9.0]


def test_a_value_that_is_no_number_is_a_gap(fake: FakeRun) -> None:
    fake.step(1, loss=float("nan"))
    progress = RunProgress(fake.run, "tuned")
    progress.update()
    (run,) = RunChart([progress]).whole()
    assert run["values"]["loss"] == [None]


def test_rates_have_the_names_of_their_groups_and_the_machine_its_figures(fake: FakeRun) -> None:
    """A run that does not say them, as the official log, has numbers for names and no figures."""
    fake.step(1)
    progress = RunProgress(fake.run, "tuned")
    progress.update()
    (run,) = RunChart([progress]).whole()
    assert [name for name in run["values"] if "rate" in name] == [
        "learning rate, group 0",
        "learning rate, group 1",
    ]
    assert "memory, MiB" not in run["values"] and "pictures a second" not in run["values"]
    groups = ["backbone", "encoder and decoder"]
    fake.append({"event": "start", "step": 0, "lr_groups": groups, "pictures_per_step": 8})
    for step in (1, 2):
        fake.step(step, seconds=2.0, data_seconds=0.5, memory_mb=900.0 + step)
    progress.update()
    (run,) = RunChart([progress]).whole()
    assert run["values"]["learning rate, backbone"] == [1e-5, 2e-5]
    assert run["values"]["learning rate, encoder and decoder"] == [1e-4, 1e-4]
    assert run["values"]["waiting for data, % of the step"] == [25.0, 25.0]
    assert run["values"]["pictures a second"] == [4.0, 4.0]
    assert run["values"]["memory, MiB"] == [901.0, 902.0]


def test_a_long_run_is_sent_thinned(fake: FakeRun, sent: list, monkeypatch) -> None:
    monkeypatch.setattr(run_chart, "_MOST_STEPS", 10)
    for step in range(1, 3200):
        fake.step(step)
    progress = RunProgress(fake.run, "tuned")
    chart = RunChart([progress])
    progress.update()
    chart.follow()
    (message,) = sent
    assert message["do"] == "all" and 1000 < len(message["runs"][0]["steps"]) <= 1500


def test_the_plot_has_the_chart_and_keeps_it_up_to_date(fake: FakeRun, sent: list) -> None:
    plot = live_plot(fake.run)
    assert plot.chart in plot.widget.children
    fake.step(1)
    plot.update()
    assert sent and sent[-1]["do"] == "append"
    plot.close()
