"""The sections of an official YAML file, under their official names and under ours."""

from dataclasses import dataclass

from rtdetr_nb.config.schema import (
    BackboneConfig,
    CriterionConfig,
    DataLoaderConfig,
    DecoderConfig,
    EmaConfig,
    EncoderConfig,
    EvaluatorConfig,
    LRSchedulerConfig,
    LRWarmupConfig,
    OptimizerConfig,
    PartsConfig,
    PostProcessorConfig,
    ScalerConfig,
    Settings,
)


@dataclass(frozen=True)
class ConfigFile(Settings):
    """All that a YAML file may say: the top-level values and the sections."""

    parts: PartsConfig = PartsConfig()
    backbone: BackboneConfig = BackboneConfig()
    encoder: EncoderConfig = EncoderConfig()
    decoder: DecoderConfig = DecoderConfig()
    postprocess: PostProcessorConfig = PostProcessorConfig()
    loss: CriterionConfig = CriterionConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    lr_scheduler: LRSchedulerConfig = LRSchedulerConfig()
    lr_warmup_scheduler: LRWarmupConfig | None = None
    ema: EmaConfig = EmaConfig()
    scaler: ScalerConfig = ScalerConfig()
    train_dataloader: DataLoaderConfig = DataLoaderConfig()
    val_dataloader: DataLoaderConfig = DataLoaderConfig()
    evaluator: EvaluatorConfig = EvaluatorConfig()


# Name in the YAML file -> (name in `ConfigFile`, class).
SECTIONS: dict[str, tuple[str, type]] = {
    "RTDETR": ("parts", PartsConfig),
    "HGNetv2": ("backbone", BackboneConfig),
    "HybridEncoder": ("encoder", EncoderConfig),
    "RTDETRTransformerv2": ("decoder", DecoderConfig),
    "RTDETRPostProcessor": ("postprocess", PostProcessorConfig),
    "RTDETRCriterionv2": ("loss", CriterionConfig),
    "optimizer": ("optimizer", OptimizerConfig),
    "lr_scheduler": ("lr_scheduler", LRSchedulerConfig),
    "lr_warmup_scheduler": ("lr_warmup_scheduler", LRWarmupConfig),
    "ema": ("ema", EmaConfig),
    "scaler": ("scaler", ScalerConfig),
    "train_dataloader": ("train_dataloader", DataLoaderConfig),
    "val_dataloader": ("val_dataloader", DataLoaderConfig),
    "evaluator": ("evaluator", EvaluatorConfig),
}

# Sections of official files that configure classes which an HGNetv2 model does not use.
FOREIGN_SECTIONS = frozenset({"PResNet"})

# Values that the official code hands down from the top level to every section that knows them.
SHARED_VALUES = ("num_classes", "use_focal_loss", "eval_spatial_size", "remap_mscoco_category")
