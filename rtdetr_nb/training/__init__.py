"""Losses, optimizer, the training loop as records, evaluation, probe and runs."""
