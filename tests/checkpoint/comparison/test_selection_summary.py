"""What a selection amounts to, against the file that is really written."""

from rtdetr_nb.checkpoint.comparison.block_coverage import block_coverage
from rtdetr_nb.checkpoint.comparison.selection_summary import summarise_keys
from rtdetr_nb.checkpoint.official_loader.prediction import predict_official
from rtdetr_nb.checkpoint.reading.metadata import dtype_counts, plain_values
from rtdetr_nb.checkpoint.tuning.write import write_tuning_file
from tests.checkpoint.wild import CONFIG


def test_the_predicted_log_is_that_of_the_written_file(backbone_diff, tmp_path):
    selection = backbone_diff.select(["stem.*", "stages.1.*"], ["*.running_var"])
    summary = summarise_keys(backbone_diff, selection.keys)
    write_tuning_file(selection, tmp_path / "a.pth")
    assert summary.official == predict_official(tmp_path / "a.pth", CONFIG).match
    assert summary.tensors == len(selection)
    assert summary.elements == selection.num_elements


def test_shares(backbone_diff):
    everything = summarise_keys(backbone_diff, backbone_diff.select().keys)
    assert everything.backbone_share == 1
    assert [part.share for part in everything.parts] == [1] * 5
    stem = summarise_keys(backbone_diff, backbone_diff.select("stem").keys)
    assert [part.picked for part in stem.parts] == [25, 0, 0, 0, 0]
    assert stem.backbone_share == stem.elements / everything.elements
    nothing = summarise_keys(backbone_diff, [])
    assert (nothing.tensors, nothing.backbone_share) == (0, 0)
    assert len(nothing.official.missed) == 869


def test_blocks_of_the_backbone(backbone_diff):
    blocks = block_coverage(backbone_diff)
    assert sum(block.tensors for block in blocks) == 400
    assert {block.loaded for block in blocks} == {1.0}
    picked = block_coverage(backbone_diff, backbone_diff.select("stages.3.downsample"))
    assert [b.block for b in picked if b.loaded] == ["downsample"]


def test_what_a_file_says_about_itself(detector_diff, backbone_diff):
    assert plain_values(backbone_diff.checkpoint.tree) == {"meta.epoch": "3"}
    assert plain_values(detector_diff.checkpoint.tree) == {"last_epoch": "3"}
    assert dtype_counts(backbone_diff.checkpoint.tensors) == {"float32": 401}
