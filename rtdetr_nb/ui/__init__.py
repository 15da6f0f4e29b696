"""Widgets and plots: the only importers of ipywidgets, IPython and matplotlib."""
