"""The `state_dict` of RT-DETRv2 as a table of names, shapes and dtypes, without building the model.

Comparing a checkpoint with the model needs only this table, so `inspect` and `diff` answer without
loading torch. The order is the one in which the modules register their tensors, which is the order
of the official checkpoints.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol

from rtdetr_nb.architecture.head_keys import decoder_entries, encoder_entries
from rtdetr_nb.architecture.hgnetv2_variants import HGNETV2_VARIANTS, BackboneSpec, StageSpec
from rtdetr_nb.architecture.key_info import Entries, KeyInfo, batch_norm, under

BACKBONE = "backbone."
"""What the names of the backbone begin with in the model's `state_dict`."""


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
    table.update(under("decoder.", decoder_entries(config.decoder)))
    table.update(under("encoder.", encoder_entries(config.encoder)))
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
    return keys_of_spec(
        HGNETV2_VARIANTS[variant],
        freeze_at=freeze_at,
        freeze_norm=freeze_norm,
        use_lab=use_lab,
        prefix=prefix,
    )


def keys_of_spec(
    spec: BackboneSpec,
    *,
    freeze_at: int = -1,
    freeze_norm: bool = False,
    use_lab: bool = False,
    prefix: str = "",
) -> dict[str, KeyInfo]:
    """Return the table of an HGNetv2 of any size; the arguments are those of `backbone_keys`."""
    parts = [("stem.", _stem(spec.stem_channels, freeze_norm, use_lab))]
    parts += [
        (f"stages.{index}.", _stage(stage, freeze_norm, use_lab))
        for index, stage in enumerate(spec.stages)
    ]
    table: dict[str, KeyInfo] = {}
    for index, (name, entries) in enumerate(parts):
        # The stem is part 0, stage n is part n + 1: `freeze_at` counts exactly these.
        frozen = index <= freeze_at
        for key, info in under(prefix + name, entries):
            table[key] = replace(info, trainable=False) if frozen and info.trainable else info
    return table


@lru_cache(maxsize=1)
def variant_tables() -> dict[str, dict[str, KeyInfo]]:
    """Return the backbone's table of every variant ("L", "X", "H"), affine blocks included."""
    return {name: backbone_keys(name, use_lab=True) for name in HGNETV2_VARIANTS}


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
    yield from batch_norm(f"{name}.bn", weight_shape[0], frozen=freeze_norm)
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
        yield from under(f"blocks.{index}.", block)


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
