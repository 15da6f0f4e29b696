import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rtdetr_nb.coco_categories import COCO_CATEGORY_IDS
from rtdetr_nb.datasets.batches.coco import CocoDetection, make_target
from rtdetr_nb.datasets.split import PictureBoxes
from rtdetr_nb.errors import DatasetError
from tests.datasets.conftest import HEIGHT, WIDTH, box

WriteDataset = Callable[..., tuple[Path, Path]]


def test_a_target_holds_the_boxes_in_pixels_and_where_they_come_from(write_dataset: WriteDataset):
    files = write_dataset([box(1, [4, 5, 10, 12], 2), box(0, [1, 1, 3, 3], 1)])
    image, target = CocoDetection(*files)[1]
    assert image.size == (WIDTH, HEIGHT)
    assert image.mode == "RGB"
    assert target["boxes"].tolist() == [[4, 5, 14, 17]]
    assert target["boxes"].canvas_size == (HEIGHT, WIDTH)  # type: ignore[attr-defined]
    assert target["labels"].tolist() == [2]
    assert target["labels"].dtype == torch.int64
    assert target["area"].tolist() == [120]
    assert target["orig_size"].tolist() == [WIDTH, HEIGHT]
    assert target["image_id"].tolist() == [1]
    assert target["idx"].tolist() == [1]


def test_a_picture_without_annotations_is_a_sample_without_boxes(write_dataset: WriteDataset):
    _, target = CocoDetection(*write_dataset([box(0, [1, 1, 3, 3])]))[2]
    assert target["boxes"].shape == (0, 4)
    assert target["labels"].shape == (0,)
    assert target["labels"].dtype == torch.int64
    assert target["boxes"].dtype == torch.float32


def test_crowds_are_left_out(write_dataset: WriteDataset):
    files = write_dataset([box(0, [0, 0, 30, 20], iscrowd=1), box(0, [1, 2, 3, 4], 1)])
    _, target = CocoDetection(*files)[0]
    assert target["labels"].tolist() == [1]
    assert target["iscrowd"].tolist() == [0]


def test_boxes_are_clipped_and_dropped_with_all_their_values(write_dataset: WriteDataset):
    files = write_dataset(
        [
            box(0, [-5, -5, 10, 10], 0),  # hangs over the corner
            box(0, [50, 10, 5, 5], 1),  # outside
            box(0, [5, 5, 0, 5], 1),  # no width
            box(0, [5, 5, -3, 5], 1),  # negative width
            box(0, [30, 20, 100, 100], 2),  # over the other corner
        ]
    )
    _, target = CocoDetection(*files)[0]
    assert target["boxes"].tolist() == [[0, 0, 5, 5], [30, 20, WIDTH, HEIGHT]]
    assert target["labels"].tolist() == [0, 2]
    assert target["area"].tolist() == [100, 10000]
    assert len(target["iscrowd"]) == 2


def test_area_and_iscrowd_may_be_missing(write_dataset: WriteDataset):
    files = write_dataset([{"image_id": 0, "bbox": [1, 2, 3, 4], "category_id": 0}])
    _, target = CocoDetection(*files)[0]
    assert target["area"].tolist() == [12]
    assert target["iscrowd"].tolist() == [0]


numbers = st.floats(-100, 100, width=32)


@given(rows=st.lists(st.tuples(numbers, numbers, numbers, numbers), max_size=6))
def test_kept_boxes_lie_inside_and_have_an_area(rows: list[tuple[float, ...]]):
    count = len(rows)
    annotated = PictureBoxes(
        np.array(rows, float).reshape(-1, 4),
        np.arange(count),
        np.ones(count),
        np.zeros(count, bool),
    )
    target = make_target(annotated, (WIDTH, HEIGHT))
    boxes = target["boxes"].as_subclass(torch.Tensor)
    assert (boxes >= 0).all()
    assert (boxes[:, 0::2] <= WIDTH).all()
    assert (boxes[:, 1::2] <= HEIGHT).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert len(boxes) == len(target["labels"]) == len(target["area"])
    for kept, label in zip(boxes.tolist(), target["labels"].tolist(), strict=True):
        x, y, width, height = rows[label]
        assert kept[0] == pytest.approx(min(max(x, 0), WIDTH), abs=1e-3)
        assert kept[3] == pytest.approx(min(max(y + height, 0), HEIGHT), abs=1e-3)


def test_coco_ids_become_places_among_the_eighty(write_dataset: WriteDataset):
    categories = [{"id": i, "name": str(i)} for i in COCO_CATEGORY_IDS]
    annotations = [box(0, [1, 1, 5, 5], i) for i in COCO_CATEGORY_IDS]
    files = write_dataset(annotations, categories=categories)
    dataset = CocoDetection(*files, remap_mscoco_category=True, num_classes=80)
    assert dataset[0][1]["labels"].tolist() == list(range(80))
    assert dataset.label_names[79] == "90"
    plain = CocoDetection(*files, num_classes=91)
    assert plain[0][1]["labels"].tolist() == list(COCO_CATEGORY_IDS)


@pytest.mark.parametrize(
    ("category_id", "options", "said"),
    [
        (3, {"num_classes": 3}, r"category 3 \('three'\).*num_classes: 3.*0 to 2"),
        (12, {"remap_mscoco_category": True}, r"category 12 .*80 category ids.*expects"),
        (-1, {}, r"category -1"),
        (77, {"listed": False}, r"category id 77.*do not list"),
    ],
)
def test_a_category_that_does_not_fit_is_named(
    write_dataset: WriteDataset, category_id: int, options: dict, said: str
):
    categories = [{"id": 0, "name": "zero"}]
    if options.pop("listed", True):
        categories.append({"id": category_id, "name": "three"})
    files = write_dataset([box(0, [1, 1, 5, 5], category_id)], categories=categories)
    with pytest.raises(DatasetError, match=said):
        CocoDetection(*files, **options)


def test_a_listed_category_that_no_box_has_may_be_any(write_dataset: WriteDataset):
    categories = [{"id": 0, "name": "zero"}, {"id": 500, "name": "unused"}]
    files = write_dataset([box(0, [1, 1, 5, 5])], categories=categories)
    assert len(CocoDetection(*files, num_classes=1)) == 3


def test_a_missing_folder_is_named(write_dataset: WriteDataset):
    folder, annotations = write_dataset([])
    with pytest.raises(DatasetError, match="no folder.*elsewhere.*img_folder"):
        CocoDetection(folder / "elsewhere", annotations)


def test_a_wrong_folder_is_noticed_at_once(write_dataset: WriteDataset, tmp_path: Path):
    _, annotations = write_dataset([])
    with pytest.raises(DatasetError, match="no picture.*0.png.*img_folder"):
        CocoDetection(tmp_path, annotations)


def test_a_picture_missing_later_is_named_when_read(write_dataset: WriteDataset):
    folder, annotations = write_dataset([], num_images=6)
    dataset = CocoDetection(folder, annotations)
    (folder / "5.png").unlink()
    with pytest.raises(DatasetError, match=r"no picture .*5\.png"):
        dataset[5]


@pytest.mark.parametrize("content", [b"", b"no picture at all"])
def test_what_is_no_picture_is_refused_at_once(write_dataset: WriteDataset, content: bytes):
    folder, annotations = write_dataset([])
    (folder / "1.png").write_bytes(content)
    with pytest.raises(DatasetError, match=r"1 picture cannot be opened.*first 1\.png.*Replace"):
        CocoDetection(folder, annotations)


def test_half_a_picture_is_named(write_dataset: WriteDataset):
    folder, annotations = write_dataset([])
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"1\.png cannot be decoded.*Replace"):
        CocoDetection(folder, annotations)[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "found list"),
        ('{"images": [], "annotations": []}', "found annotations, images"),
        ('{"images": [], "annotations": [], "categories": []}', "lists no picture"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "entry 0 of images"),
        (
            '{"images": [], "annotations": [{"id": 1, "image_id": 2}], "categories": []}',
            "entry 0 of annotations .*category_id",
        ),
    ],
)
def test_annotations_in_another_format_are_refused(tmp_path: Path, text: str, said: str):
    path = tmp_path / "annotations.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=said):
        CocoDetection(tmp_path, path)


def test_a_missing_annotation_file_is_named(tmp_path: Path):
    with pytest.raises(DatasetError, match=r"gone\.json cannot be read.*ann_file"):
        CocoDetection(tmp_path, tmp_path / "gone.json")


@pytest.mark.parametrize("bbox", [[1, 2, 3], "wide", [1, 2, None, 4], None])
def test_a_malformed_box_names_its_annotation(write_dataset: WriteDataset, bbox: object):
    files = write_dataset([{"image_id": 0, "category_id": 0, "bbox": bbox}])
    with pytest.raises(DatasetError, match="annotation 1 has the bbox.*four numbers"):
        CocoDetection(*files)[0]


def test_annotations_of_unlisted_pictures_are_not_looked_at(write_dataset: WriteDataset):
    files = write_dataset([box(99, [1, 1, 5, 5]), box(1, [2, 2, 5, 5])])
    dataset = CocoDetection(*files)
    assert [len(dataset[i][1]["labels"]) for i in range(len(dataset))] == [0, 1, 0]


def test_pictures_come_in_the_order_of_their_ids(write_dataset: WriteDataset):
    folder, path = write_dataset([])
    content = json.loads(path.read_text())
    content["images"].reverse()
    path.write_text(json.dumps(content))
    dataset = CocoDetection(folder, path)
    assert [int(dataset[i][1]["image_id"]) for i in range(3)] == [0, 1, 2]
