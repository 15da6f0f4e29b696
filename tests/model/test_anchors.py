"""The boxes from which query selection starts, one on each position of each map."""

import math

import torch

from rtdetr_nb.model.anchors import generate_anchors, map_sizes


def test_anchors_by_hand():
    anchors, valid = generate_anchors([(2, 3), (1, 2)], margin=0.2)
    expected = []
    for level, (height, width) in enumerate([(2, 3), (1, 2)]):
        for row in range(height):
            for column in range(width):
                side = 0.05 * 2**level
                box = [(column + 0.5) / width, (row + 0.5) / height, side, side]
                inside = all(0.2 < value < 0.8 for value in box)
                expected.append([math.log(v / (1 - v)) if inside else math.inf for v in box])
    assert anchors.shape == (1, 8, 4) and valid.shape == (1, 8, 1)
    assert torch.allclose(anchors[0], torch.tensor(expected), atol=1e-6)
    assert not valid.any()  # the sides themselves are below such a margin


def test_border_positions_start_no_query():
    _, valid = generate_anchors([(80, 80), (40, 40), (20, 20)], margin=1e-2)
    finest, middle, coarsest = valid[0, :, 0].split([6400, 1600, 400])
    assert finest.reshape(80, 80)[1:-1, 1:-1].all()
    assert finest.sum() == 78 * 78  # half a cell of 1/80 is nearer to the border than 1e-2
    assert middle.all() and coarsest.all()


def test_further_levels_have_half_the_size():
    assert map_sizes((640, 480), (8, 16, 32), 3) == [(80, 60), (40, 30), (20, 15)]
    assert map_sizes((640, 480), (8, 16, 32), 5)[3:] == [(10, 7), (5, 3)]
