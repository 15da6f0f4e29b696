"""A file against a model: rows, findings, verdict, and which rows are taken."""
