"""The first norm: its statistics under each format are those that a convolution really has."""

import pytest
import torch
from torch.nn.functional import conv2d

from rtdetr_nb.checkpoint.tuning.input_format import FORMATS, STEM_MEAN, STEM_WEIGHT
from rtdetr_nb.diagnostics.input_format.first_norm import (
    PatchMoments,
    in_other_order,
    judge_formats,
    patch_moments,
    weigh_formats,
)
from rtdetr_nb.diagnostics.measuring.pictures import at_usual_light
from tests.diagnostics.input_format.kinds_of_pictures import noise, shapes

VARIANCE = "stem.stem1.bn.running_var"


@pytest.fixture(scope="module")
def weight():
    return torch.randn(16, 3, 3, 3, generator=torch.Generator().manual_seed(0))


def stem_of(weight, pictures, name):
    """A first layer whose norm holds what the convolution puts out of these pictures."""
    outputs = conv2d(FORMATS[name].apply(pictures), weight, stride=2)
    variance, mean = torch.var_mean(outputs.double(), dim=(0, 2, 3), correction=0)
    return {STEM_WEIGHT: weight, STEM_MEAN: mean, VARIANCE: variance}


@pytest.mark.parametrize("name", FORMATS)
def test_the_format_of_the_training_fits_to_the_last_digits(weight, name):
    pictures = shapes(4, 64)
    ranked = weigh_formats(stem_of(weight, pictures, name), patch_moments(pictures))
    assert ranked[0].format.name == name
    assert ranked[0].divergence < 1e-6
    judged = judge_formats(ranked)
    assert judged.is_decided and judged.order_is_decided
    assert judged.found is not None and judged.found.name == name
    assert judged.allows(FORMATS[name]) and judged.times(FORMATS[name]) == 1


def test_brightness_and_contrast_do_not_turn_one_format_into_another(weight):
    """Dark pictures under 0 to 1 lie nearer to ImageNet's figures than bright ones do."""
    pictures = shapes(8, 64)
    stem = stem_of(weight, at_usual_light(pictures), "zero_one")
    ranked = weigh_formats(stem, patch_moments(pictures * 0.08))
    assert ranked[0].format.name.startswith("zero_one")
    assert ranked[0].usual_light < 0.1 < 10 < ranked[0].divergence


def test_grey_pictures_do_not_tell_the_order(weight):
    grey = shapes(4, 64).mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    judged = judge_formats(weigh_formats(stem_of(weight, grey, "half_bgr"), patch_moments(grey)))
    assert not judged.order_is_decided
    assert judged.found is not None and judged.found.name == "half"


def test_pictures_of_another_kind_leave_it_open_rather_than_wrong(weight):
    """Random kernels hardly tell 0 to 1 from the same less a mean, if trained on other pictures."""
    for name in ("zero_one", "mean_only"):
        ranked = weigh_formats(stem_of(weight, shapes(8, 64), name), patch_moments(noise()))
        judged = judge_formats(ranked)
        assert judged.allows(FORMATS[name])
        assert judged.found is None or judged.found.name == name


def test_moments_are_those_of_the_patches():
    picture = torch.rand(3, 9, 11, generator=torch.Generator().manual_seed(1))
    rows = [
        picture[:, y : y + 3, x : x + 3].reshape(-1).double()
        for y in range(0, 7, 2)
        for x in range(0, 9, 2)
    ]
    patches = torch.stack(rows)
    moments = patch_moments([picture])
    torch.testing.assert_close(moments.mean, patches.mean(dim=0))
    torch.testing.assert_close(moments.covariance, patches.T.cov(correction=0))


def test_usual_light_sets_mean_and_spread():
    usual = patch_moments(shapes(4, 64) * 0.1).at_usual_light()
    assert isinstance(usual, PatchMoments)
    torch.testing.assert_close(usual.mean, torch.full((27,), 0.45).double())
    spread = usual.covariance.diagonal().view(3, 9).mean(dim=1).sqrt()
    torch.testing.assert_close(spread, torch.full((3,), 0.25).double())


@pytest.mark.parametrize("name", FORMATS)
def test_the_other_order_of_the_other_order_is_the_same(name):
    turned = in_other_order(FORMATS[name])
    assert turned.order != FORMATS[name].order and turned.name in FORMATS
    assert in_other_order(turned).same_as(FORMATS[name])
    assert in_other_order(turned).name == name
