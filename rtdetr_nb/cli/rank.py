"""`rtdetr-nb rank FILE... --data DATA`: which of several backbones is best."""

from __future__ import annotations

import argparse
from typing import Any

from rtdetr_nb.cli.output import Printer, print_json

FAILED = 2


def add_command(commands: Any) -> None:
    """Add `rank` to the commands."""
    parser = commands.add_parser(
        "rank", help="which of several backbones is best, as far as some pictures can tell"
    )
    parser.add_argument("files", nargs="+", metavar="FILE",
                        help="checkpoints, or folders that hold some")  # fmt: skip
    parser.add_argument("--data", required=True, help="a data set of any layout, with labels")
    parser.add_argument("-c", "--config", default="rtdetrv2_hgnetv2_l",
                        help="configuration of the training to come")  # fmt: skip
    parser.add_argument("-u", "--update", nargs="+", action="extend", default=[],
                        help="settings of the configuration, as in `train`")  # fmt: skip
    parser.add_argument("--detection", action="store_true",
                        help="train a small detector on each one's features too")  # fmt: skip
    parser.add_argument("--fine-tune", action="store_true",
                        help="add short runs of three seeds for the three best files")  # fmt: skip
    parser.add_argument("--pictures", type=int, default=256, help="of each split at most")
    parser.add_argument("--device", help="where the backbones run")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_rank)


def run_rank(options: argparse.Namespace) -> int:
    """Rank; 2 if no file could be ranked."""
    from rtdetr_nb.config.load import load_config
    from rtdetr_nb.diagnostics.ranking.rank_backbones import rank_backbones

    config = load_config(options.config, ["HGNetv2.pretrained=False", *options.update])
    ranking = rank_backbones(
        options.files,
        config,
        options.data,
        detection=options.detection,
        fine_tune={} if options.fine_tune else None,
        device=options.device,
        max_pictures=options.pictures,
    )
    if options.json:
        print_json(**ranking.to_dict())
    else:
        show = Printer()
        show.line(ranking.conclusion, "bold")
        if ranking.fine_tuned:
            show.line(ranking.fine_tuned, "bold")
        show.table(ranking.short_table())
        for note in ranking.notes:
            show.line(note, "dim")
        for finding in ranking.verdict.findings:
            show.line(f"{finding.level}: {finding}")
        if ranking.best is not None:
            show.line(f"next: rtdetr-nb convert --input {ranking.best} --output tuning.pth")
    return FAILED if ranking.best is None else 0
