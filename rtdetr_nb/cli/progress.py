"""What a training tells its terminal as it goes."""

import contextlib
import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtdetr_nb.runs.records import Record

logger = logging.getLogger(__name__)


class Progress:
    """A bar with the loss and the time left on a terminal, and a log line now and then."""

    def __init__(self, print_freq: int) -> None:
        self._print_freq = max(print_freq, 1)
        self._total = 0
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "Progress":
        from tqdm import tqdm
        from tqdm.contrib.logging import logging_redirect_tqdm

        # On a terminal only: elsewhere (`disable=None`) the log lines are what tells the progress.
        bar = tqdm(unit="step", file=sys.stderr, dynamic_ncols=True, mininterval=1.0, disable=None)
        self._bar = self._open.enter_context(bar)
        if not bar.disable:
            self._open.enter_context(logging_redirect_tqdm([logging.getLogger("rtdetr_nb")]))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def show(self, record: "Record") -> None:
        """Show what a record means for somebody who waits."""
        kind = record.get("event")
        if kind == "start":
            self._total = record["total_steps"]
            self._bar.reset(total=self._total)
            self._bar.update(record["step"])
        elif kind == "evaluating":
            logger.info("evaluating: %d of %d pictures", record["done"], record["of"])
        elif kind == "evaluation":
            logger.info("step %d: AP %s", record["step"], figure(record["statistics"]["AP"]))
        elif kind is None:
            self._show_step(record)

    def _show_step(self, record: "Record") -> None:
        self._bar.set_postfix(loss=f"{record['loss']:.3f}", epoch=record["epoch"], refresh=False)
        self._bar.update()
        if record["step"] % self._print_freq == 0 or self._bar.disable and record["step"] == 1:
            logger.info(
                "step %d of %d  epoch %d  loss %.4f  lr %.2e  %.2f s",
                record["step"],
                self._total,
                record["epoch"],
                record["loss"],
                record["lr"][-1],
                record["seconds"],
            )


def figure(value: float | None) -> str:
    """An AP for people; None, where there is no box to find, is told in words."""
    return "no boxes" if value is None else f"{value:.3f}"
