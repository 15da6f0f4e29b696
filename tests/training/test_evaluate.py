"""Average precision beside pycocotools, which is not used in the package itself."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faster_coco_eval import COCO
from torch import nn

from rtdetr_nb.boxes import xyxy_to_cxcywh
from rtdetr_nb.coco_categories import STATISTICS
from rtdetr_nb.config.config import Config
from rtdetr_nb.datasets.batches.loader import build_dataloader
from rtdetr_nb.datasets.evaluation import Evaluation, score
from rtdetr_nb.model.build import build_postprocessor
from rtdetr_nb.training.evaluate import EvaluationStopped, evaluate, predict
from rtdetr_nb.training.precision import Precision
from rtdetr_nb.ui.figures.base import to_png
from rtdetr_nb.ui.figures.precision_recall import precision_recall_figure

CATEGORIES = ("circle", "square", "star", "never seen")
# The libraries sum in their own order: 1e-9 leaves room for that and for nothing else.
TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures with up to six boxes of three sizes; one has none, some are crowds."""
    rng = np.random.default_rng(5)
    boxes = []
    for image in range(1, 12):
        for _ in range(int(rng.integers(1, 7))):
            side = float(rng.choice([20, 60, 150])) * (0.7 + 0.6 * rng.random())
            x, y = (rng.random(2) * 400).tolist()
            boxes.append(
                {
                    "id": len(boxes) + 1,
                    "image_id": image,
                    "category_id": int(rng.integers(1, 4)),
                    "bbox": [x, y, side, side * 0.8],
                    "area": side * side * 0.8,
                    "iscrowd": int(rng.random() < 0.1),
                }
            )
    content = {
        "images": [{"id": i, "width": 640, "height": 640} for i in range(1, 13)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CATEGORIES, start=1)],
        "annotations": boxes,
    }
    path = tmp_path_factory.mktemp("annotations") / "val.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def detections(annotations: Path) -> np.ndarray:
    """Boxes found well, badly, twice, with the wrong class, or out of nothing."""
    rng = np.random.default_rng(6)
    rows = []
    for box in json.loads(annotations.read_text())["annotations"]:
        x, y, width, height = box["bbox"]
        for _ in range(int(rng.integers(0, 4))):
            shift = rng.normal(0, 0.12, 4) * [width, height, width, height]
            wrong = rng.random() < 0.2
            category = int(rng.integers(1, 5)) if wrong else box["category_id"]
            place = (np.array([x, y, width, height]) + shift).tolist()
            rows.append([box["image_id"], *place, rng.random(), category])
    for _ in range(30):
        place = (rng.random(4) * [400, 400, 100, 100] + [0, 0, 5, 5]).tolist()
        rows.append([rng.integers(1, 13), *place, rng.random() * 0.6, rng.integers(1, 5)])
    return np.array(rows, dtype=float)


@pytest.fixture(scope="module")
def result(annotations: Path, detections: np.ndarray) -> Evaluation:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(annotations))
    return score(coco, detections, list(range(1, 13)))


def by_pycocotools(annotations: Path, detections: np.ndarray, image_ids: list[int]) -> Any:
    from pycocotools.coco import COCO as TheirCOCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = TheirCOCO(str(annotations))
        results: Any = detections  # its stub knows files only
        evaluator = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluator.params.imgIds = image_ids
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def test_all_figures_equal_those_of_pycocotools(
    result: Evaluation, annotations: Path, detections: np.ndarray
) -> None:
    theirs = by_pycocotools(annotations, detections, list(range(1, 13)))
    assert tuple(result.statistics) == STATISTICS
    assert list(result.statistics.values()) == pytest.approx(theirs.stats.tolist(), abs=TOLERANCE)
    precision = theirs.eval["precision"][:, :, :, 0, -1]
    for index, name in enumerate(CATEGORIES[:3]):
        assert result.per_class[name] == pytest.approx(precision[..., index].mean(), abs=TOLERANCE)
    assert result.per_class["never seen"] is None
    assert result.num_images == 12
    assert 0.1 < result.ap < 0.9  # neither nothing nor everything is found


def test_a_detection_less_is_noticed(
    result: Evaluation, annotations: Path, detections: np.ndarray
) -> None:
    best = int(detections[:, 5].argmax())
    fewer = np.delete(detections, best, axis=0)
    theirs = by_pycocotools(annotations, fewer, list(range(1, 13)))
    assert abs(theirs.stats[0] - result.ap) > 1000 * TOLERANCE


def test_the_mean_of_a_curve_is_its_ap(result: Evaluation) -> None:
    curves = result.precision_recall
    assert curves.recall.shape == (101,) and curves.recall[[0, -1]].tolist() == [0, 1]
    means = {iou: float(curve.mean()) for iou, curve in curves.by_iou.items()}
    expected = {"0.50": "AP50", "0.75": "AP75", "0.50:0.95": "AP"}
    for iou, name in expected.items():
        assert means[iou] == pytest.approx(result.statistics[name], abs=TOLERANCE)
    assert list(curves.by_class) == list(CATEGORIES[:3])
    mean = np.mean([curve.mean() for curve in curves.by_class.values()])
    assert mean == pytest.approx(result.statistics["AP50"], abs=TOLERANCE)
    for curve in [*curves.by_iou.values(), *curves.by_class.values()]:
        assert (np.diff(curve) <= TOLERANCE).all()  # interpolated: it never rises


def test_nothing_found_is_zero_and_has_curves(annotations: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(annotations))
    nothing = score(coco, np.empty((0, 7)), list(range(1, 13)))
    assert nothing.ap == 0.0
    assert nothing.precision_recall.by_iou["0.50"].tolist() == [0.0] * 101


def test_the_record_is_json_and_can_be_drawn(result: Evaluation) -> None:
    record = json.loads(json.dumps({"precision_recall": result.precision_recall.record}))
    figure = precision_recall_figure(record)
    by_iou, by_class = figure.axes
    labels = [line.get_label() for line in by_iou.lines]
    assert labels[0] == f"IoU 0.50   AP {result.statistics['AP50']:.3f}"
    assert labels[2] == f"IoU 0.50:0.95   AP {result.ap:.3f}"
    assert len(by_class.lines) == 3
    best = max(
        result.precision_recall.by_class, key=lambda n: record["precision_recall"]["by_class"][n]
    )
    assert any(str(line.get_label()).startswith(best) for line in by_class.lines)
    assert to_png(figure).startswith(b"\x89PNG")


def test_of_many_classes_the_best_and_the_worst_are_named() -> None:
    recall = np.linspace(0, 1, 101).tolist()
    classes = {f"class {i}": [i / 20] * 101 for i in range(20)}
    curves = {"recall": recall, "by_iou": {"0.50": recall}, "by_class": classes}
    figure = precision_recall_figure({"precision_recall": curves})
    legend = figure.axes[1].get_legend()
    assert legend is not None
    names = [text.get_text().split("   ")[0] for text in legend.get_texts()]
    assert names == [
        "14 others",
        "class 19",
        "class 18",
        "class 17",
        "class 2",
        "class 1",
        "class 0",
    ]
    assert len(figure.axes[1].lines) == 20


class _Seer(nn.Module):
    """A model that knows the boxes of a data set, not quite exactly, in the loader's order."""

    def __init__(self, dataset: Any, num_classes: int, queries: int = 20) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.answers = []
        for image, target in (dataset[index] for index in range(len(dataset))):
            logits = torch.full((queries, num_classes), -6.0)
            boxes = torch.rand(queries, 4, generator=generator) * 0.3 + 0.3
            for query, label in enumerate(target["labels"].tolist()):
                logits[query, label] = torch.randn((), generator=generator)
            size_whwh = torch.tensor(image.shape[-2:]).flip(0).repeat(2)
            true = xyxy_to_cxcywh(torch.as_tensor(target["boxes"]) / size_whwh)
            noise = 0.1 * torch.randn(true.shape, generator=generator) * true[:, 2:].repeat(1, 2)
            boxes[: len(true)] = true + noise
            self.answers.append((logits, boxes))
        self._next = 0

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        first = self._next % len(self.answers)
        self._next += len(images)
        logits, boxes = zip(*self.answers[first : first + len(images)], strict=True)
        return {"pred_logits": torch.stack(logits), "pred_boxes": torch.stack(boxes)}


def test_a_model_is_evaluated_as_its_detections_are(small_config: Config) -> None:
    """From pictures to AP: what `evaluate` says is what pycocotools says of `predict`'s boxes."""
    postprocessor = build_postprocessor(small_config)
    loader, cpu = build_dataloader(small_config, "val"), torch.device("cpu")
    model = _Seer(loader.dataset, small_config.num_classes)
    precision = Precision("cpu", None)
    model.train()
    result = evaluate(model, postprocessor, loader, loader.dataset.coco, cpu, precision)
    assert model.training
    rows, image_ids = [], []
    for ids, found in predict(model, postprocessor, loader, cpu, precision):
        image_ids += ids
        for image_id, each in zip(ids, found, strict=True):
            x1, y1, x2, y2 = each["boxes"].double().unbind(-1)
            columns = (torch.full_like(x1, image_id), x1, y1, x2 - x1, y2 - y1)
            rows.append(torch.stack([*columns, each["scores"].double(), each["labels"]], dim=1))
    ann_file = Path(small_config.val_dataloader.dataset.ann_file)
    theirs = by_pycocotools(ann_file, torch.cat(rows).numpy(), image_ids)
    ours = [-1 if value is None else value for value in result.statistics.values()]
    assert ours == pytest.approx(theirs.stats.tolist(), abs=1e-6)
    assert result.num_images == 4 and 0.2 < result.ap < 0.95, result.ap


def test_an_evaluation_is_given_up_behind_the_batch_when_asked(small_config: Config) -> None:
    loader, cpu = build_dataloader(small_config, "val"), torch.device("cpu")
    model = _Seer(loader.dataset, small_config.num_classes).train()
    asked = []

    def stop_requested() -> bool:
        asked.append(model.training)
        return True

    with pytest.raises(EvaluationStopped):
        evaluate(
            model,
            build_postprocessor(small_config),
            loader,
            loader.dataset.coco,
            cpu,
            Precision("cpu", None),
            stop_requested=stop_requested,
        )
    assert asked == [False] and model.training
    assert 0 < model._next <= loader.images_per_batch


class _Half(nn.Module):
    """A model whose outputs come in half precision, as under mixed precision."""

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = torch.zeros(len(images), 5, 10, dtype=torch.bfloat16)
        return {"pred_logits": logits, "pred_boxes": torch.full_like(logits[..., :4], 0.5)}


def test_half_precision_outputs_become_single(small_config: Config) -> None:
    loader = build_dataloader(small_config, "val")
    postprocessor = build_postprocessor(small_config)
    precision = Precision("cpu", None)
    for _, found in predict(_Half(), postprocessor, loader, torch.device("cpu"), precision):
        assert all(each["boxes"].dtype == torch.float32 for each in found)
        assert all(each["scores"].dtype == torch.float32 for each in found)
