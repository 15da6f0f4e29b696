"""`make bench`: every figure that this project states about its speed, as ratios of one run."""

import os
import platform

from bench import bench_data, bench_live_plot, bench_open, bench_read, bench_step, bench_ui

BENCHES = (bench_step, bench_data, bench_open, bench_read, bench_ui, bench_live_plot)


def main() -> None:
    """Run all benches and print a table."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"{_processor()}, {cores} cores, {platform.system()}\n")
    for bench in BENCHES:
        for name, ratio, explanation in bench.run():
            print(f"{ratio:6.3f}  {name:<32} {explanation}", flush=True)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


main()
