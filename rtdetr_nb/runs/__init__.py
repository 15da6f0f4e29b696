"""A run as a folder and a process: start, watch, stop, records. No torch, no widget."""
