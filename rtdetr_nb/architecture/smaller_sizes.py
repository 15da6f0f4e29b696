"""The sizes of HGNetv2 that RT-DETRv2 has no configuration for: B0 to B3, and who trains them.

PP-HGNetV2-B4, -B5 and -B6 are the L, X and H of RT-DETRv2, number for number. The smaller ones are
the backbones of other detectors, which build them with learnable affine blocks (`use_lab: True`).
Read in D-FINE (commit 4a1f73a), DEIM (09d35d5) and RT-DETRv4 (df44122).
"""

from __future__ import annotations

from functools import lru_cache

from rtdetr_nb.architecture.hgnetv2_variants import BackboneSpec, hgnetv2_stages
from rtdetr_nb.architecture.key_info import KeyInfo
from rtdetr_nb.architecture.state_dict_table import keys_of_spec

SMALLER_SIZES: dict[str, BackboneSpec] = {
    "B0": BackboneSpec(
        (3, 16, 16),
        hgnetv2_stages(
            (16, 16, 64, 1), (64, 32, 256, 1), (256, 64, 512, 2), (512, 128, 1024, 1), num_layers=3
        ),
    ),
    "B1": BackboneSpec(
        (3, 24, 32),
        hgnetv2_stages(
            (32, 32, 64, 1), (64, 48, 256, 1), (256, 96, 512, 2), (512, 192, 1024, 1), num_layers=3
        ),
    ),
    "B2": BackboneSpec(
        (3, 24, 32),
        hgnetv2_stages(
            (32, 32, 96, 1), (96, 64, 384, 1), (384, 128, 768, 3), (768, 256, 1536, 1), num_layers=4
        ),
    ),
    "B3": BackboneSpec(
        (3, 24, 32),
        hgnetv2_stages(
            (32, 32, 128, 1),
            (128, 64, 512, 1),
            (512, 128, 1024, 3),
            (1024, 256, 2048, 1),
            num_layers=5,
        ),
    ),
}

_TRAINERS = {
    "B0": "D-FINE-N and -S, DEIM-D-FINE-N and -S and RT-DETRv4-S",
    "B2": "D-FINE-M, DEIM-D-FINE-M and RT-DETRv4-M",
}


def who_trains(size: str | None) -> str:
    """Return a sentence on which detectors have a backbone of a smaller size; "" for None."""
    if size is None:
        return ""
    if size in _TRAINERS:
        return f"{size} is the backbone of {_TRAINERS[size]}: their trainers take it."
    return (
        f"No configuration of D-FINE, DEIM or RT-DETRv4 has a {size}, but their code builds it "
        f"(HGNetv2.name: {size})."
    )


@lru_cache(maxsize=1)
def smaller_tables() -> dict[str, dict[str, KeyInfo]]:
    """Return the backbone's table of every smaller size, affine blocks included."""
    return {name: keys_of_spec(spec, use_lab=True) for name, spec in SMALLER_SIZES.items()}
