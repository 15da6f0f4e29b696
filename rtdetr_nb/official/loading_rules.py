"""Whether a checkout loads weights by the rules that the predictions know."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from rtdetr_nb.checkpoint.official_loader.known_commit import OFFICIAL_COMMIT

_RULES = {
    "src/solver/_solver.py": "71985b05f05a8052bc7e15a25341fa547bc831c5de4abfd7324ff4610101f5bd",
    "src/optim/ema.py": "5e3a9cf725adf2557992d5002083a354d0704dec91ab7ea06dde2b54189e3d7d",
    "src/nn/backbone/hgnetv2.py": "92c530ccee060f0e240ff5081336e4f7639e53f2eabe3386cd0b2a76525a279b",  # noqa: E501
    "src/nn/backbone/common.py": "c4721e8ace22bfd522a39fe0cf259ef528d303c49898e3ecb96fc55b88569dd4",
}
"""The files that load weights, and their SHA-256 at `OFFICIAL_COMMIT`."""


def changed_rules(folder: Path) -> tuple[str, ...]:
    """Return the files that load weights and differ from those at `OFFICIAL_COMMIT`.

    Args:
        folder: the `rtdetrv2_pytorch` of a checkout.
    """
    return tuple(name for name, known in _RULES.items() if _digest(folder / name) != known)


def compared_rules(folder: Path) -> str:
    """Return a sentence on how far the predictions hold for a checkout."""
    changed = changed_rules(folder)
    if not changed:
        return f"It loads weights as commit {OFFICIAL_COMMIT} does, which the predictions are of."
    return (
        f"The predictions are of commit {OFFICIAL_COMMIT}; here {', '.join(changed)} "
        f"{'is' if len(changed) == 1 else 'are'} another version, which may load weights otherwise."
    )


def _digest(path: Path) -> str:
    """Return the SHA-256 of a text file, whatever ends its lines; "" where there is none."""
    try:
        return sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    except OSError:
        return ""
