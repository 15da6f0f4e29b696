"""A tiny data set whose every rule-relevant case is written out by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

WIDTH, HEIGHT = 40, 30


@pytest.fixture
def write_dataset(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write pictures and annotations; returns the image folder and the annotation file."""

    def write(
        annotations: list[dict[str, Any]],
        num_images: int = 3,
        categories: list[dict[str, Any]] | None = None,
        **replaced: Any,
    ) -> tuple[Path, Path]:
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(0)
        images = []
        for image_id in range(num_images):
            name = f"{image_id}.png"
            pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name)
            images.append({"id": image_id, "file_name": name, "width": WIDTH, "height": HEIGHT})
        numbered = [{"id": i + 1, **annotation} for i, annotation in enumerate(annotations)]
        content = {
            "images": images,
            "annotations": numbered,
            "categories": categories or [{"id": i, "name": f"class {i}"} for i in range(3)],
        }
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps({**content, **replaced}))
        return folder, path

    return write


def box(image_id: int, bbox: list[float], category_id: int = 0, **more: Any) -> dict[str, Any]:
    """One annotation; its area is that of the box."""
    area = bbox[2] * bbox[3] if len(bbox) == 4 else 0.0
    return {
        "image_id": image_id,
        "bbox": bbox,
        "category_id": category_id,
        "area": area,
        "iscrowd": 0,
        **more,
    }
