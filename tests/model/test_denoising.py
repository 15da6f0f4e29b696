"""Denoising queries: their layout against recorded figures, their noise against its definition."""

import hashlib
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from bench.straightforward import hidden_from_all
from rtdetr_nb.boxes import cxcywh_to_xyxy
from rtdetr_nb.model import denoising
from rtdetr_nb.model.denoising import (
    DenoisingQueries,
    DenoisingSettings,
    make_denoising_queries,
)
from tests.golden import load_reference

CASES = load_reference("numerics/denoising.json")
NUM_CLASSES = 80
RIGHT_MASK = denoising._attention_mask


def targets_with(counts: Sequence[int]) -> list[dict[str, Tensor]]:
    torch.manual_seed(0)
    return [
        {
            "labels": torch.randint(0, NUM_CLASSES, (count,)),
            "boxes": torch.cat([0.3 + 0.4 * torch.rand(count, 2), torch.rand(count, 2) / 4], 1),
        }
        for count in counts
    ]


def make(
    targets: list[dict[str, Tensor]], label_noise: float = 0.5, box_noise: float = 1.0
) -> DenoisingQueries:
    torch.manual_seed(1)
    # Each label is embedded as itself, so that content can be read as labels.
    embed = nn.Embedding.from_pretrained(torch.arange(NUM_CLASSES + 1.0)[:, None])
    settings = DenoisingSettings(100, label_noise, box_noise)
    return make_denoising_queries(targets, embed, 300, settings)


def differs(queries: DenoisingQueries, case: dict) -> set[str]:
    """Which of the recorded figures the queries miss."""
    mask = hidden_from_all(queries.attention_mask)  # as it was recorded
    found = {
        "num_group": queries.num_groups,
        "split": [queries.num_queries, len(mask) - queries.num_queries],
        "positive_idx": [index.tolist() for index in queries.positive_index],
        "mask_rows": mask.sum(dim=1).tolist(),
        "mask_cols": mask.sum(dim=0).tolist(),
        "mask_sha": hashlib.sha256(mask.contiguous().numpy().tobytes()).hexdigest(),
    }
    return {name for name, value in found.items() if value != case[name]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["counts"]))
def test_layout_is_the_recorded_one(case):
    assert case.keys() == {
        "counts", "num_group", "split", "positive_idx", "mask_rows", "mask_cols", "mask_sha"
    }  # fmt: skip
    assert differs(make(targets_with(case["counts"])), case) == set()


Mask = Callable[[Tensor, int], Tensor]


def inverted(group: Tensor, num_queries: int) -> Tensor:
    return ~RIGHT_MASK(group, num_queries)


def own_queries_are_not_seen(group: Tensor, num_queries: int) -> Tensor:
    mask = RIGHT_MASK(group, num_queries)
    mask[:, len(group) :] = False
    return mask


def positives_and_negatives_apart(group: Tensor, num_queries: int) -> Tensor:
    return RIGHT_MASK(torch.arange(len(group)) // 3, num_queries)


def groups_see_each_other(group: Tensor, num_queries: int) -> Tensor:
    return RIGHT_MASK(torch.zeros_like(group), num_queries)


@pytest.mark.parametrize(
    "bug",
    [
        inverted,
        own_queries_are_not_seen,
        positives_and_negatives_apart,
        groups_see_each_other,
    ],
)
def test_bugs_in_the_mask_are_noticed(bug: Mask, monkeypatch: pytest.MonkeyPatch):
    case = CASES[0]
    monkeypatch.setattr(denoising, "_attention_mask", bug)
    missed = differs(make(targets_with(case["counts"])), case)
    assert "mask_sha" in missed and missed <= {"mask_sha", "mask_rows", "mask_cols"}


def test_padding_taken_for_a_box_is_noticed(monkeypatch):
    right = denoising._positive_index

    def padding_first(count, num_slots, num_groups, device):
        return right(count, num_slots, num_groups, device) + num_slots - count

    monkeypatch.setattr(denoising, "_positive_index", padding_first)
    for case in CASES:
        if len(set(case["counts"])) > 1:
            assert differs(make(targets_with(case["counts"])), case) == {"positive_idx"}


def test_positives_are_near_and_negatives_are_not():
    targets = targets_with([3])
    queries = make(targets)
    boxes = cxcywh_to_xyxy(queries.boxes_logit[0].sigmoid())
    clean = cxcywh_to_xyxy(targets[0]["boxes"])
    half_sides = targets[0]["boxes"][:, 2:].tile(1, 2) / 2
    slots = torch.arange(queries.num_queries)
    shift = (boxes - clean[slots % 3]).abs() / half_sides[slots % 3]
    positive = torch.isin(slots, queries.positive_index[0])
    assert positive.sum() == queries.num_groups * 3
    assert shift[positive].max() <= 1 + 1e-3
    assert shift[positive].min() < 0.1 and shift[positive].max() > 0.9
    # Corners of negatives may change places; then the size is clipped to nothing.
    whole = ~positive & (queries.boxes_logit[0, :, 2:].sigmoid() > 1e-3).all(dim=-1)
    assert whole.sum() > 20
    assert shift[whole].min() >= 1 - 1e-3
    assert shift[whole].min() < 1.1 and shift[whole].max() > 1.9


def test_box_noise_goes_both_ways_and_stays_in_the_image():
    targets = targets_with([3])
    shifted = cxcywh_to_xyxy(make(targets).boxes_logit[0].sigmoid())
    clean = cxcywh_to_xyxy(targets[0]["boxes"])[torch.arange(len(shifted)) % 3]
    up = (shifted > clean).double().mean(dim=0)
    assert ((up > 0.35) & (up < 0.65)).all()
    at_the_edge = [{"labels": torch.tensor([1]), "boxes": torch.tensor([[0.05, 0.05, 0.1, 0.1]])}]
    wide = make(at_the_edge, box_noise=20.0).boxes_logit
    assert torch.isfinite(wide).all()
    assert cxcywh_to_xyxy(wide.sigmoid()).min() > -1e-4
    assert cxcywh_to_xyxy(wide.sigmoid()).max() < 1 + 1e-4


def test_no_noise_gives_the_targets_back():
    targets = targets_with([2, 4])
    queries = make(targets, label_noise=0.0, box_noise=0.0)
    for image, target in enumerate(targets):
        index = queries.positive_index[image]
        repeats = queries.num_groups
        assert torch.allclose(
            queries.boxes_logit[image, index].sigmoid(),
            target["boxes"].repeat(repeats, 1),
            atol=1e-5,
        )
        assert queries.content[image, index, 0].tolist() == target["labels"].tolist() * repeats


def test_half_of_the_ratio_of_labels_is_drawn_anew_and_padding_never():
    targets = targets_with([2, 5])
    counts = torch.tensor([2, 5])
    clean = make(targets, label_noise=0.0).content[..., 0]
    noisy = make(targets, label_noise=0.8).content[..., 0]
    is_real = (torch.arange(clean.shape[1]) % 5)[None] < counts[:, None]
    changed = (clean != noisy)[is_real].double().mean().item()
    assert 0.25 < changed < 0.55  # 0.4, less the few that draw their own label
    assert (noisy[~is_real] == NUM_CLASSES).all()
    assert (noisy[is_real] < NUM_CLASSES).all()


def test_a_batch_without_boxes_still_uses_the_embedding():
    embed = nn.Embedding(NUM_CLASSES + 1, 4)
    settings = DenoisingSettings(100, 0.5, 1.0)
    queries = make_denoising_queries(targets_with([0, 0]), embed, 300, settings)
    assert queries.content.shape == (2, 2, 4) and queries.content.requires_grad
    assert torch.isfinite(queries.boxes_logit).all()
    assert [len(index) for index in queries.positive_index] == [0, 0]


def test_a_batch_without_boxes_denoises_a_small_box_in_the_middle() -> None:
    empty = {"labels": torch.zeros(0, dtype=torch.int64), "boxes": torch.zeros(0, 4)}
    queries = make_denoising_queries(
        [empty, empty],
        torch.nn.Embedding(5, 8, padding_idx=4),
        num_queries=3,
        settings=DenoisingSettings(10, label_noise_ratio=0.5, box_noise_scale=0.0),
    )
    expected = torch.tensor([0.5, 0.5, 0.1, 0.1]).expand(2, 2, 4)
    torch.testing.assert_close(queries.boxes_logit.sigmoid(), expected)
    assert not queries.content.any()
