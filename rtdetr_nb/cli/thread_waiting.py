"""How long the threads of PyTorch wait for each other before they sleep."""

import os

# Of libgomp, which PyTorch's wheels for Linux bring; its own number is 300,000. Measured for a
# training step on two cores: 2.0 to 2.4 s with 300,000, 2.3 to 2.5 s with this, 2.6 to 2.9 s with
# 1,000; beside another busy program on them 17 s, 7 s and 4 s.
_SPINS = "10000"


def let_waiting_threads_sleep() -> None:
    """Let threads that wait give up their core soon; has to be called before torch is imported.

    By default they spin for a while. Where more threads want to run than there are cores (a second
    training, a notebook's kernel, a neighbour), they spin in the time of those that they wait for,
    and a step takes many times as long. What the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
