"""The recipe behind the golden figures: weights drawn by name, a fixed input and fixed targets.

Drawing every tensor, norm statistics and zero-initialised heads included, makes a comparison
mean something: at initialisation 107 of the 206 tensors of the decoder are constant.
"""

import json
import zlib
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from tests.paths import REFERENCE

_KEPT = ("anchors", "valid_mask", "num_points_scale", "num_batches_tracked")


def load_reference(name: str) -> Any:
    """The content of a JSON file below tests/reference."""
    return json.loads((REFERENCE / name).read_text())


def draw_weights(model: nn.Module) -> None:
    """Replace every parameter and buffer by values that depend on its name alone."""
    state = model.state_dict()
    for key, old in state.items():
        if not key.endswith(_KEPT):
            state[key] = _draw(key, old)
    model.load_state_dict(state)


def _draw(key: str, old: Tensor) -> Tensor:
    random = np.random.RandomState(zlib.crc32(key.encode()))
    x = torch.from_numpy(random.standard_normal(tuple(old.shape)).astype(np.float32)).to(old.dtype)
    if key.endswith("running_var"):
        return 1 + 0.1 * x.abs()
    if key.endswith("running_mean"):
        return 0.1 * x
    if key.endswith("weight") and old.dim() == 1:
        return 1 + 0.1 * x
    if key.endswith("bias"):
        return 0.1 * x + (old if key.endswith("sampling_offsets.bias") else 0)
    x = x / old[0].numel() ** 0.5
    return 0.1 * x if "score_head" in key or "bbox_head" in key else x


def golden_images(size: int = 320) -> Tensor:
    """(2, 3, size, size) float32 in 0..1."""
    random = np.random.RandomState(0)
    return torch.from_numpy(random.random_sample((2, 3, size, size)).astype(np.float32))


def golden_targets(num_classes: int = 80) -> list[dict[str, Tensor]]:
    """Targets of two images with three and five boxes."""
    random = np.random.RandomState(1)
    targets = []
    for count in (3, 5):
        center, size = random.uniform(0.3, 0.7, (count, 2)), random.uniform(0.1, 0.4, (count, 2))
        labels = random.randint(0, num_classes, count)
        boxes = np.concatenate([center, size], axis=1).astype(np.float32)
        targets.append({"labels": torch.from_numpy(labels), "boxes": torch.from_numpy(boxes)})
    return targets


def in_order_of(outputs: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """The queries of each image in the order of those of `expected`: each is paired with the
    nearest, one to one.

    Queries are sorted by their scores. Here the scores of some neighbours differ by less than
    float32 resolves (4e-9, at an error of 2e-7), so rounding decides which comes first. Which 300
    are chosen is certain: the 301st is 2e-5 behind.

    Args:
        outputs, expected: `pred_logits` (B, Q, num_classes) and `pred_boxes` (B, Q, 4).
    """
    found, wanted = (
        torch.cat([x["pred_logits"], x["pred_boxes"]], dim=-1).double() for x in (outputs, expected)
    )
    order = [linear_sum_assignment(costs)[1] for costs in torch.cdist(wanted, found, p=1).numpy()]
    image = torch.arange(len(order))[:, None]
    return {name: x[image, torch.from_numpy(np.stack(order))] for name, x in outputs.items()}


def deviation(found: Tensor, expected: dict[str, Any]) -> float:
    """Largest difference from a recorded tensor, relative to its largest absolute value.

    Compares shape, mean, standard deviation, largest absolute value and 64 elements.
    """
    assert list(found.shape) == expected["shape"]
    flat = found.detach().double().flatten()
    index = torch.from_numpy(np.linspace(0, flat.numel() - 1, 64).astype(np.int64))
    sample = flat[index] - torch.tensor(expected["sample"], dtype=torch.float64)
    differences = [
        sample.abs().max().item(),
        abs(flat.mean().item() - expected["mean"]),
        abs(flat.std().item() - expected["std"]),
        abs(flat.abs().max().item() - expected["absmax"]),
    ]
    return max(differences) / expected["absmax"]
