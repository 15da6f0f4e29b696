"""Runs of the official repository, as runs like ours."""
