"""From a configuration to a model."""

from pathlib import Path

import torch

from rtdetr_nb.config.load import Config
from rtdetr_nb.errors import ConfigError
from rtdetr_nb.model.decoder import RTDETRTransformerv2
from rtdetr_nb.model.hgnetv2 import HGNetv2
from rtdetr_nb.model.hybrid_encoder import HybridEncoder
from rtdetr_nb.model.postprocess import RTDETRPostProcessor
from rtdetr_nb.model.rtdetr import RTDETR


def build_backbone(config: Config) -> HGNetv2:
    """The backbone alone, with random weights or those of the file `HGNetv2.pretrained`.

    Raises:
        ConfigError: `HGNetv2.pretrained` is True, which asks for a download, or names a file that
            does not hold exactly this backbone under bare names.
    """
    section = config.backbone
    backbone = HGNetv2(
        variant=section.name,
        use_lab=section.use_lab,
        return_idx=section.return_idx,
        freeze_at=section.freeze_at,
        freeze_norm=section.freeze_norm,
    )
    if section.pretrained:
        _load_pretrained(backbone, section.pretrained)
    return backbone


def build_model(config: Config) -> RTDETR:
    """RT-DETRv2 as configured; its `state_dict` has the official keys, shapes and order.

    Raises:
        ConfigError: as in `build_backbone`.
    """
    encoder, decoder = config.encoder, config.decoder
    return RTDETR(
        backbone=build_backbone(config),
        encoder=HybridEncoder(
            in_channels=encoder.in_channels,
            hidden_dim=encoder.hidden_dim,
            nhead=encoder.nhead,
            dim_feedforward=encoder.dim_feedforward,
            dropout=encoder.dropout,
            enc_act=encoder.enc_act,
            use_encoder_idx=encoder.use_encoder_idx,
            num_encoder_layers=encoder.num_encoder_layers,
            pe_temperature=encoder.pe_temperature,
            expansion=encoder.expansion,
            depth_mult=encoder.depth_mult,
            act=encoder.act,
        ),
        decoder=RTDETRTransformerv2(
            num_classes=decoder.num_classes,
            hidden_dim=decoder.hidden_dim,
            num_queries=decoder.num_queries,
            feat_channels=decoder.feat_channels,
            feat_strides=decoder.feat_strides,
            num_levels=decoder.num_levels,
            num_points=decoder.num_points,
            nhead=decoder.nhead,
            num_layers=decoder.num_layers,
            dim_feedforward=decoder.dim_feedforward,
            dropout=decoder.dropout,
            activation=decoder.activation,
            num_denoising=decoder.num_denoising,
            label_noise_ratio=decoder.label_noise_ratio,
            box_noise_scale=decoder.box_noise_scale,
            learn_query_content=decoder.learn_query_content,
            eval_spatial_size=decoder.eval_spatial_size,
            eval_idx=decoder.eval_idx,
            eps=decoder.eps,
            aux_loss=decoder.aux_loss,
            cross_attn_method=decoder.cross_attn_method,
            query_select_method=decoder.query_select_method,
        ),
    )


def build_postprocessor(config: Config) -> RTDETRPostProcessor:
    """The postprocessor as configured."""
    section = config.postprocess
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
        raise ConfigError(f"HGNetv2.pretrained names {pretrained}, which is no file.")
    try:
        backbone.load_state_dict(torch.load(pretrained, map_location="cpu", weights_only=True))
    except Exception as error:  # noqa: BLE001 - torch.load fails in many ways on a wrong file
        raise ConfigError(
            f"HGNetv2.pretrained names {pretrained}, which does not hold exactly this backbone "
            "under bare names. Set HGNetv2.pretrained=False, convert the file with `rtdetr-nb "
            f"convert`, and give the result as a tuning file (-t). ({type(error).__name__})"
        ) from error
