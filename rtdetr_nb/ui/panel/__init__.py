"""The panel that sets up a short run, starts it and watches it."""
