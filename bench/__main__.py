"""`make bench`: every figure that this project states about its speed, as ratios of one run."""

import os
import platform
from pathlib import Path

from bench import (
    bench_data,
    bench_live_plot,
    bench_official,
    bench_open,
    bench_read,
    bench_step,
    bench_ui,
)
from bench.table import Result, as_markdown, with_table

BENCHES = (
    bench_step,
    bench_official,
    bench_data,
    bench_open,
    bench_read,
    bench_ui,
    bench_live_plot,
)
PAGE = Path(__file__).with_name("README.md")


def main() -> None:
    """Run all benches, print each result, and write the table of bench/README.md."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = f"{_processor()}, {cores} cores, {platform.system()}"
    print(f"{machine}\n")
    results: list[Result] = []
    for bench in BENCHES:
        for name, ratio, explanation in bench.run():
            print(f"{ratio:6.3f}  {name:<32} {explanation}", flush=True)
            results.append((name, ratio, explanation))
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_table(page, as_markdown(machine, results)), encoding="utf-8")


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
