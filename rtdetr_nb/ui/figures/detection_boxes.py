"""Boxes that a detector on frozen features has found, beside the true ones."""

from matplotlib.figure import Figure

from rtdetr_nb.diagnostics.detection.result import DetectionProbe
from rtdetr_nb.ui.figures.base import COLORS, Boxes, pictures_figure


def draw_detection_boxes(result: DetectionProbe) -> Figure:
    """The same held-out pictures with true boxes, and with the surest ones of each backbone."""
    kinds = list(result.shown[0].boxes)
    rows = {
        kind: [
            Boxes(picture.boxes[kind], picture.names[kind], picture.scores[kind] or None)
            for picture in result.shown
        ]
        for kind in kinds
    }
    colors = {"true": COLORS[2], "loaded": COLORS[0], "random": COLORS[1]}
    pixels = [picture.pixels for picture in result.shown]
    return pictures_figure(pixels, rows, [colors[kind] for kind in kinds])
