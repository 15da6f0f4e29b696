"""Where and in which precision a run computes."""

import pytest
import torch

from rtdetr_nb.errors import RunError
from rtdetr_nb.training.precision import Precision, choose_device, choose_precision


def test_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = choose_device("cpu")
    assert choose_precision(cpu, use_amp=False) == Precision("cpu", None)
    target = "rtdetr_nb.training.precision.cpu_has_bfloat16"
    monkeypatch.setattr(target, lambda: True)
    assert choose_precision(cpu, use_amp=True).dtype is torch.bfloat16
    assert choose_precision(cpu, use_amp=True).make_scaler() is None
    monkeypatch.setattr(target, lambda: False)
    precision = choose_precision(cpu, use_amp=True)
    assert precision.dtype is None and "no bfloat16 instructions" in precision.note


def test_a_device_that_is_not_there_is_named() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(RunError, match="'gpu0' cannot be used; this machine has cpu"):
        choose_device("gpu0")
