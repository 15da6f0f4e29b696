"""The decoder: anchors, query selection, options, and where gradients do not go."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from rtdetr_nb.boxes import inverse_sigmoid
from rtdetr_nb.config.schema import DecoderConfig
from rtdetr_nb.errors import ConfigError
from rtdetr_nb.model.anchors import generate_anchors
from rtdetr_nb.model.build import make_decoder
from rtdetr_nb.model.decoder import RTDETRTransformerv2
from rtdetr_nb.model.query_selection import QuerySelection

CHANNELS = (12, 10, 8)
NUM_CLASSES = 5
SIZES_HW = [(8, 12), (4, 6), (2, 3)]


def small_decoder(**options: Any) -> RTDETRTransformerv2:
    """A decoder of three layers with every weight drawn, in training mode but for its norms."""
    torch.manual_seed(0)
    small = DecoderConfig(
        num_classes=NUM_CLASSES,
        hidden_dim=16,
        nhead=4,
        dim_feedforward=24,
        feat_channels=CHANNELS,
        num_queries=10,
        num_layers=3,
        num_denoising=0,
    )
    decoder = make_decoder(replace(small, **options))
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    decoder.train().input_proj.eval()  # else the norms would tie positions to each other
    return decoder.double()


def small_maps(sizes_hw: Sequence[tuple[int, int]] = SIZES_HW) -> list[Tensor]:
    torch.manual_seed(1)
    return [
        torch.randn(2, channels, *size, dtype=torch.float64)
        for channels, size in zip(CHANNELS, sizes_hw, strict=True)
    ]


def small_targets() -> list[dict[str, Tensor]]:
    torch.manual_seed(2)
    return [
        {
            "labels": torch.randint(0, NUM_CLASSES, (count,)),
            "boxes": torch.rand(count, 4, dtype=torch.float64) * 0.4 + 0.2,
        }
        for count in (2, 3)
    ]


# --- anchors --------------------------------------------------------------------------------------


def test_anchors_of_the_evaluation_size_are_in_the_state_dict():
    decoder = small_decoder(eval_spatial_size=(64, 96))
    anchors, valid = generate_anchors(SIZES_HW, 1e-2)
    assert torch.equal(decoder.get_buffer("anchors"), anchors.double())
    assert torch.equal(decoder.get_buffer("valid_mask"), valid)
    assert "anchors" not in small_decoder().state_dict()


def test_any_picture_size_whatever_the_anchors_in_the_state_dict():
    plain, fixed = small_decoder(), small_decoder(eval_spatial_size=(640, 640))
    fixed.load_state_dict(plain.state_dict(), strict=False)
    found, expected = fixed(small_maps()), plain(small_maps())
    assert torch.equal(found["pred_boxes"], expected["pred_boxes"])


def test_the_memory_of_invalid_positions_is_not_looked_at():
    decoder = small_decoder(eps=0.042, num_queries=126)  # all positions
    maps = small_maps()
    corner = small_maps()
    corner[0][:, :, 0, 0] += 100.0  # half a cell of 1/12 is nearer to the border
    inner = small_maps()
    inner[0][:, :, 4, 6] += 100.0
    selections = [decoder(m)["enc_aux_outputs"][0]["pred_logits"] for m in (maps, corner, inner)]
    assert torch.equal(selections[0], selections[1])
    assert not torch.equal(selections[0], selections[2])


# --- query selection ------------------------------------------------------------------------------


def scores_and_boxes(decoder: RTDETRTransformerv2, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Scores (B, N, C) and boxes (B, N, 4) of all positions."""
    projected = [proj(x) for proj, x in zip(decoder.input_proj, maps, strict=True)]
    memory = torch.cat([x.flatten(2).transpose(1, 2) for x in projected], dim=1)
    anchors, valid = generate_anchors(SIZES_HW, decoder.selection.margin)
    memory = decoder.enc_output(memory * valid)
    return decoder.enc_score_head(memory), (decoder.enc_bbox_head(memory) + anchors).sigmoid()


@pytest.mark.parametrize("method", ["default", "one2many", "agnostic"])
def test_selection_by_hand(method):
    decoder = small_decoder(query_select_method=method)
    maps = small_maps()
    found = decoder(maps)["enc_aux_outputs"][0]
    scores, boxes = scores_and_boxes(decoder, maps)
    for image in range(2):
        if method == "one2many":
            pairs = [(s, n) for n, row in enumerate(scores[image].tolist()) for s in row]
        else:
            pairs = [(max(row), n) for n, row in enumerate(scores[image].tolist())]
        best = [n for _, n in sorted(pairs, reverse=True)[:10]]
        assert torch.allclose(found["pred_boxes"][image], boxes[image, best])
        assert torch.allclose(found["pred_logits"][image], scores[image, best])
    assert found["pred_logits"].shape[-1] == (1 if method == "agnostic" else NUM_CLASSES)


def distinct_boxes(selection: dict[str, Tensor]) -> list[int]:
    return [len(boxes.unique(dim=0)) for boxes in selection["pred_boxes"]]


def test_one2many_may_choose_a_position_twice():
    decoder = small_decoder(query_select_method="one2many")
    with torch.no_grad():  # classes 0 and 1 score alike, far above the others
        decoder.enc_score_head.weight[1] = decoder.enc_score_head.weight[0]
        decoder.enc_score_head.bias.copy_(torch.tensor([100.0, 100.0, 0.0, 0.0, 0.0]))
    twice = decoder(small_maps())
    assert distinct_boxes(twice["enc_aux_outputs"][0]) == [5, 5]
    decoder.selection = replace(decoder.selection, method="default")
    assert distinct_boxes(decoder(small_maps())["enc_aux_outputs"][0]) == [10, 10]


def test_learnt_content_knows_no_picture():
    decoder = small_decoder(learn_query_content=True)
    seen: list[Tensor] = []
    decoder.decoder.layers[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    decoder(small_maps())["pred_logits"].sum().backward()
    embedding = decoder.tgt_embed.weight
    assert all(torch.equal(content, embedding) for content in seen[0])
    assert embedding.grad is not None and embedding.grad.abs().sum() > 0


def test_more_queries_than_positions_is_an_error():
    with pytest.raises(ConfigError, match=r"126 positions.*num_queries is 127"):
        small_decoder(num_queries=127)(small_maps())


# --- options --------------------------------------------------------------------------------------


def test_further_levels_halve_the_coarsest_map():
    decoder = small_decoder(num_levels=5)
    maps = small_maps([(16, 24), (8, 12), (4, 6)])
    memory, sizes_hw = decoder._flatten(maps)
    assert sizes_hw == [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]
    fourth = decoder.input_proj[3](maps[2])  # from the map as it came in
    fifth = decoder.input_proj[4](fourth)  # from the level before
    tail = torch.cat([x.flatten(2).transpose(1, 2) for x in (fourth, fifth)], dim=1)
    assert torch.equal(memory[:, -8:], tail)
    outputs = decoder(maps)
    assert torch.isfinite(outputs["pred_boxes"]).all()
    assert decoder.decoder.layers[0].get_buffer("cross_attn.num_points_scale").shape == (20,)


def test_number_of_points_of_each_level():
    decoder = small_decoder(num_points=[2, 3, 5])
    scale = decoder.decoder.layers[0].get_buffer("cross_attn.num_points_scale")
    expected = torch.tensor([1 / 2] * 2 + [1 / 3] * 3 + [1 / 5] * 5)
    assert torch.allclose(scale, expected.double())
    assert decoder(small_maps())["pred_boxes"].shape == (2, 10, 4)


@pytest.mark.parametrize("eval_idx", [0, 1, 2, -1, -2])
def test_evaluation_gives_the_chosen_layer(eval_idx):
    decoder = small_decoder(eval_idx=eval_idx)
    training = decoder(small_maps())
    layers = [*training["aux_outputs"], training]
    found = decoder.eval()(small_maps())
    assert found.keys() == {"pred_logits", "pred_boxes"}
    for name in found:
        assert torch.allclose(found[name], layers[eval_idx][name], rtol=1e-9, atol=1e-12)
        others = [layer[name] for layer in layers if layer is not layers[eval_idx]]
        assert all((found[name] - other).abs().max() > 1e-3 for other in others)


def test_training_outputs():
    decoder = small_decoder(num_denoising=8)
    outputs = decoder(small_maps(), small_targets())
    assert [len(outputs[f"{kind}aux_outputs"]) for kind in ("", "enc_", "dn_")] == [2, 1, 3]
    assert outputs["pred_logits"].shape == (2, 10, NUM_CLASSES)
    for layer in outputs["dn_aux_outputs"]:
        assert layer["pred_boxes"].shape == (2, 2 * 2 * 3, 4)  # 2 groups, pairs, 3 boxes
    assert outputs["dn_meta"]["dn_num_group"] == 2
    assert outputs["dn_meta"]["dn_num_split"] == [12, 10]
    assert outputs["enc_meta"] == {"class_agnostic": False}


def test_without_aux_loss_only_the_last_layer_is_returned():
    decoder = small_decoder(aux_loss=False, num_denoising=8)
    outputs = decoder(small_maps(), small_targets())
    assert outputs.keys() == {"pred_logits", "pred_boxes"}
    assert outputs["pred_logits"].shape == (2, 10, NUM_CLASSES)


def test_denoising_in_training_needs_targets():
    decoder = small_decoder(num_denoising=8)
    with pytest.raises(ValueError, match="targets"):
        decoder(small_maps())
    assert decoder.eval()(small_maps())["pred_logits"].shape == (2, 10, NUM_CLASSES)


def test_own_queries_do_not_see_denoising_queries(monkeypatch):
    decoder = small_decoder(num_denoising=8)
    denoising = decoder.denoising
    found = decoder(small_maps(), small_targets())["pred_boxes"]
    decoder.denoising = replace(denoising, num_denoising=0)
    expected = decoder(small_maps())["pred_boxes"]
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12)

    right = RTDETRTransformerv2.decode

    def without_mask(self, content, boxes_logit, memory, sizes_hw, mask) -> list[dict[str, Tensor]]:
        return right(self, content, boxes_logit, memory, sizes_hw, None)

    monkeypatch.setattr(RTDETRTransformerv2, "decode", without_mask)
    decoder.denoising = denoising
    leaked = decoder(small_maps(), small_targets())["pred_boxes"]
    assert (leaked - expected).abs().max() > 1e-3


# --- gradients ------------------------------------------------------------------------------------


def gradient_reaches(output: Tensor, module: torch.nn.Module) -> bool:
    gradients = torch.autograd.grad(
        output.square().sum(), list(module.parameters()), retain_graph=True, allow_unused=True
    )
    return any(gradient is not None and bool(gradient.abs().sum() > 0) for gradient in gradients)


def test_boxes_look_forward_exactly_twice():
    """A box builds on the boxes of its own and of the previous layer, and on none before
    (Zhang et al., "DINO", section 3.5); scores build on no box at all."""
    decoder = small_decoder()
    outputs = decoder(small_maps())
    layers = [*outputs["aux_outputs"], outputs]
    for layer, output in enumerate(layers):
        for head in range(3):
            reached = gradient_reaches(output["pred_boxes"], decoder.dec_bbox_head[head])
            assert reached == (head in (layer, layer - 1))
            assert not gradient_reaches(output["pred_logits"], decoder.dec_bbox_head[head])


def test_an_undetached_reference_is_noticed(monkeypatch):
    decoder = small_decoder()
    monkeypatch.setattr(Tensor, "detach", lambda self: self)
    outputs = decoder(small_maps())
    assert gradient_reaches(outputs["pred_boxes"], decoder.dec_bbox_head[0])
    assert gradient_reaches(outputs["pred_logits"], decoder.enc_bbox_head)


def test_queries_are_cut_off_from_their_selection():
    decoder = small_decoder()
    outputs = decoder(small_maps())
    selection = outputs["enc_aux_outputs"][0]
    for head in (decoder.enc_bbox_head, decoder.enc_score_head, decoder.enc_output):
        assert not gradient_reaches(outputs["pred_boxes"], head)
        assert not gradient_reaches(outputs["pred_logits"], head)
    assert gradient_reaches(selection["pred_boxes"], decoder.enc_bbox_head)
    assert gradient_reaches(selection["pred_logits"], decoder.enc_score_head)
    assert gradient_reaches(selection["pred_logits"], decoder.enc_output)


def test_the_ranking_in_half_precision_takes_no_gradient_away(monkeypatch):
    decoder = small_decoder().float()
    maps = [x.float() for x in small_maps()]
    keeps_casts = []
    best_positions = QuerySelection.best_positions

    def watched(self: QuerySelection, scores: Tensor) -> Tensor:
        keeps_casts.append(torch.is_autocast_cache_enabled())
        return best_positions(self, scores)

    monkeypatch.setattr(QuerySelection, "best_positions", watched)
    with torch.autocast("cpu", torch.bfloat16):
        selection = decoder(maps)["enc_aux_outputs"][0]
    assert keeps_casts == [False] and torch.is_autocast_cache_enabled()
    assert gradient_reaches(selection["pred_logits"].float(), decoder.enc_output)
    assert gradient_reaches(selection["pred_logits"].float(), decoder.enc_score_head)
    assert gradient_reaches(selection["pred_boxes"].float(), decoder.enc_bbox_head)


# --- initialisation -------------------------------------------------------------------------------


def test_a_fresh_decoder_leaves_boxes_where_queries_start():
    torch.manual_seed(0)
    decoder = make_decoder(
        DecoderConfig(
            num_classes=NUM_CLASSES,
            hidden_dim=16,
            nhead=4,
            num_queries=10,
            feat_channels=CHANNELS,
        )
    ).eval()
    maps = [x.float() for x in small_maps()]
    seen: list[Tensor] = []
    decoder.decoder.layers[0].register_forward_pre_hook(lambda module, args: seen.append(args[2]))
    outputs = decoder(maps)
    start = inverse_sigmoid(seen[0])
    assert torch.allclose(inverse_sigmoid(outputs["pred_boxes"]), start, atol=1e-3)
    bias = decoder.dec_score_head[0].get_parameter("bias").sigmoid()
    assert torch.allclose(bias, torch.full_like(bias, 0.01))
