"""Names of the files in the folder of a run."""

RUN_FILE = "run.json"  # what the run is and its status
METRICS_FILE = "metrics.jsonl"  # its records; see `records`
LOG_FILE = "train.log"
CONFIG_FILE = "config.yml"
LOG_START = "--- started "  # begins the line of the log after which a run's own lines stand
LAST_FILE = "last.pth"
BEST_FILE = "best.pth"
LOCK_FILE = "run.lock"
STOP_FILE = "stop"  # asks the run to stop, where no signal can be sent; removed when it is seen
REQUEST_FILE = "request.json"  # what `ensure_run` was asked for when it started the run
EVALUATION_FILE = "evaluation.json"
JOB_FILE = "job.sbatch"
CURVES_FILE = "precision_recall.png"
PREVIOUS_FOLDER = "previous"  # earlier runs, a folder each

DESCRIPTIONS = (RUN_FILE, REQUEST_FILE, CONFIG_FILE)
"""The files that describe a run and are not its results."""

RESULTS = (
    METRICS_FILE,
    LAST_FILE,
    BEST_FILE,
    "checkpoint[0-9]*.pth",
    EVALUATION_FILE,
    CURVES_FILE,
    "log.txt",  # of the official code
)
"""Patterns of the files that belong to one run. The log is not one of them: it continues from run
to run, and processes may hold it open."""
