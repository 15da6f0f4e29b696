"""A detector that learns in seconds: HGNetv2 with an eighth of the channels of L."""

from rtdetr_nb.architecture import hgnetv2_variants as architecture

# HGNetv2 with an eighth of the channels of L: its blocks, and every gradient through them.
THIN = architecture.BackboneSpec(
    (3, 16, 24),
    architecture.hgnetv2_stages(
        (24, 16, 32, 1), (32, 24, 64, 1), (64, 32, 128, 1), (128, 48, 256, 1)
    ),
)
SETTINGS = [
    "HybridEncoder.in_channels=[64,128,256]",
    "HybridEncoder.hidden_dim=64",
    "HybridEncoder.nhead=4",
    "HybridEncoder.dim_feedforward=128",
    "HybridEncoder.depth_mult=0.34",
    "RTDETRTransformerv2.hidden_dim=64",
    "RTDETRTransformerv2.feat_channels=[64,64,64]",
    "RTDETRTransformerv2.nhead=4",
    "RTDETRTransformerv2.dim_feedforward=128",
    "RTDETRTransformerv2.num_layers=2",
    "RTDETRTransformerv2.num_queries=40",
    "RTDETRTransformerv2.num_denoising=20",
    "RTDETRPostProcessor.num_top_queries=40",
    "optimizer.lr=0.002",
    "optimizer.params.0.lr=0.002",
    "clip_max_norm=1.0",
    "preview_freq=0",
    "seed=3",
    "device=cpu",
    "train_dataloader.num_workers=0",
    "val_dataloader.num_workers=0",
]
