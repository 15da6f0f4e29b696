"""The backbone: what is frozen, and that freezing norms changes no output."""

from typing import Any

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from rtdetr_nb.config.schema import BackboneConfig
from rtdetr_nb.model.build import make_backbone
from rtdetr_nb.model.hgnetv2 import FrozenBatchNorm, HGNetv2, LearnableAffine, freeze_norms


def hgnetv2(**options: Any) -> HGNetv2:
    """A backbone with random weights."""
    return make_backbone(BackboneConfig(**options))


def randomise_norms(module: nn.Module) -> None:
    """Give every batch norm statistics, scales and an epsilon of its own."""
    torch.manual_seed(0)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.get_buffer("running_mean"), std=0.5)
            nn.init.uniform_(norm.get_buffer("running_var"), 0.01, 2.0)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.5)
            norm.eps = 1e-2


@pytest.fixture
def block() -> nn.Module:
    """A few norms, one of them deeper."""
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(6, 5, 1, bias=False), nn.BatchNorm2d(5), nn.ReLU())
    block = nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), inner)
    randomise_norms(block)
    return block.double().eval()


def frozen_norms(module: nn.Module) -> list[FrozenBatchNorm]:
    return [norm for norm in module.modules() if isinstance(norm, FrozenBatchNorm)]


def test_frozen_norms_compute_the_same(block):
    images = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    expected = block(images)
    freeze_norms(block)
    assert len(frozen_norms(block)) == 2
    assert torch.allclose(block(images), expected, rtol=1e-12, atol=1e-12)
    block.train()  # statistics do not move any more
    assert torch.allclose(block(images), expected, rtol=1e-12, atol=1e-12)
    assert block(images).dtype == torch.float64


@pytest.mark.parametrize("forgotten", ["running_mean", "running_var", "weight", "bias", "eps"])
def test_a_forgotten_part_of_the_norm_is_noticed(block, forgotten):
    images = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    expected = block(images)
    freeze_norms(block)
    for norm in frozen_norms(block):
        fresh = FrozenBatchNorm(norm.get_buffer("weight").numel(), eps=1e-5).double()
        setattr(norm, forgotten, getattr(fresh, forgotten))
    assert (block(images) - expected).abs().max() > 1e-3


def test_a_frozen_backbone_has_no_trainable_norm():
    frozen = hgnetv2(freeze_norm=True)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in frozen.modules())
    assert not any(".bn." in name for name, _ in frozen.named_parameters())
    assert not any("num_batches_tracked" in key for key in frozen.state_dict())


@pytest.mark.parametrize("freeze_at", [-1, 0, 1, 2, 3, 4])
def test_freeze_at(freeze_at):
    backbone = hgnetv2(freeze_at=freeze_at)
    parts = [backbone.stem, *backbone.stages]
    for number, part in enumerate(parts):
        wanted = number > freeze_at  # part 0 is the stem, part n the n-th stage
        assert all(parameter.requires_grad == wanted for parameter in part.parameters())


def test_freeze_at_reaches_norms_but_not_their_statistics():
    backbone = hgnetv2(freeze_at=0).train()
    before = backbone.stem.stem1.bn.get_buffer("running_mean").clone()
    backbone(torch.rand(2, 3, 64, 64))
    assert not backbone.stem.stem1.bn.weight.requires_grad
    assert not torch.equal(backbone.stem.stem1.bn.get_buffer("running_mean"), before)


@pytest.mark.parametrize(
    ("variant", "channels"),
    [
        ("L", (128, 512, 1024, 2048)),
        ("X", (128, 512, 1024, 2048)),
        ("H", (192, 512, 1024, 2048)),
    ],
)
def test_maps_of_all_stages(variant, channels):
    backbone = hgnetv2(name=variant, return_idx=(0, 1, 2, 3)).eval()
    with torch.no_grad():
        maps = backbone(torch.rand(1, 3, 64, 96))
    sizes = [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert backbone.out_channels == channels
    expected = [(1, c, *size) for c, size in zip(channels, sizes, strict=True)]
    assert [tuple(x.shape) for x in maps] == expected


def test_return_idx_chooses_maps():
    torch.manual_seed(0)
    backbone = hgnetv2(return_idx=(0, 1, 2, 3)).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        all_maps = backbone(images)
        backbone.return_idx = (1, 3)
        chosen = backbone(images)
    assert [torch.equal(a, b) for a, b in zip(chosen, all_maps[1::2], strict=True)] == [True, True]


def test_learnable_affine_blocks_start_as_identity_and_are_used():
    torch.manual_seed(0)
    plain = hgnetv2().eval()
    with_lab = hgnetv2(use_lab=True).eval()
    missing = with_lab.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert all(".lab." in key for key in missing) and len(missing) == 106
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(plain(images)[-1], with_lab(images)[-1])
        for module in with_lab.modules():
            if isinstance(module, LearnableAffine):
                module.scale.fill_(0.5)
        assert not torch.allclose(plain(images)[-1], with_lab(images)[-1])


def test_a_frozen_norm_is_that_of_torchvision_and_keeps_half_precision(block):
    freeze_norms(block.float())
    (norm, _) = frozen_norms(block)
    theirs = FrozenBatchNorm2d(6, eps=norm.eps)
    theirs.load_state_dict(norm.state_dict())
    maps = torch.randn(2, 6, 9, 9)
    assert torch.allclose(norm(maps), theirs(maps), rtol=1e-5, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        half = block[0](torch.randn(2, 3, 9, 9))
        assert half.dtype == norm(half).dtype == torch.bfloat16
        assert theirs(half).dtype == torch.float32  # what this one is for


def test_a_frozen_norm_loads_a_norm_that_counted_batches():
    norm = nn.BatchNorm2d(4)
    norm.running_mean.uniform_()  # pyright: ignore[reportOptionalMemberAccess]
    frozen = FrozenBatchNorm(4, eps=1e-5)
    frozen.load_state_dict(norm.state_dict())
    assert torch.equal(frozen.running_mean, norm.get_buffer("running_mean"))
    with pytest.raises(RuntimeError, match="unknown"):
        frozen.load_state_dict({**frozen.state_dict(), "unknown": torch.zeros(4)})
    assert repr(frozen) == "FrozenBatchNorm(4, eps=1e-05)"
