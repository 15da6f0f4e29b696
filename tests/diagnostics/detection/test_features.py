"""The projection of maps, against numpy's singular values."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rtdetr_nb.diagnostics.detection.features import compute_features, fit_projection
from rtdetr_nb.errors import TuningError


@pytest.fixture
def maps() -> Tensor:
    """(4, 12, 6, 6) with channels that depend on each other, of different sizes."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(4, 5, 6, 6, generator=generator)
    mixing = torch.randn(12, 5, generator=generator)
    mixed = torch.einsum("bkhw,ck->bchw", hidden, mixing)
    noise = 0.1 * torch.randn(4, 12, 6, 6, generator=generator)
    return (mixed + noise) * torch.logspace(-2, 2, 12)[:, None, None] + 7.0


def test_the_projection_is_onto_the_first_principal_components(maps: Tensor) -> None:
    projection = fit_projection(maps, 4)
    rows = maps.permute(0, 2, 3, 1).reshape(-1, 12).double().numpy()
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    left, values, _ = np.linalg.svd(rows, full_matrices=False)
    expected = left[:, :4] * values[:4]
    expected /= np.sqrt((expected**2).mean())
    found = projection(maps).permute(0, 2, 3, 1).reshape(-1, 4).double().numpy()
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found, expected * signs, atol=2e-4)
    assert (found**2).mean() == pytest.approx(1.0, rel=1e-3)
    share = (values[:4] ** 2).sum() / (values**2).sum()
    assert projection.kept == pytest.approx(share, rel=1e-6) and 0.8 < share < 0.999


def test_five_hidden_channels_are_all_there_is(maps: Tensor) -> None:
    assert fit_projection(maps, 5).kept > 0.99
    assert fit_projection(maps, 64).weight.shape == (12, 12)
    assert fit_projection(maps, 64).kept == pytest.approx(1.0)


def test_the_scale_of_channels_has_no_say(maps: Tensor) -> None:
    first = fit_projection(maps, 3)(maps)
    scaled = maps * torch.logspace(1, -1, 12)[:, None, None] - 3
    torch.testing.assert_close(fit_projection(scaled, 3)(scaled), first, atol=2e-3, rtol=0)


def test_channels_that_are_constant_do_no_harm(maps: Tensor) -> None:
    maps[:, 3] = 0.0
    maps[:, 4] = 5.0
    projection = fit_projection(maps, 4)
    assert projection(maps).isfinite().all()
    assert (projection.weight[:, 3:5] == 0).all()
    assert fit_projection(torch.zeros(2, 4, 3, 3), 2)(torch.zeros(1, 4, 3, 3)).isfinite().all()


class Pooled(nn.Module):
    """A backbone of two maps: means of 8 and of 16 pixels."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, images: Tensor) -> list[Tensor]:
        return [nn.functional.avg_pool2d(images * self.factor, size) for size in (8, 16)]


@pytest.mark.parametrize("count", [5, 70])
def test_features_of_a_split_are_those_of_its_pictures(count: int) -> None:
    """More pictures than those that the projection is fitted on go through the backbone again."""
    generator = torch.Generator().manual_seed(0)
    train = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    known, asked, kept = compute_features(Pooled(), train, train[:3], channels=3)
    assert [tuple(level.shape) for level in known.levels] == [(count, 3, 4, 4), (count, 3, 2, 2)]
    assert len(known) == count and len(kept) == 2
    for first, second in zip(known.levels, asked.levels, strict=True):
        torch.testing.assert_close(first[:3], second)


def test_maps_that_are_not_finite_are_refused() -> None:
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    with pytest.raises(TuningError, match="output is not finite"):
        compute_features(Pooled(float("nan")), images, images, channels=2)
