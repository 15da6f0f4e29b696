"""Pictures of coloured squares, whose class is their colour, and a backbone that is fast."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rtdetr_nb.config.config import Config
from rtdetr_nb.config.load import load_config
from tests.small_runs import narrow_backbone

COLOURS = [(220, 30, 30), (30, 220, 30), (30, 30, 220)]
SIDE = 64

Edit = Callable[[Path, str, Callable[[dict[str, Any]], None]], None]


@pytest.fixture(scope="module")
def narrow() -> Iterator[None]:
    """HGNetv2-L with few channels."""
    with narrow_backbone():
        yield


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config("quick_run")


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    """A data set of 24 training and 12 validation pictures with two squares each."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 24), ("val", 12)):
        (tmp_path / "images" / split).mkdir(parents=True)
        annotations: list[dict[str, Any]] = []
        for image in range(count):
            pixels = rng.integers(90, 160, (SIDE, SIDE, 3), np.uint8)
            for left in (2, 34):
                label, side = int(rng.integers(3)), int(rng.integers(16, 25))
                x, y = left + int(rng.integers(4)), int(rng.integers(2, 36))
                pixels[y : y + side, x : x + side] = COLOURS[label]
                annotations.append({"id": len(annotations) + 1, "image_id": image,
                                    "category_id": label, "bbox": [x, y, side, side],
                                    "area": side * side, "iscrowd": 0})  # fmt: skip
            Image.fromarray(pixels).save(tmp_path / "images" / split / f"{image}.png")
        content = {
            "images": [{"id": i, "file_name": f"{i}.png", "width": SIDE, "height": SIDE}
                       for i in range(count)],
            "annotations": annotations,
            "categories": [{"id": i, "name": f"colour <{i}>"} for i in range(3)],
        }  # fmt: skip
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / "annotations" / f"{split}.json").write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def edit() -> Edit:
    """Changes an annotation file."""

    def change_file(folder: Path, split: str, change: Callable[[dict[str, Any]], None]) -> None:
        path = folder / "annotations" / f"{split}.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return change_file
