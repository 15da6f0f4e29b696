"""Maps as colours, and how many directions they use."""

import numpy as np
import pytest
import torch

import rtdetr_nb as rt
from rtdetr_nb.diagnostics.features import RANDOM, colour_map
from rtdetr_nb.diagnostics.measuring.effective_rank import effective_rank
from rtdetr_nb.errors import DatasetError
from rtdetr_nb.ui.figures.base import to_png
from tests.diagnostics.input_format.corpus import DEMO, ROOT


def test_the_rank_is_that_of_the_directions():
    generator = torch.Generator().manual_seed(0)
    for rank in (1, 3, 8):
        basis, _ = torch.linalg.qr(torch.randn(20, rank, generator=generator).double())
        samples = torch.randn(20_000, rank, generator=generator).double() @ basis.T
        assert effective_rank(samples) == pytest.approx(rank, rel=0.01)
        assert effective_rank(samples + 5) == pytest.approx(rank, rel=0.01)
    assert effective_rank(torch.ones(9, 4)) == 0.0
    # More features than samples: the other product has the same eigenvalues.
    wide = torch.randn(10, 50, generator=generator)
    tall = torch.linalg.qr(torch.randn(80, 50, generator=generator))[0]
    assert effective_rank(wide @ tall.T) == pytest.approx(effective_rank(wide), rel=1e-4)


def test_what_differs_has_other_colours_and_the_sign_means_nothing():
    left = torch.zeros(2, 16, 8, 8)
    left[..., 4:] = torch.randn(16, 1, 1, generator=torch.Generator().manual_seed(0))
    left += 0.01 * torch.randn(left.shape, generator=torch.Generator().manual_seed(1))
    found = colour_map("stride 8", left)
    assert found.colours.shape == (2, 8, 8, 3) and found.colours.dtype == np.uint8
    first = found.colours[..., 0].astype(int)
    assert abs(first[:, :, :4].mean() - first[:, :, 4:].mean()) > 200
    assert found.share > 0.95 and found.rank < 1.5
    assert np.array_equal(colour_map("stride 8", left).colours, found.colours)


def test_maps_that_are_not_finite_are_refused():
    with pytest.raises(DatasetError, match="not finite"):
        colour_map("stride 8", torch.full((1, 4, 4, 4), torch.nan))


@pytest.mark.slow
def test_a_backbone_beside_random_weights():
    config = rt.load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.pretrained=False"])
    shown = rt.show_features(
        config, [DEMO, None, None], ROOT / "data" / "shapes", pictures=2, image_size=128
    )
    assert list(shown.weights) == [DEMO.name, RANDOM, f"{RANDOM}'"]
    assert shown.pictures.shape == (2, 128, 128, 3)
    strides = [stage.stage for stage in shown.weights[RANDOM]]
    assert strides == ["stride 8", "stride 16", "stride 32"]
    assert shown.weights[DEMO.name][0].rank > 2 * shown.weights[RANDOM][0].rank
    assert "rank" in str(shown)
    figure = shown.figure()
    assert len(figure.axes) == 2 * (1 + 3 * 3)
    assert to_png(figure).startswith(b"\x89PNG") and shown._repr_png_().startswith(b"\x89PNG")
