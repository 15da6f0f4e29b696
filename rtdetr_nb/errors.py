"""The named errors: each says what was found, what was expected and what to do.

Everything that a user can cause derives from `UserError`; the command line prints it as one line on
standard error and exits with `exit_code`, and a widget shows it as a sentence. Anything else is a
failure of ours and keeps its traceback.
"""


class UserError(Exception):
    """An input that cannot be used. The message is complete sentences for the user."""

    exit_code = 2

    def _render_traceback_(self, *_: object) -> list[str]:
        """Return what IPython shows of a mistake in a cell: its sentence, not the way to it.

        IPython asks for this method by its name. `raise` and `%debug` still have the traceback.
        """
        return [f"{type(self).__name__}: {self}"]


class ConfigError(UserError):
    """A configuration that cannot be read, or a key or value in it that is not known."""


class CheckpointError(UserError):
    """A file that is no checkpoint, is damaged, is unsafe, or holds no backbone."""


class AmbiguousCheckpointError(CheckpointError):
    """Several state dicts could be meant and nothing tells them apart: the user has to choose."""


class SelectionError(UserError):
    """A selection of layers that is empty or that does not fit the model."""


class TuningError(UserError):
    """A tuning file that cannot be written, or that loads nothing."""


class DatasetError(UserError):
    """A data set whose files or annotations cannot be used."""


class RunError(UserError):
    """A run that cannot be started, resumed, attached to or stopped."""


class TrainingError(UserError):
    """Training had to stop; the last good checkpoint is kept."""

    exit_code = 1


class NonFiniteLossError(TrainingError):
    """The loss became infinite or not a number."""


class DataWorkerError(TrainingError):
    """A process that loads data is gone."""
