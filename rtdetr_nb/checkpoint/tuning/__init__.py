"""Writes the tuning file, proves it, and loads it."""
