"""Activations of HGNetv2-L at 320x320 against recorded figures, in float64.

The recorded figures are rounded to float32 (6e-8); measured here: 3e-8 of the largest value. Beside
each comparison, deliberate bugs show that it would notice: each must miss by 1e-3 or more, a
thousand times the tolerance.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtdetr_nb.boxes import inverse_sigmoid
from rtdetr_nb.model import decoder as decoder_module
from rtdetr_nb.model import deformable_attention, hgnetv2, hybrid_encoder
from rtdetr_nb.model.anchors import generate_anchors
from rtdetr_nb.model.build import build_postprocessor
from rtdetr_nb.model.decoder_layer import DecoderLayer, QueryAttention
from rtdetr_nb.model.rtdetr import RTDETR
from tests.golden import deviation, golden_images, in_order_of, load_reference
from tests.golden_model import build_golden_model, golden_config

TOLERANCE = 1e-6
NOTICED = 1e-3
REFERENCE = load_reference("numerics/l_320.json")

Bug = Callable[[pytest.MonkeyPatch, RTDETR], None]


@dataclass(frozen=True)
class Golden:
    """The model in evaluation mode, and what each of its parts gives for the golden images."""

    model: RTDETR
    images: Tensor
    backbone_maps: list[Tensor]
    encoder_maps: list[Tensor]
    outputs: dict[str, Tensor]


def run(model: RTDETR, images: Tensor) -> Golden:
    with torch.no_grad():
        backbone_maps = model.backbone(images)
        encoder_maps = model.encoder(backbone_maps)
        outputs = model.decoder(encoder_maps)
    return Golden(model, images, backbone_maps, encoder_maps, outputs)


@pytest.fixture(scope="module")
def golden() -> Golden:
    return run(build_golden_model().eval(), golden_images().double())


@pytest.fixture(scope="module")
def single() -> Iterator[Golden]:
    """In float32, which is faster; its own error is a tenth of what counts as noticed."""
    single = run(build_golden_model(torch.float32).eval(), golden_images())
    yield single
    again = run(single.model, single.images)
    assert torch.equal(again.outputs["pred_boxes"], single.outputs["pred_boxes"]), (
        "a deliberate bug was not undone"
    )


def largest(found: list[Tensor], expected: list[dict[str, Any]]) -> float:
    return max(deviation(a, b) for a, b in zip(found, expected, strict=True))


def outputs_deviation(outputs: dict[str, Tensor]) -> float:
    return max(deviation(outputs[name], REFERENCE["eval"][name]) for name in REFERENCE["eval"])


def test_backbone_maps(golden):
    assert largest(golden.backbone_maps, REFERENCE["backbone"]) < TOLERANCE


def test_encoder_maps(golden):
    assert largest(golden.encoder_maps, REFERENCE["encoder"]) < TOLERANCE


def test_outputs(golden):
    assert golden.outputs.keys() == REFERENCE["eval"].keys()
    assert outputs_deviation(golden.outputs) < TOLERANCE


def test_model_is_its_parts_in_a_row():
    model = build_golden_model(torch.float32).eval()
    images = golden_images(64)
    small = model.decoder
    small.selection = replace(small.selection, num_queries=50)
    with torch.no_grad():
        expected = small(model.encoder(model.backbone(images)))
        found = model(images)
    assert torch.equal(found["pred_logits"], expected["pred_logits"])
    assert torch.equal(found["pred_boxes"], expected["pred_boxes"])


def test_queries_in_another_order_are_noticed(golden):
    late_first = {name: x.flip(1) for name, x in golden.outputs.items()}
    assert outputs_deviation(late_first) > NOTICED
    assert outputs_deviation(in_order_of(late_first, golden.outputs)) < TOLERANCE


def test_float32_agrees(single, golden):
    assert largest(single.backbone_maps, REFERENCE["backbone"]) < 1e-4
    assert largest(single.encoder_maps, REFERENCE["encoder"]) < 1e-4
    assert outputs_deviation(in_order_of(single.outputs, golden.outputs)) < 1e-4


# --- deliberate bugs in the backbone --------------------------------------------------------------


def forget_block_residual(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    for module in model.backbone.modules():
        if isinstance(module, hgnetv2.HGBlock):
            monkeypatch.setattr(module, "residual", False)


def pad_the_stem_at_the_start(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    padding = model.backbone.stem.stem2a.conv.get_submodule("0")
    monkeypatch.setattr(padding, "padding", (1, 0, 1, 0))


def swap_the_paths_of_the_stem(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    def forward(self: hgnetv2.Stem, x: Tensor) -> Tensor:
        x = self.stem1(x)
        x = torch.cat([self.stem2b(self.stem2a(x)), self.pool(x)], dim=1)
        return self.stem4(self.stem3(x))

    monkeypatch.setattr(hgnetv2.Stem, "forward", forward)


def activate_between_light_convolutions(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    for module in model.backbone.modules():
        if isinstance(module, hgnetv2.LightConv):
            monkeypatch.setitem(module.conv1._modules, "act", nn.ReLU())


def take_another_epsilon(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    for module in model.backbone.modules():
        if isinstance(module, hgnetv2.FrozenBatchNorm):
            monkeypatch.setattr(module, "eps", 1e-3)


def forget_running_means(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    for module in model.backbone.modules():
        if isinstance(module, hgnetv2.FrozenBatchNorm):
            zeros = torch.zeros_like(module.get_buffer("running_mean"))
            monkeypatch.setitem(module._buffers, "running_mean", zeros)


def transpose_one_kernel(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    conv = model.backbone.get_submodule("stages.2.blocks.1.layers.3.conv2.conv")
    transposed = nn.Parameter(conv.get_parameter("weight").transpose(-1, -2))
    monkeypatch.setitem(conv._parameters, "weight", transposed)


@pytest.mark.parametrize(
    "bug",
    [
        forget_block_residual,
        pad_the_stem_at_the_start,
        swap_the_paths_of_the_stem,
        activate_between_light_convolutions,
        take_another_epsilon,
        forget_running_means,
        transpose_one_kernel,
    ],
)
def test_backbone_bugs_are_noticed(bug: Bug, single: Golden, monkeypatch: pytest.MonkeyPatch):
    bug(monkeypatch, single.model)
    with torch.no_grad():
        maps = single.model.backbone(single.images)
    assert largest(maps, REFERENCE["backbone"]) > NOTICED


# --- deliberate bugs in the encoder ---------------------------------------------------------------


@pytest.fixture
def fresh_caches(single: Golden) -> Iterator[None]:
    """Neither an embedding nor anchors made by a bug stay behind."""
    single.model.encoder._position_embeddings.clear()
    single.model.decoder._anchors.clear()
    yield
    single.model.encoder._position_embeddings.clear()
    single.model.decoder._anchors.clear()


def embed_positions_row_by_row(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    right = hybrid_encoder.position_embedding_2d

    def by_rows(height: int, width: int, dim: int, temperature: float) -> Tensor:
        by_columns = right(height, width, dim, temperature).reshape(1, width, height, dim)
        return by_columns.transpose(1, 2).reshape(1, height * width, dim)

    monkeypatch.setattr(hybrid_encoder, "position_embedding_2d", by_rows)


def swap_sine_and_cosine(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    right = hybrid_encoder.position_embedding_2d

    def swapped(height: int, width: int, dim: int, temperature: float) -> Tensor:
        sin_x, cos_x, sin_y, cos_y = right(height, width, dim, temperature).chunk(4, dim=-1)
        return torch.cat([cos_x, sin_x, cos_y, sin_y], dim=-1)

    monkeypatch.setattr(hybrid_encoder, "position_embedding_2d", swapped)


def attend_with_half_the_heads(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    for module in model.encoder.modules():
        if isinstance(module, nn.MultiheadAttention):
            monkeypatch.setattr(module, "num_heads", module.num_heads // 2)
            monkeypatch.setattr(module, "head_dim", module.head_dim * 2)


def add_positions_to_the_values(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    right = nn.MultiheadAttention.forward

    def forward(self: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, **kwargs):
        return right(self, query, key, query, **kwargs)

    monkeypatch.setattr(nn.MultiheadAttention, "forward", forward)


def use_relu_for_gelu(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    for module in model.encoder.modules():
        if isinstance(module, hybrid_encoder.TransformerEncoderLayer):
            monkeypatch.setitem(module._modules, "activation", nn.ReLU())


def upsample_smoothly(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    right = F.interpolate
    monkeypatch.setattr(
        F, "interpolate", lambda x, scale_factor, mode: right(x, None, scale_factor, "bilinear")
    )


def forget_the_pointwise_path(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    monkeypatch.setattr(
        hybrid_encoder.RepVggBlock, "forward", lambda self, x: self.act(self.conv1(x))
    )


def pass_on_the_map_before_its_lateral(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    right = hybrid_encoder.HybridEncoder._top_down

    def top_down(self: hybrid_encoder.HybridEncoder, maps: list[Tensor]) -> list[Tensor]:
        return [*right(self, maps)[:-1], maps[-1]]

    monkeypatch.setattr(hybrid_encoder.HybridEncoder, "_top_down", top_down)


@pytest.mark.usefixtures("fresh_caches")
@pytest.mark.parametrize(
    "bug",
    [
        embed_positions_row_by_row,
        swap_sine_and_cosine,
        attend_with_half_the_heads,
        add_positions_to_the_values,
        use_relu_for_gelu,
        upsample_smoothly,
        forget_the_pointwise_path,
        pass_on_the_map_before_its_lateral,
    ],
)
def test_encoder_bugs_are_noticed(bug: Bug, single: Golden, monkeypatch: pytest.MonkeyPatch):
    bug(monkeypatch, single.model)
    with torch.no_grad():
        maps = single.model.encoder(single.backbone_maps)
    assert largest(maps, REFERENCE["encoder"]) > NOTICED


# --- deliberate bugs in the decoder ---------------------------------------------------------------


def swap_two_box_heads(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    heads = model.decoder.dec_bbox_head._modules
    first, second = heads["0"], heads["1"]
    monkeypatch.setitem(heads, "0", second)
    monkeypatch.setitem(heads, "1", first)


def score_with_the_layer_before(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    heads = model.decoder.dec_score_head._modules
    monkeypatch.setitem(heads, "5", heads["4"])


def stop_one_layer_early(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    monkeypatch.setattr(model.decoder, "eval_layer", 4)


def count_offsets_in_whole_boxes(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    monkeypatch.setattr(deformable_attention, "_OFFSET_SCALE", 1.0)


def forget_to_share_offsets_among_points(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    for module in model.decoder.modules():
        if isinstance(module, deformable_attention.DeformableAttention):
            ones = torch.ones_like(module.num_points_scale)
            monkeypatch.setitem(module._buffers, "num_points_scale", ones)


def align_corners(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    def sample(value: Tensor, locations: Tensor) -> Tensor:
        return F.grid_sample(value, 2 * locations - 1, align_corners=True)

    attend = partial(deformable_attention.attend_by_maps, sample)
    monkeypatch.setattr(deformable_attention, "attend_by_rows", attend)


def swap_x_and_y(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    def sample(value: Tensor, locations: Tensor) -> Tensor:
        return deformable_attention.sample_bilinear(value, locations.flip(-1))

    attend = partial(deformable_attention.attend_by_maps, sample)
    monkeypatch.setattr(deformable_attention, "attend_by_rows", attend)


def start_all_levels_from_one_box_size(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    def same_side(sizes: list[tuple[int, int]], margin: float) -> tuple[Tensor, Tensor]:
        parts = [generate_anchors([size], margin) for size in sizes]
        anchors, valid = zip(*parts, strict=True)
        return torch.cat(anchors, dim=1), torch.cat(valid, dim=1)

    monkeypatch.setattr(decoder_module, "generate_anchors", same_side)


def embed_positions_as_logits(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    right = model.decoder.query_pos_head.forward
    monkeypatch.setattr(
        model.decoder.query_pos_head, "forward", lambda boxes: right(inverse_sigmoid(boxes))
    )


def add_positions_to_what_queries_tell(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    right = QueryAttention.forward
    monkeypatch.setattr(
        QueryAttention, "forward", lambda self, query, value, mask: right(self, query, query, mask)
    )


def forget_attention_residual(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    def forward(self: DecoderLayer, content, position, boxes, memory, sizes_hw, mask) -> Tensor:
        content = self.norm1(self.self_attn(content + position, content, mask))
        content = self.norm2(content + self.cross_attn(content + position, boxes, memory, sizes_hw))
        return self.norm3(content + self.linear2(self.activation(self.linear1(content))))

    monkeypatch.setattr(DecoderLayer, "forward", forward)


def start_queries_from_raw_memory(monkeypatch: pytest.MonkeyPatch, model: RTDETR) -> None:
    monkeypatch.setattr(model.decoder.enc_output.norm, "forward", lambda x: x)


@pytest.mark.usefixtures("fresh_caches")
@pytest.mark.parametrize(
    "bug",
    [
        swap_two_box_heads,
        score_with_the_layer_before,
        stop_one_layer_early,
        count_offsets_in_whole_boxes,
        forget_to_share_offsets_among_points,
        align_corners,
        swap_x_and_y,
        start_all_levels_from_one_box_size,
        embed_positions_as_logits,
        add_positions_to_what_queries_tell,
        forget_attention_residual,
        start_queries_from_raw_memory,
    ],
)
def test_decoder_bugs_are_noticed(
    bug: Bug, single: Golden, golden: Golden, monkeypatch: pytest.MonkeyPatch
):
    bug(monkeypatch, single.model)
    with torch.no_grad():
        outputs = single.model.decoder(single.encoder_maps)
    # In the order of the right queries, so that the bug itself is noticed, not an exchange of two.
    assert outputs_deviation(in_order_of(outputs, golden.outputs)) > NOTICED


# --- detections -----------------------------------------------------------------------------------


def detections_deviation(results: list[dict[str, Tensor]]) -> float:
    """Largest difference among the first 20 detections: scores, boxes in pixels; infinite for
    another label."""
    worst = 0.0
    for found, expected in zip(results, REFERENCE["postprocess"], strict=True):
        if found["labels"][:20].tolist() != expected["labels"]:
            return float("inf")
        for name in ("scores", "boxes"):
            difference = found[name][:20] - torch.tensor(expected[name], dtype=torch.float64)
            worst = max(worst, difference.abs().max().item())
    return worst


def test_detections(golden):
    postprocess = build_postprocessor(golden_config().override(["remap_mscoco_category=False"]))
    results = postprocess(golden.outputs, torch.tensor([[640, 480]] * 2))
    assert [len(result["scores"]) for result in results] == [300, 300]
    assert detections_deviation(results) < 1e-3  # pixels; the figures have four decimals


def test_detection_bugs_are_noticed(golden):
    postprocess = build_postprocessor(golden_config().override(["remap_mscoco_category=False"]))
    remap = build_postprocessor(golden_config())
    softmax = build_postprocessor(golden_config().override(["use_focal_loss=False"]))
    swapped_size = postprocess(golden.outputs, torch.tensor([[480, 640]] * 2))
    right_size = torch.tensor([[640, 480]] * 2)
    assert detections_deviation(swapped_size) > 1
    assert detections_deviation(remap(golden.outputs, right_size)) > 1
    assert detections_deviation(softmax(golden.outputs, right_size)) > 1
