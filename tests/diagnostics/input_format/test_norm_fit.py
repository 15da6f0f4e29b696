"""Distances of statistics, and what is said of one layer by them alone."""

import pytest
import torch

from rtdetr_nb.config.schema import BackboneConfig
from rtdetr_nb.diagnostics.input_format.layer_causes import FOREIGN, INITIAL
from rtdetr_nb.diagnostics.input_format.norm_fit import NormFit, fit_norms
from rtdetr_nb.diagnostics.measuring.divergence import (
    ChannelStatistics,
    hellinger,
    kullback_leibler,
    median_divergence,
    mismatch,
)
from rtdetr_nb.diagnostics.measuring.norm_statistics import (
    NormStatistics,
    load_backbone,
    measure_norms,
)
from rtdetr_nb.model.build import make_backbone

CHANNELS = 64


def statistics(seed: int = 0) -> ChannelStatistics:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(CHANNELS, generator=generator)
    return ChannelStatistics.of(mean, torch.rand(CHANNELS, generator=generator) + 0.2)


def fit(remembered: ChannelStatistics, met: ChannelStatistics) -> NormFit:
    item = NormStatistics("stages.0.blocks.0.layers.0", remembered, met)
    return fit_norms([item], [item])[0]


def test_distances_are_those_of_normal_distributions():
    """Against the integrals, worked out on a grid."""
    one = ChannelStatistics(torch.tensor([0.3]).double(), torch.tensor([0.5]).double())
    two = ChannelStatistics(torch.tensor([-0.4]).double(), torch.tensor([1.5]).double())
    x = torch.linspace(-15, 15, 200_001, dtype=torch.float64)
    p, q = (
        torch.distributions.Normal(s.mean, s.variance.sqrt()).log_prob(x).exp() for s in (one, two)
    )
    step = x[1] - x[0]
    wanted = ((p - q) * (p / q).log()).nan_to_num().sum() * step
    torch.testing.assert_close(kullback_leibler(one, two)[0], wanted, rtol=1e-6, atol=0)
    overlap = (p * q).sqrt().sum() * step
    torch.testing.assert_close(hellinger(one, two)[0], 1 - overlap, rtol=1e-6, atol=0)


def test_equal_statistics_have_no_distance_and_permuted_ones_are_as_any():
    own = statistics()
    assert median_divergence(own, own) == 0
    assert mismatch(own, own)[0] == pytest.approx(0, abs=1e-12)
    ratios = []
    for seed in range(20):
        order = torch.randperm(CHANNELS, generator=torch.Generator().manual_seed(seed))
        other = ChannelStatistics(own.mean[order], own.variance[order])
        ratios.append(mismatch(own, other)[0])
    assert sum(ratios) / len(ratios) == pytest.approx(1.0, abs=0.05)


def test_a_common_factor_is_no_mismatch():
    own = statistics()
    wider = ChannelStatistics(own.mean, own.variance * 5)
    assert mismatch(own, wider)[0] == pytest.approx(0, abs=1e-9)
    assert median_divergence(own, wider) > 1


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda s: s, ""),
        (lambda s: s.scaled(1.1), ""),
        (lambda s: s.scaled(2.0), "outputs are 2 times as large"),
        (lambda s: ChannelStatistics(s.mean, s.variance * 4), "outputs vary 4 times as much"),
        (lambda s: ChannelStatistics(-s.mean, s.variance), "sign of the convolution is turned"),
        (lambda s: ChannelStatistics(s.mean.flip(0), s.variance.flip(0)), FOREIGN),
        (lambda s: ChannelStatistics(s.mean * torch.nan, s.variance), "not finite"),
        (
            lambda s: ChannelStatistics(
                s.mean * (torch.arange(CHANNELS) % 4 > 0),
                torch.where(torch.arange(CHANNELS) % 4 > 0, s.variance, 1e-5),
            ),
            "16 of 64 channels put out one value",
        ),
    ],
)
def test_what_is_said_of_one_layer(change, cause):
    own = statistics()
    found = fit(own, change(own))
    assert found.is_broken == bool(cause)
    assert cause in found.cause


def test_initial_statistics_are_named():
    initial = ChannelStatistics.of(torch.zeros(CHANNELS), torch.ones(CHANNELS))
    assert fit(initial, statistics()).cause == INITIAL


def test_exchanged_norms_name_each_other():
    one, two = statistics(1), statistics(2)
    items = [NormStatistics("a", one, two), NormStatistics("b", two, one)]
    assert [f.cause for f in fit_norms(items, items)] == [
        "its statistics are those of b",
        "its statistics are those of a",
    ]


def test_a_layer_only_counts_where_it_fits_no_pictures():
    own, odd = statistics(), statistics(3)
    given, generated = NormStatistics("a", own, odd), NormStatistics("a", own, own)
    found = fit_norms([given], [generated])[0]
    assert not found.is_broken
    assert found.divergence == 0 < 0.25 < found.on_pictures


def test_channels_that_are_all_alike_cannot_be_told_apart():
    alike = ChannelStatistics(torch.zeros(CHANNELS).double(), torch.ones(CHANNELS).double())
    jitter = torch.linspace(0.98, 1.02, CHANNELS).double()
    found = fit(
        ChannelStatistics(alike.mean, jitter), ChannelStatistics(alike.mean, jitter.flip(0))
    )
    assert found.mismatch > 0.5 and not found.is_broken


def test_each_layer_meets_inputs_that_it_knows():
    """A fault in one layer changes what its own norm meets, and no other norm's means."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = make_backbone(BackboneConfig(name="L")).state_dict()
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    name = "stages.0.blocks.0.layers.2"
    broken = {**state, f"{name}.conv.weight": state[f"{name}.conv.weight"] * 7}
    sound, scaled = (measure_norms(load_backbone(s, "L"), pictures) for s in (state, broken))
    assert [item.name for item in sound][:2] == ["stem.stem1", "stem.stem2a"]
    assert len(sound) == 80
    for before, after in zip(sound, scaled, strict=True):
        factor = 49.0 if before.name == name else 1.0
        torch.testing.assert_close(
            after.met.variance, before.met.variance * factor, rtol=2e-2, atol=1e-4
        )


def test_the_backbone_is_as_before():
    net = load_backbone(make_backbone(BackboneConfig(name="L")).state_dict(), "L")
    before = {k: v.clone() for k, v in net.state_dict().items()}
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        first = net(picture)
        measure_norms(net, picture)
        second = net(picture)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
