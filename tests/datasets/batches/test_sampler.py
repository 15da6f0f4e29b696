from hypothesis import given
from hypothesis import strategies as st

from rtdetr_nb.datasets.batches.sampler import EpochSampler

sizes = st.integers(1, 40)
worlds = st.integers(1, 5)


def indices(sampler: EpochSampler, epoch: int = 0, start: int = 0) -> list[int]:
    sampler.set_position(epoch, start)
    pairs = list(sampler)
    assert all(pair[0] == epoch for pair in pairs)
    return [index for _, index in pairs]


@given(size=sizes, epoch=st.integers(0, 5), seed=st.integers(0, 9))
def test_an_epoch_has_every_sample_once(size: int, epoch: int, seed: int):
    found = indices(EpochSampler(size, shuffle=True, seed=seed), epoch)
    assert sorted(found) == list(range(size))


def test_the_order_is_that_of_the_seed_and_the_epoch():
    first = indices(EpochSampler(50, shuffle=True, seed=1), 3)
    assert first == indices(EpochSampler(50, shuffle=True, seed=1), 3)
    assert first != indices(EpochSampler(50, shuffle=True, seed=1), 4)
    assert first != indices(EpochSampler(50, shuffle=True, seed=2), 3)
    assert indices(EpochSampler(50)) == list(range(50))


@given(size=sizes, start=st.integers(0, 45))
def test_a_later_start_leaves_out_the_beginning(size: int, start: int):
    sampler = EpochSampler(size, shuffle=True, seed=1)
    assert indices(sampler, 2, start) == indices(sampler, 2)[start:]
    assert len(sampler) == size


@given(size=sizes, world=worlds)
def test_evaluation_deals_every_sample_to_one_process(size: int, world: int):
    dealt = []
    for rank in range(world):
        sampler = EpochSampler(size, rank=rank, world_size=world)
        found = indices(sampler)
        assert len(found) == len(sampler)
        dealt += found
    assert sorted(dealt) == list(range(size))


@given(size=sizes, world=worlds, epoch=st.integers(0, 3))
def test_training_deals_evenly_and_as_one_process_would(size: int, world: int, epoch: int):
    samplers = [
        EpochSampler(size, True, seed=5, rank=rank, world_size=world, even=True)
        for rank in range(world)
    ]
    dealt = [indices(sampler, epoch) for sampler in samplers]
    assert {len(found) for found in dealt} == {len(samplers[0])} == {-(-size // world)}
    assert set().union(*dealt) == set(range(size))
    alone = indices(EpochSampler(size, True, seed=5), epoch)
    together = [index for cards in zip(*dealt, strict=True) for index in cards]
    assert together[:size] == alone
