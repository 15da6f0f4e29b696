"""Draws the demo pictures."""
