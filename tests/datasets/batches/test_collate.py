import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from rtdetr_nb.datasets.batches.collate import BatchCollate, as_fractions
from rtdetr_nb.errors import ConfigError


def samples(epoch: int = 0, first: int = 0, count: int = 3, size: int = 32):
    generator = torch.Generator().manual_seed(first)
    return [
        (
            torch.rand(3, size, size, generator=generator),
            {"idx": torch.tensor([first + i]), "epoch": torch.tensor([epoch])},
        )
        for i in range(count)
    ]


def test_pictures_are_stacked_and_targets_kept():
    batch = samples()
    images, targets = BatchCollate()(batch)
    assert images.shape == (3, 3, 32, 32)
    assert torch.equal(images[1], batch[1][0])
    assert [int(target["idx"]) for target in targets] == [0, 1, 2]


def test_a_batch_gets_one_of_the_sizes_until_the_stop_epoch():
    collate = BatchCollate(scales=(16, 48, 64), stop_epoch=2, seed=0)
    seen = set()
    for first in range(30):
        batch = samples(epoch=1, first=first)
        images, _ = collate(batch)
        side = images.shape[-1]
        seen.add(side)
        plain = torch.stack([image for image, _ in batch])
        assert torch.equal(images, F.interpolate(plain, size=(side, side), mode="nearest"))
    assert seen == {16, 48, 64}
    assert collate(samples(epoch=2))[0].shape[-1] == 32
    assert BatchCollate(scales=(16,))(samples(epoch=500))[0].shape[-1] == 16


def test_the_size_is_that_of_seed_epoch_and_sample():
    scales = tuple(range(8, 40))

    def sides(seed: int, epoch: int) -> list[int]:
        collate = BatchCollate(scales=scales, seed=seed)
        return [collate(samples(epoch, first, 1))[0].shape[-1] for first in range(8)]

    assert sides(0, 0) == sides(0, 0)
    assert sides(0, 0) != sides(1, 0)
    assert sides(0, 0) != sides(0, 1)
    assert len(set(sides(0, 0))) > 3


def test_a_repeated_size_is_drawn_more_often():
    collate = BatchCollate(scales=(16, 32, 32, 32))
    sides = [collate(samples(0, first, 1, size=8))[0].shape[-1] for first in range(200)]
    assert 0.6 < sides.count(32) / 200 < 0.9


def test_pictures_that_are_no_tensors_are_refused():
    image = Image.new("RGB", (4, 4))
    with pytest.raises(ConfigError, match="Image; expected tensors. Add .*ConvertPILImage"):
        BatchCollate()([(image, {})])


def test_pictures_of_different_sizes_are_refused():
    with pytest.raises(ConfigError, match=r"\(16, 16\), \(32, 32\).*Add .*Resize"):
        BatchCollate()([samples(size=32)[0], samples(size=16)[0]])


@pytest.mark.parametrize("side", [1, 16, 31, 32, 33, 48, 77, 640])
@pytest.mark.parametrize("size", [(32, 32), (21, 50)])
def test_bytes_and_fractions_make_the_same_batch(size: tuple[int, int], side: int):
    generator = torch.Generator().manual_seed(0)
    target = {"idx": torch.tensor([0]), "epoch": torch.tensor([0])}
    # As pictures lie in memory, pixel by pixel, and plane by plane.
    pixels = [torch.randint(0, 256, (*size, 3), generator=generator) for _ in range(3)]
    images = [image.byte().permute(2, 0, 1) for image in pixels]
    for batch in (images, [image.contiguous() for image in images]):
        collate = BatchCollate(scales=(side,))
        found, _ = collate([(image, target) for image in batch])
        wanted, _ = collate([(image.float() / 255, target) for image in batch])
        assert found.dtype == torch.uint8
        assert found.is_contiguous()
        assert torch.equal(as_fractions(found), wanted)


def test_fractions_stay_as_they_are():
    images = torch.rand(2, 3, 4, 4)
    assert as_fractions(images) is images
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(as_fractions(every), every.float() / 255)
