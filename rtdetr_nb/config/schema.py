"""The official YAML schema as frozen dataclasses: every known key, its type and its default.

Field names are the official ones, `epoches` included, since they are a file format. Sections that
the official code looks up by class name (`HGNetv2`, `HybridEncoder`, ...) stand here under what
they are: `backbone`, `encoder`, ...; `config_file.SECTIONS` pairs the two.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class BackboneConfig:
    """Section `HGNetv2`. See `model.hgnetv2.HGNetv2`; `name` is the variant.

    `pretrained` may be False or the path of a file with bare backbone names. True would download
    in the official code; here it is an error when the model is built.
    """

    name: str = "L"
    use_lab: bool = False
    return_idx: tuple[int, ...] = (1, 2, 3)
    freeze_at: int = -1
    freeze_norm: bool = False
    pretrained: Any = False


@dataclass(frozen=True)
class EncoderConfig:
    """Section `HybridEncoder`. See `model.hybrid_encoder.HybridEncoder`."""

    in_channels: tuple[int, ...] = (512, 1024, 2048)
    feat_strides: tuple[int, ...] = (8, 16, 32)
    hidden_dim: int = 256
    nhead: int = 8
    dim_feedforward: int = 1024
    dropout: float = 0.0
    enc_act: str = "gelu"
    use_encoder_idx: tuple[int, ...] = (2,)
    num_encoder_layers: int = 1
    pe_temperature: float = 10000.0
    expansion: float = 1.0
    depth_mult: float = 1.0
    act: str | None = "silu"
    eval_spatial_size: tuple[int, int] | None = None
    version: str = "v2"


@dataclass(frozen=True)
class DecoderConfig:
    """Section `RTDETRTransformerv2`. See `model.decoder.RTDETRTransformerv2`."""

    num_classes: int = 80
    hidden_dim: int = 256
    num_queries: int = 300
    feat_channels: tuple[int, ...] = (512, 1024, 2048)
    feat_strides: tuple[int, ...] = (8, 16, 32)
    num_levels: int = 3
    num_points: Any = 4
    nhead: int = 8
    num_layers: int = 6
    dim_feedforward: int = 1024
    dropout: float = 0.0
    activation: str = "relu"
    num_denoising: int = 100
    label_noise_ratio: float = 0.5
    box_noise_scale: float = 1.0
    learn_query_content: bool = False
    eval_spatial_size: tuple[int, int] | None = None
    eval_idx: int = -1
    eps: float = 1e-2
    aux_loss: bool = True
    cross_attn_method: str = "default"
    query_select_method: str = "default"


@dataclass(frozen=True)
class PostProcessorConfig:
    """Section `RTDETRPostProcessor`. See `model.postprocess.RTDETRPostProcessor`."""

    num_classes: int = 80
    use_focal_loss: bool = True
    num_top_queries: int = 300
    remap_mscoco_category: bool = False


@dataclass(frozen=True)
class MatcherConfig:
    """`RTDETRCriterionv2.matcher`. See `training.losses.matcher.HungarianMatcher`."""

    type: str = "HungarianMatcher"
    weight_dict: dict[str, float] = field(default_factory=dict)
    use_focal_loss: bool = False
    alpha: float = 0.25
    gamma: float = 2.0


@dataclass(frozen=True)
class CriterionConfig:
    """Section `RTDETRCriterionv2`. See `training.losses.criterion.Criterion`."""

    weight_dict: dict[str, float] = field(default_factory=dict)
    losses: tuple[str, ...] = ("vfl", "boxes")
    alpha: float = 0.2
    gamma: float = 2.0
    num_classes: int = 80
    boxes_weight_format: str | None = None
    share_matched_indices: bool = False
    matcher: MatcherConfig = field(default_factory=MatcherConfig)


@dataclass(frozen=True)
class ParameterGroupConfig:
    """One entry of `optimizer.params`: parameters whose names match the pattern `params`."""

    params: str = ""
    lr: float | None = None
    weight_decay: float | None = None


@dataclass(frozen=True)
class OptimizerConfig:
    """Section `optimizer`; AdamW is the one type that is known here."""

    type: str = "AdamW"
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-2
    params: tuple[ParameterGroupConfig, ...] = ()


@dataclass(frozen=True)
class LRSchedulerConfig:
    """Section `lr_scheduler`, stepped once an epoch: lr times `gamma` at each milestone."""

    type: str = "MultiStepLR"
    milestones: tuple[int, ...] = (1000,)
    gamma: float = 0.1


@dataclass(frozen=True)
class LRWarmupConfig:
    """Section `lr_warmup_scheduler`: linear growth over `warmup_duration` steps."""

    type: str = "LinearWarmup"
    warmup_duration: int = 2000


@dataclass(frozen=True)
class EmaConfig:
    """Section `ema`. See `training.ema.ModelEMA`; `warmups` counts steps."""

    type: str = "ModelEMA"
    decay: float = 0.9999
    warmups: int = 2000


@dataclass(frozen=True)
class ScalerConfig:
    """Section `scaler`: the gradient scaler of float16 training on CUDA."""

    type: str = "GradScaler"
    enabled: bool = True


@dataclass(frozen=True)
class TransformsConfig:
    """`dataset.transforms`: operations in order, each a mapping with `type`; and their policy."""

    type: str = "Compose"
    ops: Any = None
    policy: Any = None


@dataclass(frozen=True)
class DatasetConfig:
    """`dataset`: COCO-format pictures and annotations."""

    type: str = "CocoDetection"
    img_folder: str = ""
    ann_file: str = ""
    return_masks: bool = False
    remap_mscoco_category: bool = False
    transforms: TransformsConfig = field(default_factory=TransformsConfig)


@dataclass(frozen=True)
class CollateConfig:
    """`collate_fn`: picture sizes to choose from for each batch, until `stop_epoch`."""

    type: str = "BatchImageCollateFunction"
    scales: tuple[int, ...] | None = None
    stop_epoch: int | None = None


@dataclass(frozen=True)
class DataLoaderConfig:
    """Sections `train_dataloader` and `val_dataloader`.

    One of `total_batch_size` (divided over the processes) and `batch_size` (of each process).
    """

    type: str = "DataLoader"
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    collate_fn: CollateConfig = field(default_factory=CollateConfig)
    shuffle: bool = False
    num_workers: int = 0
    drop_last: bool = False
    total_batch_size: int | None = None
    batch_size: int | None = None


@dataclass(frozen=True)
class EvaluatorConfig:
    """Section `evaluator`; boxes are what is evaluated here."""

    type: str = "CocoEvaluator"
    iou_types: tuple[str, ...] = ("bbox",)


@dataclass(frozen=True)
class PartsConfig:
    """Section `RTDETR`: the classes that make up the model, by name."""

    backbone: str = "HGNetv2"
    encoder: str = "HybridEncoder"
    decoder: str = "RTDETRTransformerv2"


@dataclass(frozen=True)
class Settings:
    """The top-level values of the YAML file.

    Attributes:
        num_classes: size of the class heads; handed down to the sections that want it.
        remap_mscoco_category: category ids of the data are COCO's 1..90 and become labels 0..79.
        eval_spatial_size: (height, width) of the pictures in evaluation.
        epoches: epochs to train.
        clip_max_norm: the gradient is scaled down to this norm; 0 switches that off.
        accumulate: batches of an optimizer update, whose gradients are added up (not in the
            official schema). Schedules, averaging and steps count updates.
        checkpoint_freq: write `checkpointNNNN.pth` every so many epochs, besides `last.pth`.
        eval_freq: evaluate every so many epochs, and at the end (not in the official schema, which
            evaluates after every epoch).
        preview_freq: record predictions on a few validation pictures every so many steps; 0 is
            never (likewise).
        eval_pictures: evaluate on at most so many of the validation pictures, chosen evenly; None
            is all of them (likewise).
        stop_at_ap: end the run as soon as an evaluation reaches this AP; None never does
            (likewise).
        data: the data set, of any layout, for what `img_folder` and `ann_file` cannot say: its
            folder, or pictures and annotations as `datasets.source.DataSource.from_files` takes
            them (likewise).
        compile: run the model's parts through `torch.compile`, for a GPU (likewise).
        channels_last: train with pictures and convolutions in that memory format, which is
            quicker on a CPU (likewise).
    """

    task: str = "detection"
    model: str = "RTDETR"
    criterion: str = "RTDETRCriterionv2"
    postprocessor: str = "RTDETRPostProcessor"
    num_classes: int = 80
    remap_mscoco_category: bool = False
    eval_spatial_size: tuple[int, int] | None = None
    use_focal_loss: bool = True
    use_amp: bool = False
    use_ema: bool = False
    sync_bn: bool = False
    find_unused_parameters: bool = False
    epoches: int = 72
    clip_max_norm: float = 0.0
    accumulate: int = 1
    print_freq: int = 100
    checkpoint_freq: int = 1
    eval_freq: int = 1
    preview_freq: int = 0
    eval_pictures: int | None = None
    stop_at_ap: float | None = None
    data: Any = None
    output_dir: str | None = None
    summary_dir: str | None = None
    device: str | None = None
    seed: int | None = None
    compile: bool = False
    channels_last: bool = True
