"""What a program loads when nothing was loaded before it."""

import json
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parent.parent


def loaded_by(program: str, *arguments: object) -> set[str]:
    """Run Python code in a fresh interpreter.

    Args:
        program: the code; a failure of it is a failure of the test.
        arguments: its `sys.argv[1:]`.

    Returns:
        The names of all modules that are loaded at its end.
    """
    told = "import sys as _s, json as _j; print(); print(_j.dumps(sorted(_s.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{told}", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=_ROOT,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))
