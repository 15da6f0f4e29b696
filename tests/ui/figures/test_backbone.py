"""The picture of the backbone: what it says, and that it leaves nothing behind."""

import io

import numpy as np
from matplotlib import _pylab_helpers
from PIL import Image

from rtdetr_nb.checkpoint.comparison.diff import Diff
from rtdetr_nb.ui.figures.backbone import BackbonePicture, backbone_picture


def pixels(picture) -> np.ndarray:
    """(H, W, 4), 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(picture._repr_png_())).convert("RGBA"))


def share_of(image: np.ndarray, color: str) -> float:
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return float((np.abs(image[..., :3].astype(int) - wanted).sum(-1) < 12).mean())


def test_every_block_is_named_with_its_share(whole_diff: Diff, other_size_diff: Diff):
    text = str(backbone_picture(whole_diff))
    assert text.count("100% loads") == 5 + 1 + 2 + 4 + 2 and "blocks.2" in text
    text = str(backbone_picture(other_size_diff))
    assert "stem4          5 tensors  0% loads, 5 mismatched" in text
    assert "0% loads, 70 missing" in text


def test_boxes_are_filled_by_what_loads(whole_diff: Diff, other_size_diff: Diff):
    green, red = "#1a7f37", "#b42318"
    whole, other = pixels(backbone_picture(whole_diff)), pixels(backbone_picture(other_size_diff))
    assert share_of(whole, green) > 0.15 and share_of(whole, red) < 0.01
    assert share_of(other, red) > 0.05
    picked = pixels(backbone_picture(whole_diff, whole_diff.select("stem")))
    assert 0.03 < share_of(picked, green) < 0.6 * share_of(whole, green)


def test_stages_are_named_as_in_the_state_dict(whole_diff: Diff):
    (axes,) = backbone_picture(whole_diff).figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert {"stem", "stages.0", "stages.3"} <= set(texts)


def test_the_name_of_the_file_is_no_formula(whole_diff: Diff):
    blocks = backbone_picture(whole_diff).blocks
    assert BackbonePicture(blocks, r"what fits of $\frac$.pth")._repr_png_().startswith(b"\x89PNG")


def test_the_ground_is_transparent(whole_diff: Diff):
    assert (pixels(backbone_picture(whole_diff))[..., 3] == 0).mean() > 0.4


def test_no_window_and_no_global_figure(whole_diff: Diff):
    backbone_picture(whole_diff)._repr_png_()
    assert not _pylab_helpers.Gcf.figs


def test_on_a_page_each_box_has_its_tensors(other_size_diff: Diff):
    picture = backbone_picture(other_size_diff)
    page = picture._repr_html_()
    assert page.count("<label for=") == page.count('<div class="at">') == len(picture.blocks)
    tensors = sum(block.tensors for block in picture.blocks)
    assert page.count("<tr>") == tensors + len(picture.blocks)  # a head for each table
    assert "0% loads, 70 missing" in page and "mismatched</span>" in page
    again = backbone_picture(other_size_diff)._repr_html_()
    first = page.split('name="')[1].split('"')[0]
    assert first not in again  # two pictures on a page do not open each other's boxes
