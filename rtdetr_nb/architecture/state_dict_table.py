"""The `state_dict` of RT-DETRv2 as a table of names, shapes and dtypes, without building the model.

Comparing a checkpoint with the model needs only this table, so `inspect` and `diff` answer without
loading torch. The order is the one in which the modules register their tensors, which is the order
of the official checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any, Protocol

from rtdetr_nb.architecture.hgnetv2_variants import HGNETV2_VARIANTS, StageSpec

BACKBONE = "backbone."
"""What the names of the backbone begin with in the model's `state_dict`."""


@dataclass(frozen=True)
class KeyInfo:
    """One tensor of the model.

    `kind` is "parameter" or "buffer"; `trainable` is whether the optimizer gets it (a parameter
    that the configuration does not freeze).
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    kind: str = "parameter"
    trainable: bool = True

    @property
    def num_elements(self) -> int:
        """Number of elements of the tensor."""
        return prod(self.shape)


class ModelConfig(Protocol):
    """What is read of a configuration: the model sections of `rtdetr_nb.config.config.Config`."""

    @property
    def backbone(self) -> Any:
        """Section of HGNetv2: name, use_lab, freeze_at, freeze_norm."""

    @property
    def encoder(self) -> Any:
        """Section of the hybrid encoder."""

    @property
    def decoder(self) -> Any:
        """Section of the transformer decoder, number of classes and picture size included."""


Entries = Iterator[tuple[str, KeyInfo]]


def model_keys(config: ModelConfig) -> dict[str, KeyInfo]:
    """Return the complete `state_dict` table of the model that `config` builds, in its order."""
    # Parity: the official detector registers its decoder before its encoder.
    table = backbone_keys(
        config.backbone.name,
        freeze_at=config.backbone.freeze_at,
        freeze_norm=config.backbone.freeze_norm,
        use_lab=config.backbone.use_lab,
        prefix=BACKBONE,
    )
    table.update(_under("decoder.", _decoder(config.decoder)))
    table.update(_under("encoder.", _hybrid_encoder(config.encoder)))
    return table


def backbone_keys(
    variant: str,
    *,
    freeze_at: int = -1,
    freeze_norm: bool = False,
    use_lab: bool = False,
    prefix: str = "",
) -> dict[str, KeyInfo]:
    """Return the table of HGNetv2 alone.

    Args:
        variant: "L", "X" or "H".
        freeze_at: negative freezes nothing, 0 the stem, n also the first n stages.
        freeze_norm: the norms are frozen: all their tensors are buffers, without
            `num_batches_tracked`.
        use_lab: a learnable scale and bias follows every activation.
        prefix: put before every name.
    """
    spec = HGNETV2_VARIANTS[variant]
    parts = [("stem.", _stem(spec.stem_channels, freeze_norm, use_lab))]
    parts += [
        (f"stages.{index}.", _stage(stage, freeze_norm, use_lab))
        for index, stage in enumerate(spec.stages)
    ]
    table: dict[str, KeyInfo] = {}
    for index, (name, entries) in enumerate(parts):
        # The stem is part 0, stage n is part n + 1: `freeze_at` counts exactly these.
        frozen = index <= freeze_at
        for key, info in _under(prefix + name, entries):
            table[key] = replace(info, trainable=False) if frozen and info.trainable else info
    return table


@lru_cache(maxsize=1)
def variant_tables() -> dict[str, dict[str, KeyInfo]]:
    """Return the backbone's table of every variant ("L", "X", "H"), affine blocks included."""
    return {name: backbone_keys(name, use_lab=True) for name in HGNETV2_VARIANTS}


def _under(prefix: str, entries: Entries) -> Entries:
    for name, info in entries:
        yield prefix + name, info


def _buffer(*shape: int, dtype: str = "float32") -> KeyInfo:
    return KeyInfo(shape, dtype, kind="buffer", trainable=False)


def _batch_norm(name: str, channels: int, *, frozen: bool = False) -> Entries:
    affine = _buffer(channels) if frozen else KeyInfo((channels,))
    yield f"{name}.weight", affine
    yield f"{name}.bias", affine
    yield f"{name}.running_mean", _buffer(channels)
    yield f"{name}.running_var", _buffer(channels)
    if not frozen:
        yield f"{name}.num_batches_tracked", _buffer(dtype="int64")


def _affine(name: str, *weight_shape: int) -> Entries:
    """Weight and bias of a linear layer (output, input) or of a layer norm (channels,)."""
    yield f"{name}.weight", KeyInfo(weight_shape)
    yield f"{name}.bias", KeyInfo(weight_shape[:1])


# --- HGNetv2 ------------------------------------------------------------------------------------


def _conv_unit(
    name: str,
    weight_shape: tuple[int, int, int, int],
    freeze_norm: bool,
    use_lab: bool,
    *,
    activated: bool = True,
    padded: bool = False,
) -> Entries:
    """Convolution, norm and, after an activation, the learnable affine block.

    `padded` convolutions follow a padding layer in one container, where they have index 1.
    """
    yield f"{name}.conv.1.weight" if padded else f"{name}.conv.weight", KeyInfo(weight_shape)
    yield from _batch_norm(f"{name}.bn", weight_shape[0], frozen=freeze_norm)
    if use_lab and activated:
        yield f"{name}.lab.scale", KeyInfo((1,))
        yield f"{name}.lab.bias", KeyInfo((1,))


def _stem(channels: tuple[int, int, int], freeze_norm: bool, use_lab: bool) -> Entries:
    image, middle, out = channels
    norm = (freeze_norm, use_lab)
    yield from _conv_unit("stem1", (middle, image, 3, 3), *norm)
    yield from _conv_unit("stem2a", (middle // 2, middle, 2, 2), *norm, padded=True)
    yield from _conv_unit("stem2b", (middle, middle // 2, 2, 2), *norm, padded=True)
    yield from _conv_unit("stem3", (middle, middle * 2, 3, 3), *norm)
    yield from _conv_unit("stem4", (out, middle, 1, 1), *norm)


def _stage(stage: StageSpec, freeze_norm: bool, use_lab: bool) -> Entries:
    if stage.downsample:
        shape = (stage.in_channels, 1, 3, 3)
        yield from _conv_unit("downsample", shape, freeze_norm, use_lab, activated=False)
    for index in range(stage.num_blocks):
        in_channels = stage.in_channels if index == 0 else stage.out_channels
        block = _block(stage, in_channels, freeze_norm, use_lab)
        yield from _under(f"blocks.{index}.", block)


def _block(stage: StageSpec, in_channels: int, freeze_norm: bool, use_lab: bool) -> Entries:
    middle, out, kernel = stage.mid_channels, stage.out_channels, stage.kernel_size
    norm = (freeze_norm, use_lab)
    for index in range(stage.num_layers):
        name = f"layers.{index}"
        layer_in = in_channels if index == 0 else middle
        if stage.light_block:
            pointwise = (middle, layer_in, 1, 1)
            yield from _conv_unit(f"{name}.conv1", pointwise, *norm, activated=False)
            yield from _conv_unit(f"{name}.conv2", (middle, 1, kernel, kernel), *norm)
        else:
            yield from _conv_unit(name, (middle, layer_in, kernel, kernel), *norm)
    concatenated = in_channels + stage.num_layers * middle
    yield from _conv_unit("aggregation_squeeze_conv", (out // 2, concatenated, 1, 1), *norm)
    yield from _conv_unit("aggregation_excitation_conv", (out, out // 2, 1, 1), *norm)


# --- hybrid encoder -----------------------------------------------------------------------------


def _conv_norm(name: str, out_channels: int, in_channels: int, kernel: int) -> Entries:
    yield f"{name}.conv.weight", KeyInfo((out_channels, in_channels, kernel, kernel))
    yield from _batch_norm(f"{name}.norm", out_channels)


def _hybrid_encoder(encoder: Any) -> Entries:
    hidden = encoder.hidden_dim
    num_levels = len(encoder.in_channels)
    for index, channels in enumerate(encoder.in_channels):
        yield from _conv_norm(f"input_proj.{index}", hidden, channels, 1)
    for index in range(len(encoder.use_encoder_idx)):
        for layer in range(encoder.num_encoder_layers):
            name = f"encoder.{index}.layers.{layer}"
            yield from _attention(f"{name}.self_attn", hidden)
            yield from _affine(f"{name}.linear1", encoder.dim_feedforward, hidden)
            yield from _affine(f"{name}.linear2", hidden, encoder.dim_feedforward)
            yield from _affine(f"{name}.norm1", hidden)
            yield from _affine(f"{name}.norm2", hidden)
    for convs, kernel, blocks in (
        ("lateral_convs", 1, "fpn_blocks"),
        ("downsample_convs", 3, "pan_blocks"),
    ):
        for index in range(num_levels - 1):
            yield from _conv_norm(f"{convs}.{index}", hidden, hidden, kernel)
        for index in range(num_levels - 1):
            yield from _under(f"{blocks}.{index}.", _csp_block(encoder))


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
    yield from _affine(f"{name}.out_proj", hidden, hidden)


# --- decoder ------------------------------------------------------------------------------------


def _decoder(decoder: Any) -> Entries:
    hidden, num_classes = decoder.hidden_dim, decoder.num_classes
    if decoder.eval_spatial_size:
        num_anchors = _num_anchors(decoder)
        yield "anchors", _buffer(1, num_anchors, 4)
        yield "valid_mask", _buffer(1, num_anchors, 1, dtype="bool")
    yield from _decoder_projections(decoder)
    for layer in range(decoder.num_layers):
        yield from _under(f"decoder.layers.{layer}.", _decoder_layer(decoder))
    if decoder.num_denoising > 0:
        # One row more than classes: the padding of shorter denoising groups.
        yield "denoising_class_embed.weight", KeyInfo((num_classes + 1, hidden))
    if decoder.learn_query_content:
        yield "tgt_embed.weight", KeyInfo((decoder.num_queries, hidden))
    yield from _mlp("query_pos_head", 4, 2 * hidden, hidden)
    yield from _affine("enc_output.proj", hidden, hidden)
    yield from _affine("enc_output.norm", hidden)
    agnostic = decoder.query_select_method == "agnostic"
    yield from _affine("enc_score_head", 1 if agnostic else num_classes, hidden)
    yield from _mlp("enc_bbox_head", hidden, hidden, hidden, 4)
    for layer in range(decoder.num_layers):
        yield from _affine(f"dec_score_head.{layer}", num_classes, hidden)
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
    yield from _affine("norm1", hidden)
    yield "cross_attn.num_points_scale", _buffer(sum(points))
    # Discrete sampling has no gradient for the offsets, which therefore stay as they are.
    learned = decoder.cross_attn_method != "discrete"
    for name, info in _affine("cross_attn.sampling_offsets", 2 * total_points, hidden):
        yield name, replace(info, trainable=learned)
    yield from _affine("cross_attn.attention_weights", total_points, hidden)
    yield from _affine("cross_attn.value_proj", hidden, hidden)
    yield from _affine("cross_attn.output_proj", hidden, hidden)
    yield from _affine("norm2", hidden)
    yield from _affine("linear1", feedforward, hidden)
    yield from _affine("linear2", hidden, feedforward)
    yield from _affine("norm3", hidden)


def _mlp(name: str, *widths: int) -> Entries:
    for index, (width_in, width_out) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        yield from _affine(f"{name}.layers.{index}", width_out, width_in)


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
