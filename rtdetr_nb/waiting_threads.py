"""How the threads of PyTorch wait for each other."""

import os


def let_waiting_threads_sleep() -> None:
    """Let threads that wait give up their core; has to be called before torch is imported.

    By default they spin for a while. Where more threads want to run than there are cores (a second
    training, a notebook's kernel, a neighbour), they spin in the time of those that they wait for,
    and a step takes several times as long. What the user has set stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
