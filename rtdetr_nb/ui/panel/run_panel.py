"""A panel to set up a short run, start it, watch it, stop it and go on with it.

`panel.settings` is a `RunSettings`, and each button does what one line of Python does (`start`,
`stop`, `resume`). A mistake shows as a sentence below the buttons.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets
from IPython.display import DisplayHandle, display

from rtdetr_nb.errors import RunError, UserError
from rtdetr_nb.runs.progress import RunProgress
from rtdetr_nb.runs.run import Run
from rtdetr_nb.text.html_pieces import error_html
from rtdetr_nb.ui.live_plot import LivePlot, check_labels, follow
from rtdetr_nb.ui.panel.look_button import LOOKS, LookButton
from rtdetr_nb.ui.panel.run_controls import image_sizes, make_controls
from rtdetr_nb.ui.panel.run_settings import RunSettings
from rtdetr_nb.ui.panel.stop_button import StopButton
from rtdetr_nb.ui.predictions.gallery import Gallery
from rtdetr_nb.ui.widget_tree import close_widgets

_BLOCKED = "While another cell runs, Start and Resume wait for it; the plot goes on and Stop works."
_BLOCKED_STOP = (
    "While another cell runs, all buttons wait for it, as the Jupyter server cannot reach the "
    "run's folder; the plot goes on. From a terminal: <code>touch {}</code> stops the run."
)


def run_panel(
    settings: RunSettings | None = None,
    *,
    compare: Sequence[Run] = (),
    labels: Sequence[str] = (),
    **changes: Any,
) -> "RunPanel":
    """A panel for a short run; the last line of a cell shows it.

    Args:
        settings: to begin with.
        compare: runs to plot beside this one.
        labels: what to call this run and those, in this order; by default their folders' names.
        changes: single settings by name, such as `steps=20`.

    Raises:
        RunError: a setting has no such name or no control can show its value, or the labels are
            not as many as the runs.
    """
    unknown = set(changes) - set(vars(RunSettings()))
    if unknown:
        raise RunError(
            f"There is no setting {', '.join(sorted(unknown))}. Settings are: "
            f"{', '.join(vars(RunSettings()))}."
        )
    return RunPanel(replace(settings or RunSettings(), **changes), compare, labels)


class RunPanel:
    """See `run_panel`.

    Attributes:
        run: the one that was started, resumed or found again last; None before.
        plot: its live plot; None before.
        looks: the buttons that look into something, by name, such as "Preflight"; each does what a
            method of the settings does.
        message: what went wrong last, in a sentence; empty if nothing did.
        widget: all of it.
    """

    def __init__(
        self, settings: RunSettings, compare: Sequence[Run] = (), labels: Sequence[str] = ()
    ) -> None:
        settings.check_kinds()
        check_labels(labels, 1 + len(compare))
        self.compare = list(compare)
        self.labels = list(labels)
        self.run: Run | None = None
        self.plot: LivePlot | None = None
        self._progress: RunProgress | None = None  # of `run`, updated by its plot
        self._gallery: Gallery | None = None
        self.message = ""
        self._hidden = settings  # the settings that have no control
        self.controls = make_controls(settings)
        self.replace_box = ipywidgets.Checkbox(
            description="replace the run in the folder", indent=False
        )
        self.start_button = self._button("Start", "primary", self.start)
        self.resume_button = self._button("Resume", "", self.resume)
        self.stop_button = StopButton(lambda: self._attempt(self.stop))
        self.looks = {what.name: LookButton(what, lambda: self.settings) for what in LOOKS}
        self._code = ipywidgets.HTML()
        self._message = ipywidgets.HTML()
        self._hint = ipywidgets.HTML()
        self._shown = ipywidgets.VBox()
        self._kept: list[DisplayHandle] = []
        self.widget = self._lay_out()
        for control in self.controls.values():
            control.observe(self._settings_changed, "value")
        self._settings_changed()
        earlier = Run(Path(settings.output))
        seen = earlier.describe()
        if seen.description and not seen.is_over:
            self._follow(earlier)  # as after a restart of the kernel

    def _lay_out(self) -> ipywidgets.VBox:
        grid = ipywidgets.GridBox(
            list(self.controls.values()),
            layout={"grid_template_columns": "repeat(auto-fill, minmax(320px, 1fr))"},
        )
        buttons = ipywidgets.HBox(
            [
                self.start_button,
                self.stop_button,
                self.resume_button,
                *(look.button for look in self.looks.values()),
                self.replace_box,
            ],
            layout={"flex_flow": "row wrap", "align_items": "center"},
        )
        return ipywidgets.VBox(
            [
                grid,
                self._code,
                buttons,
                self._hint,
                self._message,
                *(look.page for look in self.looks.values()),
                self._shown,
            ],
            layout={"max_width": "1080px"},
        )

    @property
    def settings(self) -> RunSettings:
        """What the controls say."""
        return replace(self._hidden, **{n: c.value for n, c in self.controls.items()})

    @settings.setter
    def settings(self, settings: RunSettings) -> None:
        settings.check_kinds()
        self._hidden = settings
        sizes = self.controls["image_size"]
        if settings.image_size not in sizes.options:
            sizes.options = image_sizes(settings)
        for name, control in self.controls.items():
            control.value = getattr(settings, name)

    def start(self) -> Run:
        """Start the run and plot it; one that goes on or has finished with these settings is found.

        Raises:
            UserError: as `RunSettings.start`.
        """
        return self._follow(self.settings.start(replace=self.replace_box.value))

    def resume(self) -> Run:
        """Go on with the run in the folder, up to the number of steps that is set.

        Raises:
            UserError: as `RunSettings.resume`.
        """
        return self._follow(self.settings.resume())

    def stop(self) -> None:
        """Ask the run to stop after its step and to save.

        Raises:
            RunError: there is no run, or it is on another machine.
        """
        if self.run is None:
            raise RunError("There is no run to stop. Start one first.")
        self.run.stop()

    def wait(self) -> Run:
        """Wait for the end of the run and of those that it is compared with.

        Raises:
            RunError: no run was started.
        """
        if self.run is None or self.plot is None:
            raise RunError("There is no run to wait for. Start one first.")
        self.plot.wait()
        self._update(self.plot)
        return self.run

    def close(self) -> None:
        """End what watches the run and take the panel from the page; the run goes on."""
        if self.plot is not None:
            self.plot.close()
        close_widgets(self.widget)

    def _follow(self, run: Run) -> Run:
        earlier = [view for view in (self.plot, self._gallery) if view is not None]
        if self.plot is not None:
            self.plot.stop()
        self.run = run
        self.stop_button.follow(run)
        stop_file = escape(str(run.folder / "stop"))
        hint = _BLOCKED if self.stop_button.stop_path else _BLOCKED_STOP.format(stop_file)
        self._hint.value = f'<span style="opacity:.75">{hint}</span>'
        self._show_message("")
        progress = follow([run, *self.compare], self.labels)
        self.plot = LivePlot(progress, on_update=self._update)
        self._progress = progress[0]
        self._gallery = Gallery(self._progress)
        self._shown.children = [self.plot.widget, self._gallery.widget]
        for view in earlier:
            view.close()
        if self.plot.is_over:
            self._update(self.plot)
        else:
            self.plot.start()
        return run

    def _update(self, plot: LivePlot) -> None:
        """Called by the plot's thread after each look, and at the end."""
        if self._progress is None or self._gallery is None:
            return
        over = self._progress.is_over
        self._gallery.draw()
        if self.stop_button.enabled == over:
            self.stop_button.enabled = not over
        if over and self._restore_earlier(self._progress.run):
            return
        if plot.is_over:
            for handle in self._kept:
                handle.update(self._kept_bundle(), raw=True)

    def _restore_earlier(self, run: Run) -> bool:
        """Show the run before this one again, if this one failed before its first step."""
        if not run.has_earlier:
            return False
        sentence, log = run.reason, run.log_tail()
        try:
            run.restore_earlier()
        except RunError:  # somebody else has begun a run there
            return False
        self._follow(run)
        self._show_message(
            f"The run has not started: {sentence} The run before it is back in its place.", log
        )
        return True

    def _button(self, name: str, style: str, action: Callable[[], object]) -> ipywidgets.Button:
        button = ipywidgets.Button(description=name, button_style=style)
        button.on_click(lambda _: self._attempt(action))
        return button

    def _attempt(self, action: Callable[[], object]) -> None:
        """Do what a button is for; a mistake becomes a sentence."""
        try:
            action()
        except UserError as error:
            self._show_message(str(error))

    def _settings_changed(self, _change: object = None) -> None:
        settings = self.settings
        try:
            settings.check()
        except UserError as error:
            self._show_message(str(error))
        else:
            self._show_message(" ".join(settings.warnings()))
        self._code.value = (
            "In Python: <code style='white-space:pre-wrap;overflow-wrap:anywhere'>"
            f"{escape(settings.code())}</code>"
        )

    def _show_message(self, message: str, details: str = "") -> None:
        self.message = message
        self._message.value = error_html(message, details)

    def _kept_bundle(self) -> dict[str, str]:
        """What a saved notebook keeps: folded, as the widget shows the same while it lives."""
        if self.plot is None or self._gallery is None:
            return {"text/html": "", "text/plain": "No run yet."}
        pictures = self.plot.static_html + self._gallery.static_html()
        html = (
            f"<details><summary>As it stood at the end (kept in the saved notebook)</summary>"
            f"{pictures}</details>"
        )
        return {"text/html": html, "text/plain": self.plot.text}

    def _ipython_display_(self) -> None:
        """Show the panel, and keep a place below it for the last picture."""
        bundle: dict[str, object] = dict(self.widget._repr_mimebundle_() or {})
        display({**bundle, "text/plain": repr(self)}, raw=True)
        handle = display(self._kept_bundle(), raw=True, display_id=True)
        if handle is not None:
            self._kept.append(handle)

    def __repr__(self) -> str:
        return f"RunPanel({self.settings}, run={self.run})"
