"""The entries of the hybrid encoder and of the decoder, which stand behind the backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rtdetr_nb.architecture.key_info import (
    Entries,
    KeyInfo,
    affine,
    batch_norm,
    buffer,
    under,
)


def _conv_norm(name: str, out_channels: int, in_channels: int, kernel: int) -> Entries:
    yield f"{name}.conv.weight", KeyInfo((out_channels, in_channels, kernel, kernel))
    yield from batch_norm(f"{name}.norm", out_channels)


def encoder_entries(encoder: Any) -> Entries:
    """The entries of the hybrid encoder of a section `HybridEncoder`."""
    hidden = encoder.hidden_dim
    num_levels = len(encoder.in_channels)
    for index, channels in enumerate(encoder.in_channels):
        yield from _conv_norm(f"input_proj.{index}", hidden, channels, 1)
    for index in range(len(encoder.use_encoder_idx)):
        for layer in range(encoder.num_encoder_layers):
            name = f"encoder.{index}.layers.{layer}"
            yield from _attention(f"{name}.self_attn", hidden)
            yield from affine(f"{name}.linear1", encoder.dim_feedforward, hidden)
            yield from affine(f"{name}.linear2", hidden, encoder.dim_feedforward)
            yield from affine(f"{name}.norm1", hidden)
            yield from affine(f"{name}.norm2", hidden)
    for convs, kernel, blocks in (
        ("lateral_convs", 1, "fpn_blocks"),
        ("downsample_convs", 3, "pan_blocks"),
    ):
        for index in range(num_levels - 1):
            yield from _conv_norm(f"{convs}.{index}", hidden, hidden, kernel)
        for index in range(num_levels - 1):
            yield from under(f"{blocks}.{index}.", _csp_block(encoder))


def _csp_block(encoder: Any) -> Entries:
    out = encoder.hidden_dim
    hidden = int(out * encoder.expansion)
    yield from _conv_norm("conv1", hidden, out * 2, 1)
    yield from _conv_norm("conv2", hidden, out * 2, 1)
    for index in range(round(3 * encoder.depth_mult)):
        yield from _conv_norm(f"bottlenecks.{index}.conv1", hidden, hidden, 3)
        yield from _conv_norm(f"bottlenecks.{index}.conv2", hidden, hidden, 1)
    if hidden != out:
        yield from _conv_norm("conv3", out, hidden, 1)


def _attention(name: str, hidden: int) -> Entries:
    yield f"{name}.in_proj_weight", KeyInfo((3 * hidden, hidden))
    yield f"{name}.in_proj_bias", KeyInfo((3 * hidden,))
    yield from affine(f"{name}.out_proj", hidden, hidden)


def decoder_entries(decoder: Any) -> Entries:
    """The entries of the decoder of a section `RTDETRTransformerv2`."""
    hidden, num_classes = decoder.hidden_dim, decoder.num_classes
    if decoder.eval_spatial_size:
        num_anchors = _num_anchors(decoder)
        yield "anchors", buffer(1, num_anchors, 4)
        yield "valid_mask", buffer(1, num_anchors, 1, dtype="bool")
    yield from _decoder_projections(decoder)
    for layer in range(decoder.num_layers):
        yield from under(f"decoder.layers.{layer}.", _decoder_layer(decoder))
    if decoder.num_denoising > 0:
        # One row more than classes: the padding of shorter denoising groups.
        yield "denoising_class_embed.weight", KeyInfo((num_classes + 1, hidden))
    if decoder.learn_query_content:
        yield "tgt_embed.weight", KeyInfo((decoder.num_queries, hidden))
    yield from _mlp("query_pos_head", 4, 2 * hidden, hidden)
    yield from affine("enc_output.proj", hidden, hidden)
    yield from affine("enc_output.norm", hidden)
    agnostic = decoder.query_select_method == "agnostic"
    yield from affine("enc_score_head", 1 if agnostic else num_classes, hidden)
    yield from _mlp("enc_bbox_head", hidden, hidden, hidden, 4)
    for layer in range(decoder.num_layers):
        yield from affine(f"dec_score_head.{layer}", num_classes, hidden)
    for layer in range(decoder.num_layers):
        yield from _mlp(f"dec_bbox_head.{layer}", hidden, hidden, hidden, 4)


def _decoder_projections(decoder: Any) -> Entries:
    hidden, channels = decoder.hidden_dim, list(decoder.feat_channels)
    for level in range(decoder.num_levels):
        if level < len(channels):
            yield from _conv_norm(f"input_proj.{level}", hidden, channels[level], 1)
        else:
            in_channels = channels[-1] if level == len(channels) else hidden
            yield from _conv_norm(f"input_proj.{level}", hidden, in_channels, 3)


def _decoder_layer(decoder: Any) -> Entries:
    hidden, feedforward = decoder.hidden_dim, decoder.dim_feedforward
    points = points_per_level(decoder.num_points, decoder.num_levels)
    total_points = decoder.nhead * sum(points)
    yield from _attention("self_attn", hidden)
    yield from affine("norm1", hidden)
    yield "cross_attn.num_points_scale", buffer(sum(points))
    # Discrete sampling has no gradient for the offsets, which therefore stay as they are.
    learned = decoder.cross_attn_method != "discrete"
    for name, info in affine("cross_attn.sampling_offsets", 2 * total_points, hidden):
        yield name, replace(info, trainable=learned)
    yield from affine("cross_attn.attention_weights", total_points, hidden)
    yield from affine("cross_attn.value_proj", hidden, hidden)
    yield from affine("cross_attn.output_proj", hidden, hidden)
    yield from affine("norm2", hidden)
    yield from affine("linear1", feedforward, hidden)
    yield from affine("linear2", hidden, feedforward)
    yield from affine("norm3", hidden)


def _mlp(name: str, *widths: int) -> Entries:
    for index, (width_in, width_out) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        yield from affine(f"{name}.layers.{index}", width_out, width_in)


def points_per_level(num_points: int | Sequence[int], num_levels: int) -> list[int]:
    """Return the sampling points of every level: one number stands for all levels."""
    return [num_points] * num_levels if isinstance(num_points, int) else list(num_points)


def _num_anchors(decoder: Any) -> int:
    """Count the cells of all levels; levels past the given strides double the last one."""
    strides = list(decoder.feat_strides)
    while len(strides) < decoder.num_levels:
        strides.append(strides[-1] * 2)
    height, width = decoder.eval_spatial_size
    return sum(int(height / stride) * int(width / stride) for stride in strides)
