"""Where and in which precision to compute."""

from dataclasses import dataclass
from typing import Any

import torch

from rtdetr_nb.errors import RunError


def choose_device(name: str | None) -> torch.device:
    """The named device, or a GPU if there is one, or the CPU.

    Raises:
        RunError: there is no such device here.
    """
    if not name:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        there = "cpu and cuda" if torch.cuda.is_available() else "cpu"
        raise RunError(
            f"The device {name!r} cannot be used; this machine has {there}. "
            f"({str(error).splitlines()[0]})"
        ) from error
    return device


@dataclass(frozen=True)
class Precision:
    """Automatic mixed precision: what the forward pass computes in.

    Attributes:
        device_type: "cpu" or "cuda".
        dtype: float16 on a GPU, with gradient scaling; bfloat16 on a CPU, without; None computes
            in float32.
        note: one sentence if this is not what was asked for, else empty.
    """

    device_type: str
    dtype: torch.dtype | None
    note: str = ""

    def autocast(self) -> Any:
        """A context for the forward pass."""
        enabled = self.dtype is not None
        return torch.autocast(self.device_type, self.dtype or torch.bfloat16, enabled=enabled)

    def make_scaler(self) -> torch.amp.GradScaler | None:
        """The gradient scaler, for float16 only: bfloat16 has the range of float32."""
        if self.dtype is torch.float16:
            return torch.amp.GradScaler(self.device_type)
        return None


def choose_precision(device: torch.device, use_amp: bool) -> Precision:
    """Mixed precision if it is asked for and the hardware has it.

    A CPU without bfloat16 instructions emulates them up to a hundred times slower than float32. It
    computes in float32, and the note says so.
    """
    if not use_amp:
        return Precision(device.type, None)
    if device.type == "cuda":
        return Precision(device.type, torch.float16)
    if not cpu_has_bfloat16():
        note = "This CPU has no bfloat16 instructions, so --use-amp computes in float32."
        return Precision(device.type, None, note)
    return Precision(device.type, torch.bfloat16)


def cpu_has_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16 that oneDNN uses."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
