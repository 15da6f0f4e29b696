"""The batched criterion against losses computed layer by layer, and against recorded figures."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.config.schema import DecoderConfig
from rtdetr_nb.model.build import make_decoder
from rtdetr_nb.model.decoder import RTDETRTransformerv2
from rtdetr_nb.training.losses import criterion as criterion_module
from rtdetr_nb.training.losses import matcher as matcher_module
from rtdetr_nb.training.losses.criterion import Criterion, build_criterion
from rtdetr_nb.training.losses.matcher import HungarianMatcher, Matches
from tests.golden import golden_images, golden_targets, load_reference
from tests.golden_model import build_golden_model, golden_config
from tests.training.layer_by_layer import Settings, all_losses

NUM_CLASSES = 6
QUERIES = 12
OFFICIAL_NAMES = ("loss_vfl", "loss_bbox", "loss_giou")


def make_targets(counts: tuple[int, ...]) -> list[dict[str, Tensor]]:
    torch.manual_seed(1)
    return [
        {
            "labels": torch.randint(0, NUM_CLASSES, (count,)),
            "boxes": torch.rand(count, 4, dtype=torch.float64) * 0.4 + 0.2,
        }
        for count in counts
    ]


def make_layer(num_images: int, queries: int = QUERIES, classes: int = NUM_CLASSES):
    return {
        "pred_logits": torch.randn(num_images, queries, classes, dtype=torch.float64),
        "pred_boxes": torch.rand(num_images, queries, 4, dtype=torch.float64) * 0.5 + 0.2,
    }


def make_outputs(
    counts: tuple[int, ...], agnostic: bool = False, num_groups: int = 2
) -> dict[str, Any]:
    """Outputs of three decoder layers, with denoising and selection, as leaves for gradients."""
    torch.manual_seed(0)
    images, slots = len(counts), max(*counts, 1)
    positives = [
        torch.cat([2 * group * slots + torch.arange(count) for group in range(num_groups)])
        for count in counts
    ]
    outputs: dict[str, Any] = make_layer(images)
    outputs["aux_outputs"] = [make_layer(images) for _ in range(2)]
    outputs["dn_aux_outputs"] = [make_layer(images, 2 * num_groups * slots) for _ in range(3)]
    outputs["enc_aux_outputs"] = [make_layer(images, classes=1 if agnostic else NUM_CLASSES)]
    outputs["enc_meta"] = {"class_agnostic": agnostic}
    outputs["dn_meta"] = {"dn_positive_idx": positives, "dn_num_group": num_groups}
    for leaf in leaves(outputs):
        leaf.requires_grad_()
    return outputs


def leaves(outputs: Mapping[str, Any]) -> list[Tensor]:
    layers = [outputs]
    for name in ("aux_outputs", "dn_aux_outputs", "enc_aux_outputs"):
        layers += outputs.get(name, [])
    return [layer[name] for layer in layers for name in ("pred_logits", "pred_boxes")]


def make_criterion(s: Settings) -> Criterion:
    matcher = HungarianMatcher(
        s.cost_class,
        s.cost_bbox,
        s.cost_giou,
        use_focal_loss=True,
        alpha=s.matcher_alpha,
        gamma=s.matcher_gamma,
    )
    return Criterion(
        matcher=matcher,
        weight_dict={
            f"loss_{s.classification}": s.loss_class_weight,
            "loss_bbox": s.loss_bbox_weight,
            "loss_giou": s.loss_giou_weight,
        },
        losses=(s.classification, "boxes"),
        alpha=s.alpha,
        gamma=s.gamma,
        boxes_weight_format=s.boxes_weight_format,
        share_matched_indices=s.share_matched_indices,
    )


def gradients(losses: Mapping[str, Tensor], outputs: Mapping[str, Any]) -> list[Tensor]:
    # Each loss with a factor of its own, so that errors do not cancel in the sum.
    total = sum((i + 1) * losses[name] for i, name in enumerate(sorted(losses)))
    assert isinstance(total, Tensor)
    found = torch.autograd.grad(total, leaves(outputs), allow_unused=True)
    return [
        torch.zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(leaves(outputs), found, strict=True)
    ]


def miss(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """Largest relative difference of two sets of losses; infinite for other names."""
    if list(found) != list(expected):
        return float("inf")
    differences = [
        (abs(found[k].item() - expected[k].item()), abs(expected[k].item())) for k in expected
    ]
    return max(difference / max(size, 1e-6) for difference, size in differences)


# --- against the slow reference -------------------------------------------------------------------

COUNTS = [(2, 4), (0, 3), (3,), (0, 0), (15, 1)]  # the last has more boxes than queries


@pytest.mark.parametrize("counts", COUNTS, ids=str)
@pytest.mark.parametrize("boxes_weight_format", [None, "iou", "giou"])
@pytest.mark.parametrize("classification", ["vfl", "focal"])
def test_batched_losses_equal_those_layer_by_layer(classification, boxes_weight_format, counts):
    settings = Settings(classification, boxes_weight_format)
    outputs, targets = make_outputs(counts), make_targets(counts)
    found = make_criterion(settings)(outputs, targets)
    expected = all_losses(outputs, targets, settings)
    assert miss(found, expected) < 1e-10
    for a, b in zip(gradients(found, outputs), gradients(expected, outputs), strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(share_matched_indices=True),
        Settings(share_matched_indices=True, boxes_weight_format="iou"),
        Settings(alpha=0.2, gamma=1.5, matcher_alpha=0.6, matcher_gamma=1.0),
        Settings(cost_class=0.5, cost_bbox=1.0, cost_giou=9.0),
        Settings(loss_class_weight=3.0, loss_bbox_weight=0.25, loss_giou_weight=7.0),
    ],
)
@pytest.mark.parametrize("agnostic", [False, True])
def test_settings_mean_the_same(settings, agnostic):
    outputs, targets = make_outputs((2, 4), agnostic), make_targets((2, 4))
    found = make_criterion(settings)(outputs, targets)
    expected = all_losses(outputs, targets, settings)
    assert miss(found, expected) < 1e-10
    for a, b in zip(gradients(found, outputs), gradients(expected, outputs), strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 0.25},
        {"gamma": 1.5},
        {"matcher_alpha": 0.75},
        {"cost_bbox": 2.0},
        {"boxes_weight_format": None},
        {"boxes_weight_format": "iou"},
        {"share_matched_indices": True},
        {"loss_giou_weight": 5.0},
        {"classification": "focal"},
    ],
    ids=str,
)
def test_wrong_settings_are_noticed(wrong):
    settings = Settings(boxes_weight_format="giou")
    outputs, targets = make_outputs((2, 4)), make_targets((2, 4))
    found = make_criterion(replace(settings, **wrong))(outputs, targets)
    assert miss(found, all_losses(outputs, targets, settings)) > 1e-2


def swap_iou_and_giou(monkeypatch: pytest.MonkeyPatch) -> None:
    right = criterion_module.iou_and_giou
    monkeypatch.setattr(criterion_module, "iou_and_giou", lambda a, b: right(a, b)[::-1])


def count_boxes_of_one_image(monkeypatch: pytest.MonkeyPatch) -> None:
    right = criterion_module.mean_num_boxes
    monkeypatch.setattr(
        criterion_module, "mean_num_boxes", lambda targets, device: right(targets[:1], device)
    )


def add_all_layers_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    right = criterion_module._sum_by_layer
    monkeypatch.setattr(
        criterion_module,
        "_sum_by_layer",
        lambda values, layer, count: right(values, torch.zeros_like(layer), count),
    )


def forget_the_last_aux_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Criterion.forward
    monkeypatch.setattr(
        Criterion,
        "forward",
        lambda self, outputs, targets: right(
            self, {**outputs, "aux_outputs": outputs["aux_outputs"][:-1]}, targets
        ),
    )


def swap_aux_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Criterion.forward
    monkeypatch.setattr(
        Criterion,
        "forward",
        lambda self, outputs, targets: right(
            self, {**outputs, "aux_outputs": outputs["aux_outputs"][::-1]}, targets
        ),
    )


def match_denoising_box_by_box(monkeypatch: pytest.MonkeyPatch) -> None:
    right = criterion_module.denoising_matches

    def interleaved(meta: Any, targets: Any, num_layers: int) -> Matches:
        matches = right(meta, targets, num_layers)
        return replace(matches, target=matches.target.sort().values)

    monkeypatch.setattr(criterion_module, "denoising_matches", interleaved)


def take_first_image_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    right = HungarianMatcher.match_all

    def matched(self: HungarianMatcher, groups: Any) -> list[Matches]:
        found = right(self, groups)
        return [replace(matches, image=torch.zeros_like(matches.image)) for matches in found]

    monkeypatch.setattr(HungarianMatcher, "match_all", matched)


@pytest.mark.parametrize(
    "bug",
    [
        swap_iou_and_giou,
        count_boxes_of_one_image,
        add_all_layers_to_the_first,
        forget_the_last_aux_layer,
        swap_aux_layers,
        match_denoising_box_by_box,
        take_first_image_for_all,
    ],
)
def test_bugs_in_the_criterion_are_noticed(
    bug: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
):
    outputs, targets = make_outputs((2, 4)), make_targets((2, 4))
    expected = all_losses(outputs, targets, Settings())
    bug(monkeypatch)
    assert miss(make_criterion(Settings())(outputs, targets), expected) > 1e-2


# --- names, weights, precision --------------------------------------------------------------------


def test_names_and_order_of_the_losses():
    outputs = make_outputs((2, 4))
    suffixes = ["", "_aux_0", "_aux_1", "_dn_0", "_dn_1", "_dn_2", "_enc_0"]
    found = make_criterion(Settings())(outputs, make_targets((2, 4)))
    assert list(found) == [name + suffix for suffix in suffixes for name in OFFICIAL_NAMES]
    for optional in ("aux_outputs", "dn_aux_outputs", "enc_aux_outputs"):
        del outputs[optional]
    assert list(make_criterion(Settings())(outputs, make_targets((2, 4)))) == list(OFFICIAL_NAMES)


def test_a_loss_without_weight_is_left_out():
    criterion = make_criterion(Settings())
    del criterion.weight_dict["loss_bbox"]
    found = criterion(make_outputs((2, 4)), make_targets((2, 4)))
    assert not any("bbox" in name for name in found) and "loss_giou_dn_2" in found


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_outputs_are_compared_in_single(dtype):
    layer, targets = make_layer(2), make_targets((2, 4))
    half = {"pred_logits": layer["pred_logits"].to(dtype), "pred_boxes": layer["pred_boxes"]}
    found = make_criterion(Settings())(half, targets)
    assert {loss.dtype for loss in found.values()} == {torch.float32}
    assert miss(found, make_criterion(Settings())(layer, targets)) < 0.03


def test_not_a_number_reaches_the_loss_and_stops_nothing():
    outputs, targets = make_outputs((2, 4)), make_targets((2, 4))
    with torch.no_grad():
        outputs["pred_boxes"][0] = float("nan")
    found = make_criterion(Settings())(outputs, targets)
    assert found["loss_bbox"].isnan() and found["loss_bbox_aux_0"].isfinite()


def test_built_as_configured():
    config = load_config(
        "rtdetrv2_hgnetv2_l",
        [
            "RTDETRCriterionv2.losses=[focal,boxes]",
            "RTDETRCriterionv2.weight_dict={loss_focal: 3, loss_bbox: 4, loss_giou: 6}",
            "RTDETRCriterionv2.alpha=0.3",
            "RTDETRCriterionv2.boxes_weight_format=giou",
            "RTDETRCriterionv2.share_matched_indices=True",
            "RTDETRCriterionv2.matcher.alpha=0.4",
            "RTDETRCriterionv2.matcher.weight_dict.cost_giou=8",
        ],
    )
    settings = Settings(
        "focal", "giou", True, alpha=0.3, matcher_alpha=0.4, cost_giou=8.0,
        loss_class_weight=3.0, loss_bbox_weight=4.0, loss_giou_weight=6.0,
    )  # fmt: skip
    outputs, targets = make_outputs((2, 4)), make_targets((2, 4))
    expected = all_losses(outputs, targets, settings)
    # Weights merge: the official file's loss_vfl keeps its weight, but is not in `losses`.
    assert miss(build_criterion(config)(outputs, targets), expected) < 1e-10


# --- class-agnostic query selection ---------------------------------------------------------------


def small_decoder(query_select_method: str) -> RTDETRTransformerv2:
    torch.manual_seed(0)
    section = DecoderConfig(
        num_classes=NUM_CLASSES,
        hidden_dim=16,
        nhead=4,
        dim_feedforward=24,
        feat_channels=(8, 8, 8),
        num_queries=QUERIES,
        num_layers=2,
        num_denoising=6,
        query_select_method=query_select_method,
    )
    return make_decoder(section).train()


def small_maps() -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, 8, size, size) for size in (8, 4, 2)]


def backward_reaches_everything(decoder: RTDETRTransformerv2, losses: dict[str, Tensor]) -> float:
    """Run the backward pass, check every gradient, and return the total loss."""
    total = torch.stack(list(losses.values())).sum()
    decoder.zero_grad()
    total.backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    return total.item()


@pytest.mark.parametrize("method", ["default", "one2many", "agnostic"])
@pytest.mark.parametrize("counts", [(0, 0), (0, 3)], ids=str)
def test_images_without_boxes_leave_no_parameter_out(method, counts):
    """Every process of a distributed run must have gradients of the same parameters."""
    targets = [
        {k: v.float() if k == "boxes" else v for k, v in t.items()} for t in make_targets(counts)
    ]
    decoder = small_decoder(method)
    losses = make_criterion(Settings())(decoder(small_maps(), targets), targets)
    assert backward_reaches_everything(decoder, losses) > 0
    no_box = sum(counts) == 0
    assert all((losses[name].item() == 0) == no_box for name in losses if "vfl" not in name)


def test_class_agnostic_selection_trains():
    """Steps on fixed maps lower the loss; labels above 0 must not break the matching."""
    decoder = small_decoder("agnostic")
    maps = small_maps()
    targets = [
        {k: v.float() if k == "boxes" else v for k, v in t.items()} for t in make_targets((2, 4))
    ]
    assert max(int(target["labels"].max()) for target in targets) > 0
    criterion = make_criterion(Settings())
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-2)
    totals = []
    losses: dict[str, Tensor] = {}
    for _ in range(12):
        torch.manual_seed(7)  # the same denoising queries each time
        losses = criterion(decoder(maps, targets), targets)
        totals.append(backward_reaches_everything(decoder, losses))
        optimizer.step()
    assert totals[-1] < 0.8 * totals[0]
    assert {"loss_vfl_enc_0", "loss_vfl_dn_1"} <= set(losses)


# --- against the recorded figures -----------------------------------------------------------------


@pytest.fixture(scope="module")
def golden_outputs() -> dict[str, Any]:
    model = build_golden_model().train()
    with torch.no_grad():
        return model(golden_images().double(), golden_targets())


def golden_miss(config: Config, outputs: dict[str, Any]) -> float:
    """Largest relative difference from the recorded losses of the first step."""
    recorded = load_reference("numerics/l_320.json")["trajectory"][0]["losses"]
    expected = {name: torch.tensor(value, dtype=torch.float64) for name, value in recorded.items()}
    return miss(build_criterion(config)(outputs, golden_targets()), expected)


def test_first_losses_are_the_recorded_ones(golden_outputs):
    assert golden_miss(golden_config(), golden_outputs) < 1e-6


def test_first_losses_agree_in_float32():
    with torch.no_grad():
        outputs = build_golden_model(torch.float32).train()(golden_images(), golden_targets())
    assert golden_miss(golden_config(), outputs) < 1e-4


@pytest.mark.parametrize(
    "override",
    [
        "alpha=0.25",
        "gamma=1.5",
        "boxes_weight_format=iou",
        "boxes_weight_format=giou",
        "share_matched_indices=True",
        "matcher.weight_dict.cost_class=20",
        "weight_dict.loss_giou=5",
    ],
)
def test_other_settings_are_not_the_recorded_ones(golden_outputs, override):
    config = golden_config().override([f"RTDETRCriterionv2.{override}"])
    assert golden_miss(config, golden_outputs) > 1e-3


def test_bugs_miss_the_recorded_losses(golden_outputs, monkeypatch):
    discarded = {**golden_outputs, "aux_outputs": golden_outputs["aux_outputs"][1:]}
    assert golden_miss(golden_config(), discarded) == float("inf")
    swapped = {**golden_outputs, "aux_outputs": golden_outputs["aux_outputs"][::-1]}
    assert golden_miss(golden_config(), swapped) > 1e-3
    right = matcher_module.iou_and_giou
    monkeypatch.setattr(matcher_module, "iou_and_giou", lambda a, b: right(b, a)[::-1])
    monkeypatch.setattr(criterion_module, "iou_and_giou", lambda a, b: right(b, a)[::-1])
    assert golden_miss(golden_config(), golden_outputs) > 1e-3
