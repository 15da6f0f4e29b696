"""From a configuration to a model.

The settings have their defaults in `config.schema` and nowhere else; here they get to the modules.
"""

from pathlib import Path

import torch

from rtdetr_nb.architecture.head_keys import points_per_level
from rtdetr_nb.architecture.hgnetv2_variants import HGNETV2_VARIANTS
from rtdetr_nb.config.config import Config
from rtdetr_nb.config.schema import (
    BackboneConfig,
    DecoderConfig,
    EncoderConfig,
    PostProcessorConfig,
)
from rtdetr_nb.errors import ConfigError
from rtdetr_nb.model.anchors import map_sizes
from rtdetr_nb.model.decoder import RTDETRTransformerv2
from rtdetr_nb.model.decoder_layer import LayerSettings
from rtdetr_nb.model.deformable_attention import Sampling
from rtdetr_nb.model.denoising import DenoisingSettings
from rtdetr_nb.model.hgnetv2 import HGNetv2
from rtdetr_nb.model.hybrid_encoder import CrossScaleFusion, HybridEncoder, IntraScaleAttention
from rtdetr_nb.model.postprocess import RTDETRPostProcessor
from rtdetr_nb.model.query_selection import QuerySelection
from rtdetr_nb.model.rtdetr import RTDETR


def build_model(config: Config) -> RTDETR:
    """RT-DETRv2 as configured; its `state_dict` has the official keys, shapes and order.

    Raises:
        ConfigError: as in `build_backbone`.
    """
    return RTDETR(
        backbone=build_backbone(config),
        encoder=make_encoder(config.encoder),
        decoder=make_decoder(config.decoder),
    )


def build_backbone(config: Config) -> HGNetv2:
    """The backbone alone, with random weights or those of the file `HGNetv2.pretrained`.

    Raises:
        ConfigError: `HGNetv2.pretrained` is True, which asks for a download, or names a file that
            does not hold exactly this backbone under bare names.
    """
    backbone = make_backbone(config.backbone)
    if config.backbone.pretrained:
        _load_pretrained(backbone, config.backbone.pretrained)
    return backbone


def build_postprocessor(config: Config) -> RTDETRPostProcessor:
    """The postprocessor as configured."""
    return make_postprocessor(config.postprocess)


def make_backbone(section: BackboneConfig) -> HGNetv2:
    """The backbone of a section `HGNetv2`, with random weights."""
    return HGNetv2(
        HGNETV2_VARIANTS[section.name],
        use_lab=section.use_lab,
        return_idx=section.return_idx,
        freeze_at=section.freeze_at,
        freeze_norm=section.freeze_norm,
    )


def make_encoder(section: EncoderConfig) -> HybridEncoder:
    """The encoder of a section `HybridEncoder`."""
    return HybridEncoder(
        in_channels=section.in_channels,
        hidden_dim=section.hidden_dim,
        attention=IntraScaleAttention(
            maps=section.use_encoder_idx,
            num_layers=section.num_encoder_layers,
            nhead=section.nhead,
            dim_feedforward=section.dim_feedforward,
            dropout=section.dropout,
            activation=section.enc_act,
            temperature=section.pe_temperature,
        ),
        fusion=CrossScaleFusion(
            num_blocks=round(3 * section.depth_mult),
            expansion=section.expansion,
            activation=section.act,
        ),
    )


def make_decoder(section: DecoderConfig) -> RTDETRTransformerv2:
    """The decoder of a section `RTDETRTransformerv2`."""
    size_hw, num_levels = section.eval_spatial_size, section.num_levels
    anchor_maps_hw = map_sizes(size_hw, section.feat_strides, num_levels) if size_hw else ()
    return RTDETRTransformerv2(
        num_classes=section.num_classes,
        feat_channels=section.feat_channels,
        num_layers=section.num_layers,
        layer=LayerSettings(
            hidden_dim=section.hidden_dim,
            nhead=section.nhead,
            dim_feedforward=section.dim_feedforward,
            dropout=section.dropout,
            activation=section.activation,
            sampling=Sampling(
                tuple(points_per_level(section.num_points, num_levels)), section.cross_attn_method
            ),
        ),
        selection=QuerySelection(
            num_queries=section.num_queries,
            method=section.query_select_method,
            learn_content=section.learn_query_content,
            margin=section.eps,
        ),
        denoising=DenoisingSettings(
            section.num_denoising, section.label_noise_ratio, section.box_noise_scale
        ),
        eval_idx=section.eval_idx,
        aux_loss=section.aux_loss,
        anchor_maps_hw=anchor_maps_hw,
    )


def make_postprocessor(section: PostProcessorConfig) -> RTDETRPostProcessor:
    """The postprocessor of a section `RTDETRPostProcessor`."""
    return RTDETRPostProcessor(
        num_classes=section.num_classes,
        num_top_queries=section.num_top_queries,
        use_focal_loss=section.use_focal_loss,
        remap_mscoco_category=section.remap_mscoco_category,
    )


def _load_pretrained(backbone: HGNetv2, pretrained: object) -> None:
    if not isinstance(pretrained, str) or pretrained.startswith(("http:", "https:")):
        raise ConfigError(
            f"HGNetv2.pretrained is {pretrained}, which asks for a download; nothing is downloaded "
            "here. Set HGNetv2.pretrained=False and give the weights as a tuning file (-t), which "
            "`rtdetr-nb convert` writes."
        )
    if not Path(pretrained).is_file():
        raise ConfigError(f"HGNetv2.pretrained names {pretrained}, but there is no such file.")
    try:
        backbone.load_state_dict(torch.load(pretrained, map_location="cpu", weights_only=True))
    except Exception as error:  # noqa: BLE001 - torch.load fails in many ways on a wrong file
        raise ConfigError(
            f"HGNetv2.pretrained names {pretrained}, which does not hold exactly this backbone "
            "under bare names. Set HGNetv2.pretrained=False, convert the file with `rtdetr-nb "
            f"convert`, and give the result as a tuning file (-t). ({type(error).__name__})"
        ) from error
