"""Which version of the official code the predictions are of."""

OFFICIAL_COMMIT = "068dfde"
"""Commit of lyuwenyu/RT-DETR (13 August 2026) whose rules are written down here."""
