"""The model of the golden figures, with its configuration and its drawn weights."""

from functools import cache

import torch
from torch import Tensor

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from rtdetr_nb.model.build import build_model
from rtdetr_nb.model.rtdetr import RTDETR
from tests.golden import draw_weights


@cache
def golden_config() -> Config:
    """HGNetv2-L at 320x320 without denoising queries, whose random draws would differ."""
    return load_config(
        "rtdetrv2_hgnetv2_l",
        ["eval_spatial_size=[320,320]", "RTDETRTransformerv2.num_denoising=0"],
    )


@cache
def _drawn_state() -> dict[str, Tensor]:
    model = build_model(golden_config())
    draw_weights(model)
    return model.state_dict()


def build_golden_model(dtype: torch.dtype = torch.float64) -> RTDETR:
    """A model of its own for the caller to change; weights drawn in float32, then cast."""
    model = build_model(golden_config())
    model.load_state_dict(_drawn_state())
    return model.to(dtype)
