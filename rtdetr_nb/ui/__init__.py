"""Widgets: the only importers of ipywidgets, anywidget, itables and IPython."""
