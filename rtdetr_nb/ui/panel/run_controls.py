"""The controls of the run panel: one for each setting that a person changes."""

from collections.abc import Callable
from typing import Any

import ipywidgets

from rtdetr_nb.ui.panel.run_settings import FREEZING, SMALLEST_IMAGE, RunSettings


def make_controls(settings: RunSettings) -> dict[str, Any]:
    """Return a control for each setting that has one, by the setting's name."""
    make: dict[str, tuple[Callable[..., Any], str, dict[str, Any]]] = {
        "data": (ipywidgets.Text, "Data folder", {}),
        "tuning": (ipywidgets.Text, "Tuning file", {"placeholder": "empty: random weights"}),
        "output": (ipywidgets.Text, "Output folder", {}),
        "steps": (ipywidgets.IntText, "Steps", {}),
        "batch_size": (ipywidgets.IntText, "Batch size", {}),
        "image_size": (ipywidgets.Dropdown, "Image size", {"options": image_sizes(settings)}),
        "learning_rate": (ipywidgets.FloatText, "Learning rate", {}),
        "backbone_learning_rate": (ipywidgets.FloatText, "Backbone rate", {}),
        "freeze_at": (
            ipywidgets.Dropdown,
            "Freeze",
            {"options": [(words, number) for number, words in FREEZING.items()]},
        ),
        "device": (
            ipywidgets.Combobox,
            "Device",
            {"options": ["cpu", "cuda"], "placeholder": "empty: a GPU if there is one"},
        ),
        "seed": (ipywidgets.IntText, "Seed", {}),
        "processes": (ipywidgets.IntText, "Processes", {}),
        "freeze_norm": (ipywidgets.Checkbox, "Freeze norms", {}),
        "use_amp": (ipywidgets.Checkbox, "Mixed precision", {}),
    }
    return {
        name: kind(
            value=getattr(settings, name),
            description=description,
            style={"description_width": "8.5em"},
            layout={"width": "auto"},
            **options,
        )
        for name, (kind, description, options) in make.items()
    }


def image_sizes(settings: RunSettings) -> list[int]:
    """Return the choices of the image size, the one that is set among them."""
    return sorted({*range(SMALLEST_IMAGE, 641, 32), settings.image_size})
