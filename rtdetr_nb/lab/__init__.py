"""Notebooks with values filled in, and pages for a class."""
