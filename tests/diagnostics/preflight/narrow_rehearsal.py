"""The process of a rehearsal with a narrow backbone, so that it takes seconds."""

import os
import signal
import sys
import time
from pathlib import Path

from rtdetr_nb.diagnostics.preflight import rehearsing
from tests.small_runs import narrow_backbone

if __name__ == "__main__":
    play = os.environ.get("PLAY")
    if play == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if play == "hangs":
        time.sleep(600)
    with narrow_backbone():
        sys.exit(rehearsing.main(Path(sys.argv[1])))
