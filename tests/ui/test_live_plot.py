import gc
import threading
import time

import numpy as np
import pytest
from matplotlib import _pylab_helpers
from matplotlib.figure import Figure

from rtdetr_nb.errors import RunError
from rtdetr_nb.ui import live_plot as module
from rtdetr_nb.ui.figures.run import thin
from rtdetr_nb.ui.live_plot import live_plot, pause_after
from tests.ui.fake_page import open_widgets, plot_threads, wait_until
from tests.ui.fake_run import FakeRun


@pytest.fixture
def tuned(tmp_path) -> FakeRun:
    return FakeRun(tmp_path / "tuned")


@pytest.fixture
def random(tmp_path) -> FakeRun:
    return FakeRun(tmp_path / "random")


def lines(figure: Figure, axes: int) -> list[np.ndarray]:
    return [line.get_ydata() for line in figure.axes[axes].lines]  # type: ignore[misc]


def test_the_figure_holds_what_was_recorded(tuned, random):
    for step in range(1, 13):
        tuned.step(step)
        random.step(step, loss=40.0)
    plot = live_plot(tuned.run, random.run, labels=["from the file", "from random weights"])
    raw, smoothed, other, _ = lines(plot.figure, 0)
    assert list(raw) == [40 - step for step in range(1, 13)]
    assert smoothed[-1] == pytest.approx(np.mean(raw[-9:]))
    assert list(other) == [40.0] * 12
    assert [line[-1] for line in lines(plot.figure, 1)] == pytest.approx(
        [1.0, 0.5, np.mean([2 / step for step in range(4, 13)])]
    )
    assert [line[-1] for line in lines(plot.figure, 2)] == pytest.approx([12e-5, 1e-4])
    assert plot.figure.axes[0].get_xlim()[1] == pytest.approx(20.4)  # the whole run, with a margin
    legend = plot.figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "from the file", "from random weights",
    ]  # fmt: skip


def test_update_draws_only_what_is_new(tuned):
    plot = live_plot(tuned.run)
    first = plot.png
    assert first.startswith(b"\x89PNG")
    assert not plot.update() and plot.png is first
    figure, line = plot.figure, plot.figure.axes[0].lines[0]
    tuned.step(1)
    tuned.step(2)
    assert plot.update() and plot.png != first
    assert plot.figure is figure and plot.figure.axes[0].lines[0] is line
    assert plot.text.startswith("tuned: running, step 2 of 20")


def test_axes_follow_values_that_grow(tuned):
    tuned.step(1, lr=[1e-5])
    plot = live_plot(tuned.run)
    tuned.step(2, lr=[4e-4], loss=90.0)
    plot.update()
    assert plot.figure.axes[2].get_ylim()[1] >= 4e-4 and plot.figure.axes[2].get_ylim()[0] == 0
    assert plot.figure.axes[0].get_ylim()[1] >= 90


def test_the_plot_follows_the_run_and_leaves_a_picture(tuned, page):
    plot = live_plot(tuned.run)
    plot._ipython_display_()
    assert "application/vnd.jupyter.widget-view+json" in page.bundles[0]
    pictures = {plot._image.value}
    for step in range(1, 4):
        tuned.step(step)
        wait_until(lambda: plot._image.value not in pictures)
        pictures.add(plot._image.value)
    assert len(pictures) == 4
    assert "step 3 of 20" in plot._status.value
    tuned.finish()
    wait_until(lambda: not plot.is_watching)
    assert len(page.bundles) == 1
    kept = page.bundles[0]
    assert set(kept) == {"text/html", "text/plain"}
    assert "finished" in kept["text/plain"] and "data:image/png;base64,iVBOR" in kept["text/html"]


def test_the_thread_goes_on_while_the_main_thread_is_busy(tuned, page):
    """As a cell that blocks the kernel."""
    plot = live_plot(tuned.run)
    plot._ipython_display_()
    before = plot._image.value
    tuned.step(1)
    deadline = time.monotonic() + 90
    while plot._image.value == before and time.monotonic() < deadline:
        sum(range(1000))
    assert plot._image.value != before
    plot.close()


def test_a_run_that_is_over_is_a_picture_at_once(tuned, page):
    tuned.step(1)
    tuned.finish()
    live_plot(tuned.run)._ipython_display_()
    assert "image/png" in page.bundles[0]["text/html"]
    assert plot_threads() == []


def test_wait_ends_with_the_runs(tuned, random, page):
    plot = live_plot(tuned.run, random.run)
    plot._ipython_display_()
    tuned.finish()
    ending = threading.Timer(0.3, random.finish)
    ending.start()
    plot.wait()
    assert plot.is_over and not plot.is_watching
    assert "random: finished" in page.bundles[0]["text/plain"]
    ending.join()


def test_wait_works_without_a_page(tuned, monkeypatch):
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LOOKS", 0.02)
    plot = live_plot(tuned.run)
    tuned.step(1)
    tuned.finish()
    plot.wait()
    assert plot.text == "tuned: finished, step 1 of 20, loss 39.00"


def test_a_failed_run_says_so_in_a_sentence(tuned, page):
    plot = live_plot(tuned.run)
    plot._ipython_display_()
    tuned.fail("The loss is not finite at step 3.", "step 2 of 20\nlast line")
    wait_until(lambda: not plot.is_watching)
    assert "The loss is not finite at step 3." in plot._status.value
    assert "last line" in page.bundles[0]["text/html"]


def test_a_failure_of_the_plot_itself_is_told_and_raised(tuned, page, monkeypatch):
    raised = []
    monkeypatch.setattr(threading, "excepthook", lambda args: raised.append(args.exc_value))
    plot = live_plot(tuned.run)
    monkeypatch.setattr(plot, "update", lambda: 1 / 0)
    plot._ipython_display_()
    wait_until(lambda: not plot.is_watching)
    assert "ZeroDivisionError" in plot._status.value
    kept = page.bundles[0]
    assert "ZeroDivisionError" in kept["text/plain"] and "ZeroDivisionError" in kept["text/html"]
    assert "data:image/png" in kept["text/html"]
    assert isinstance(raised[0], ZeroDivisionError)


def test_the_same_runs_shown_again_replace_the_thread(tuned, page):
    first, second = live_plot(tuned.run), live_plot(tuned.run)
    first._ipython_display_()
    second._ipython_display_()
    assert not first.is_watching and second.is_watching
    assert len(plot_threads()) == 1
    kept = page.bundles[0]
    assert "A newer plot of the same runs goes on" in kept["text/html"]
    assert "A newer plot of the same runs goes on" in kept["text/plain"]
    assert "newer plot" not in second.html
    first._ipython_display_()
    assert first.is_watching and "newer plot" not in first.html
    assert "A newer plot" in page.bundles[1]["text/html"]
    first.close()
    second.close()


def test_a_plot_in_a_cell_does_not_end_that_of_a_panel(tuned, page):
    looks: list[module.LivePlot] = []
    followed = module.LivePlot(module.follow([tuned.run]), on_update=looks.append)
    followed.start()
    alone, newer = live_plot(tuned.run), live_plot(tuned.run)
    alone._ipython_display_()
    newer._ipython_display_()
    assert followed.is_watching and not alone.is_watching
    assert "stands still" in alone._status.value
    seen = len(looks)
    wait_until(lambda: len(looks) > seen)
    followed.close()
    newer.close()


@pytest.mark.slow
def test_nothing_is_left_behind(tuned, page):
    def count() -> tuple[int, ...]:
        gc.collect()
        figures = sum(isinstance(thing, Figure) for thing in gc.get_objects())
        return figures, len(plot_threads()), len(_pylab_helpers.Gcf.figs), open_widgets()

    before = count()
    for _ in range(4):
        plot = live_plot(tuned.run)
        plot._ipython_display_()
        plot.close()
        del plot
    page.bundles.clear()
    assert count() == before


def test_a_cell_that_is_run_again_leaves_no_widget_of_before(tuned, page):
    before = open_widgets()
    live_plot(tuned.run)._ipython_display_()
    one = open_widgets()
    plots = [live_plot(tuned.run) for _ in range(3)]
    for plot in plots:
        plot._ipython_display_()
    assert open_widgets() == one
    tuned.finish()
    plots[-1].wait()
    assert open_widgets() == before
    assert all("data:image/png" in bundle["text/html"] for bundle in page.bundles)


def test_a_stopped_plot_that_is_shown_again_follows_again(tuned, page):
    plot = live_plot(tuned.run)
    plot._ipython_display_()
    plot.stop()
    plot._ipython_display_()
    assert "application/vnd.jupyter.widget-view+json" in page.bundles[1]
    tuned.step(1)
    wait_until(lambda: "step 1 of 20" in plot._status.value)
    assert plot._image.value == plot.png
    plot.close()


def test_a_widget_that_was_shown_otherwise_stays(tuned, page):
    plot = live_plot(tuned.run)
    plot.start()
    before = plot.png
    tuned.step(1)
    tuned.finish()
    plot.wait()
    assert plot.widget.comm is not None
    assert plot._image.value == plot.png != before
    assert "finished" in plot._status.value and "step 1 of 20" in plot._status.value
    plot.close()


def test_on_a_page_of_voila_the_plot_stays_when_its_run_ends(tuned, page, monkeypatch):
    """Such a page shows no change of what a cell displayed, once the cell is done."""
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.13")
    plot = live_plot(tuned.run)
    plot._ipython_display_()
    tuned.step(1)
    tuned.finish()
    plot.wait()
    assert plot.widget.comm is not None
    assert plot._image.value == plot.png and "step 1 of 20" in plot._status.value
    assert "finished" in plot._status.value
    assert "application/vnd.jupyter.widget-view+json" in page.bundles[0]
    plot.close()


def test_labels_have_to_fit(tuned):
    with pytest.raises(RunError, match="2 labels for 1 runs"):
        live_plot(tuned.run, labels=["a", "b"])


def test_many_points_become_means_of_neighbours():
    steps, values = np.arange(1, 3002), np.arange(3001.0)
    thin_steps, thin_values = thin(steps, values)
    assert len(thin_steps) == len(thin_values) == 1001
    assert list(thin_steps[:2]) == [1, 4] and list(thin_values[:2]) == [1.0, 4.0]
    assert thin_values[-1] == 3000.0
    assert list(thin(steps[:3], values[:3])[1]) == [0.0, 1.0, 2.0]


def test_drawing_takes_a_fixed_share_of_the_machine(monkeypatch):
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert pause_after(0.0) == 0.5
    assert pause_after(0.06) == pytest.approx(2.0)
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert pause_after(0.06) == 0.5
