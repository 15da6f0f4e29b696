from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rtdetr_nb.datasets.batches.coco import CocoDetection
from rtdetr_nb.datasets.open_data import open_data
from rtdetr_nb.errors import DatasetError
from tests.datasets.builders import write_kit, write_voc, write_yolo
from tests.datasets.test_kinds import change_files, polygons, renamed_ids, restarting_ids, same
from tests.datasets.test_layouts import label_studio


def write_text_ids(root: Path) -> Path:
    return change_files(root, renamed_ids("frame-{}".format, "c{}".format), polygons)


@pytest.mark.parametrize("write", [write_kit, write_yolo, write_voc, label_studio, write_text_ids])
def test_what_is_written_is_what_was_opened(write, tmp_path: Path) -> None:
    data = open_data(write(tmp_path / "data"))
    written = data.write_coco(tmp_path / "written")
    assert written.layout == "the kit's own" and written.official and not written.notes
    for ours, theirs in ((data.train, written.train), (data.val, written.val)):
        assert (len(ours), ours.num_boxes) == (len(theirs), theirs.num_boxes)
        assert ours.classes == theirs.classes
        for index in range(len(ours)):
            one, other = ours.boxes(index), theirs.boxes(index)
            assert np.allclose(one.boxes_xywh, other.boxes_xywh)
            assert one.labels.tolist() == other.labels.tolist()
            assert theirs.image_path(index).read_bytes() == ours.image_path(index).read_bytes()
    settings = written.settings
    section = "train_dataloader.dataset"
    files = settings[f"{section}.img_folder"], settings[f"{section}.ann_file"]
    dataset = CocoDetection(*files, num_classes=settings["num_classes"])
    assert len(dataset) == len(data.train) and "data" not in settings


def test_ids_that_restart_are_numbered_anew(tmp_path: Path) -> None:
    data = open_data(change_files(tmp_path / "data", restarting_ids, renamed_ids(same, same)))
    data.write_coco(tmp_path / "written")
    from faster_coco_eval import COCO

    coco = COCO(str(tmp_path / "written" / "annotations" / "train.json"))
    assert len(coco.anns) == data.train.num_boxes


def test_pictures_that_have_to_be_turned_are_written_turned(tmp_path: Path) -> None:
    write_kit(tmp_path / "data")
    path = tmp_path / "data" / "images" / "train" / "train_0.png"
    upright = Image.open(path).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    written = open_data(tmp_path / "data").write_coco(tmp_path / "written")
    with Image.open(written.train.image_path(0)) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(upright))
    assert not written.notes


def test_nothing_is_written_over(tmp_path: Path) -> None:
    data = open_data(write_kit(tmp_path / "data"))
    with pytest.raises(DatasetError, match="Give a new folder"):
        data.write_coco(tmp_path / "data")
