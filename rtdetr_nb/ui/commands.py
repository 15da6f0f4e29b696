"""The exact commands of a full training, here and in the official repository, to copy."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import anywidget
import ipywidgets
import traitlets
from IPython.display import display

from rtdetr_nb.errors import RunError
from rtdetr_nb.official.command import open_official
from rtdetr_nb.runs.file_names import BEST_FILE, LAST_FILE

_SOURCE = Path(__file__).parent


class CopyText(anywidget.AnyWidget):
    """Text with a button that copies it, without any network.

    Args:
        title: what the text is.
        text: to copy.
    """

    _esm = "".join((_SOURCE / name).read_text() for name in ("clipboard.js", "copy_text.js"))
    _css = _SOURCE / "copy_text.css"

    title = traitlets.Unicode().tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)


@dataclass(frozen=True)
class TrainingCommands:
    """Command lines by what they are for; the last line of a cell shows them with copy buttons.

    Attributes:
        lines: title -> line to paste into a shell.
    """

    lines: dict[str, str]

    def __str__(self) -> str:
        return "\n\n".join(f"# {title}\n{line}" for title, line in self.lines.items())

    def html(self) -> str:
        """The lines for a page without a kernel."""
        return "".join(
            f"<details><summary>{escape(title)}</summary><pre>{escape(line)}</pre></details>"
            for title, line in self.lines.items()
        )

    def _ipython_display_(self) -> None:
        box = ipywidgets.VBox([CopyText(title=t, text=line) for t, line in self.lines.items()])
        bundle: dict[str, object] = dict(box._repr_mimebundle_() or {})
        display({**bundle, "text/plain": str(self), "text/html": self.html()}, raw=True)
        # The widget is gone when the kernel is; this stays in the saved notebook.
        display({"text/html": f"<details><summary>The same as plain text</summary><pre>"
                              f"{escape(str(self))}</pre></details>",
                 "text/plain": ""}, raw=True)  # fmt: skip


def training_commands(
    config: str | os.PathLike[str],
    *,
    tuning: str | os.PathLike[str] | None = None,
    output_dir: str | os.PathLike[str] = "runs/full",
    num_gpus: int = 1,
    seed: int = 0,
    use_amp: bool = True,
    overrides: Sequence[str] = (),
    official: str | os.PathLike[str] | None = None,
) -> TrainingCommands:
    """Return the commands to train, to go on after a stop, and to evaluate.

    Args:
        config: a shipped name or the path of a YAML file.
        tuning: tuning file to start from.
        output_dir: folder of the run.
        num_gpus: above 1, `torchrun` starts a process for each.
        seed: of the run.
        use_amp: mixed precision.
        overrides: `section.key=value` assignments.
        official: a checkout of the official repository, for its commands too.

    Raises:
        RunError: a number of GPUs below 1, or a folder that is not an official checkout.
    """
    if num_gpus < 1:
        raise RunError(f"The number of GPUs is {num_gpus}; expected at least 1.")
    program = "rtdetr-nb"
    if num_gpus > 1:
        program = f"torchrun --nproc_per_node={num_gpus} -m rtdetr_nb"
    train = [*program.split(), "train", "-c", os.fspath(config)]
    where = ["--output-dir", os.fspath(output_dir), *(["-u", *overrides] if overrides else [])]
    how = [*(["--use-amp"] if use_amp else []), f"--seed={seed}", *where]
    first = ["-t", os.fspath(tuning)] if tuning else []
    last, best = (os.fspath(Path(output_dir) / name) for name in (LAST_FILE, BEST_FILE))
    gpus = f"{num_gpus} GPU{'s' if num_gpus > 1 else ''}"
    lines = {
        f"Train on {gpus}": shlex.join([*train, *first, *how]),
        "Go on after a stop": shlex.join([*train, "-r", last, *how]),
        "Evaluate the best weights": shlex.join([*train, "-r", best, "--test-only", *where]),
    }
    if official:
        command = open_official(official).command(
            config, tuning=tuning, output_dir=output_dir, seed=seed,
            use_amp=use_amp, processes=num_gpus, overrides=overrides,
        )  # fmt: skip
        lines[f"The same in the official repository, on {gpus}"] = str(command)
    return TrainingCommands(lines)
