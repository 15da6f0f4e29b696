"""What torch refuses in a pickle is what torch itself says."""

import pytest
import torch._weights_only_unpickler as unpickler

from rtdetr_nb.checkpoint.reading.pickle.weights_only import is_allowed, refusal


def test_what_torch_allows_is_allowed_here():
    allowed = unpickler._get_allowed_globals()
    assert [name for name in allowed if not is_allowed(name)] == []


@pytest.mark.parametrize(
    "name",
    [
        "argparse.Namespace", "torch.nn.modules.linear.Linear", "torch.int_repr", "torch.load",
        "numpy._core.multiarray._reconstruct", "os.system", "torch.float_power",
        "pathlib.PosixPath", "torch.optim.adamw.AdamW", "collections.defaultdict",
    ],
)  # fmt: skip
def test_what_torch_refuses_is_refused_here(name):
    assert name not in unpickler._get_allowed_globals()
    assert refusal(["collections.OrderedDict", name, "os.system"], 2) == (
        f"Unsupported global: GLOBAL {name}"
    )


def test_a_newer_protocol_is_refused_before_anything_in_it():
    assert refusal(["argparse.Namespace"], 4) == "Unsupported operand 149"
    assert refusal(["collections.OrderedDict"], 2) == ""
