"""The content of a listed file as the official `torch.load` would return it, without torch.

The tensors are descriptions: names and shapes. What `torch.load` refuses is raised.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from rtdetr_nb.checkpoint.official_loader.rules import OfficialError

_TORCH_FILES = ("torch zip", "torch legacy")
_METADATA = "__metadata__"
# Since this version torch.load reads files that are named so.
_SAFETENSORS_SINCE = (2, 13)
_OPENING_BRACE = "Unsupported operand 123"

_TORCHSCRIPT = "Cannot use ``weights_only=True`` with TorchScript archives passed to ``torch.load``"
_REFUSED = {
    "TorchScript": ("RuntimeError", _TORCHSCRIPT),
    "safetensors index": ("UnpicklingError", _OPENING_BRACE),
    "torch bin index": ("UnpicklingError", _OPENING_BRACE),
    "safetensors": ("UnpicklingError", "it is a file of safetensors"),
    "distributed checkpoint": ("IsADirectoryError", "Is a directory"),
}


class ListedFile(Protocol):
    """What is read of a file that was listed: a part of `checkpoint.checkpoint.Checkpoint`."""

    @property
    def path(self) -> Path:
        """The file."""
        ...

    @property
    def container(self) -> str:
        """Its sort."""
        ...

    @property
    def tree(self) -> object:
        """Everything in it."""
        ...

    @property
    def refusal(self) -> str:
        """What torch refuses in its pickle."""
        ...


def listed_content(file: ListedFile) -> object:
    """Return the content of a file as the official code gets it.

    Raises:
        OfficialError: `torch.load(weights_only=True)` refuses the file.
    """
    if file.container == "safetensors" and file.path.suffix == ".safetensors" and _reads_them():
        assert isinstance(file.tree, dict)
        return {key: value for key, value in file.tree.items() if key != _METADATA}
    if file.container in _REFUSED:
        raise OfficialError(*_REFUSED[file.container])
    if file.refusal:
        raise unpickling_error(file.refusal)
    if file.container not in _TORCH_FILES:
        raise OfficialError("RuntimeError", "Invalid magic number; corrupt file?")
    return file.tree


def unpickling_error(message: str) -> OfficialError:
    """Return torch's refusal of a pickle, with its reason in a few words."""
    _, _, name = message.partition("Unsupported global: GLOBAL ")
    reason = f"{name.split()[0]} is not allowed" if name else _last_reason(message)
    return OfficialError("UnpicklingError", message, f"UnpicklingError: {reason}")


def _last_reason(message: str) -> str:
    """Return the sentence about the file in torch's page of advice."""
    # Up to torch 2.6 the line begins with a request to file an issue.
    found = re.findall(r"Unsupported operand.*", message)
    return found[-1].strip() if found else message.splitlines()[0] if message else "it is no pickle"


def _reads_them() -> bool:
    try:
        numbers = version("torch").split(".")[:2]
    except PackageNotFoundError:
        return True
    return tuple(int(number) for number in numbers) >= _SAFETENSORS_SINCE
