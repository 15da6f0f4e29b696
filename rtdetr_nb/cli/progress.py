"""What a training tells its terminal as it goes."""

import contextlib
import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtdetr_nb.runs.records import Record, StepRecord

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
        """Show a record on the terminal, if it is of use there."""
        if "event" not in record:
            self._show_step(record)
        elif record["event"] == "start":
            self._total = record.get("total_steps") or 0
            self._bar.reset(total=self._total)
            self._bar.update(record["step"])
        elif record["event"] == "evaluating":
            logger.info("evaluating: %d of %d pictures", record["done"], record["of"])
        elif record["event"] == "evaluation":
            logger.info("step %d: AP %s", record["step"], figure(record["statistics"]["AP"]))

    def _show_step(self, record: "StepRecord") -> None:
        epoch = record.get("epoch", 0)
        self._bar.set_postfix(loss=f"{record['loss']:.3f}", epoch=epoch, refresh=False)
        self._bar.update()
        if record["step"] % self._print_freq == 0 or self._bar.disable and record["step"] == 1:
            logger.info(
                "step %d of %d  epoch %d  loss %.4f  lr %.2e  %.2f s",
                record["step"],
                self._total,
                epoch,
                record["loss"],
                record.get("lr", [0.0])[-1],
                record.get("seconds", 0.0),
            )


def figure(value: float | None) -> str:
    """Return an AP as text: "no boxes" for None, which says that there is no true box."""
    return "no boxes" if value is None else f"{value:.3f}"
