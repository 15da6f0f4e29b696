"""What a run tells before its first step: what may spoil it, once, in its log."""

import logging

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.size_findings import size_findings
from rtdetr_nb.datasets.checks.check_data import check_data
from rtdetr_nb.datasets.source import DataSource
from rtdetr_nb.text.findings import NOTE

logger = logging.getLogger(__name__)


def tell_data(config: Config, data: DataSource) -> None:
    """Tell what a check of the data set finds, and how much of it is evaluated.

    No picture is decoded. What no run can use is refused elsewhere, as an error.

    Args:
        config: of the run.
        data: that it names.
    """
    decoder = config.decoder
    report = check_data(
        data, "none", num_queries=decoder.num_queries, num_denoising=decoder.num_denoising
    )
    findings = [*size_findings(config), *(note for note in report.findings)]
    for found in dict.fromkeys(findings):
        level = logging.INFO if found.level == NOTE else logging.WARNING
        logger.log(level, "%s", found)
    shown = config.eval_pictures
    if shown is not None and shown < len(data.val):
        logger.info("evaluation on %d validation pictures, chosen evenly (eval_pictures)", shown)
