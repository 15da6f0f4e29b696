"""How a run is asked to finish its step, save and end."""

import logging
import signal
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """True once SIGTERM or SIGINT has come, or `also_asked` says so; a context for the handlers.

    A run asks after each step and after each batch of an evaluation. It then gives the evaluation
    up; when the run is resumed, the evaluation is made.

    A second signal ends the process at once, as a person who presses Ctrl-C again expects. Under
    torchrun it must not: torchrun itself ends processes that take longer than 30 seconds.

    Args:
        also_asked: another way to ask, for example by a file.
        second_signal_ends: whether a second signal ends the process at once.
    """

    def __init__(
        self,
        also_asked: Callable[[], bool] = lambda: False,
        *,
        second_signal_ends: bool = True,
    ) -> None:
        self.also_asked = also_asked
        self._second_signal_ends = second_signal_ends
        self._requested = False
        self._previous: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Whether to stop; once true, always true."""
        if not self._requested and self.also_asked():
            logger.info("stopping after this step (asked by a file)")
            self._requested = True
        return self._requested

    def __enter__(self) -> "StopRequest":
        self._previous = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _frame: object) -> None:
        self._requested = True
        if self._second_signal_ends:
            for handled in _SIGNALS:
                signal.signal(handled, signal.SIG_DFL)
        logger.info("stopping after this step (%s)", signal.Signals(number).name)
