"""The two-sided table: nothing of the model and nothing of the file is left out."""

import pytest

from rtdetr_nb.architecture.state_dict_table import model_keys
from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.comparison.row import COLUMNS, block_of, part_of
from rtdetr_nb.checkpoint.naming.near_names import NearPair, near_pairs
from rtdetr_nb.config.load import load_config
from rtdetr_nb.errors import ConfigError, SelectionError
from tests.checkpoint.wild import CONFIG, as_dfine, backbone, detector, prefixed, save, tensor


def test_a_backbone_file(backbone_diff):
    assert backbone_diff.counts == {
        "matched": 400,
        "mismatched": 0,
        "missing": 419,
        "unused": 1,
        "bookkeeping": 50,
    }
    assert [row.model_key for row in backbone_diff.rows if row.model_key] == list(
        model_keys(CONFIG)
    )
    head = next(row for row in backbone_diff.rows if row.status == "missing")
    assert "normal" in head.note
    (unused,) = (row for row in backbone_diff.rows if row.status == "unused")
    assert unused.checkpoint_key == "adapter_state_dict.adapters.0.weight"
    assert "distillation" in unused.note


def test_encoder_and_decoder_beside_the_backbone_are_compared(detector_diff):
    assert detector_diff.candidate.name == "ema.module"
    assert detector_diff.counts["matched"] == 819
    assert detector_diff.counts["missing"] == detector_diff.counts["unused"] == 0
    # The raw copy and the optimizer are counted, not listed.
    assert detector_diff.elsewhere == {"model": 869, "optimizer": 1}


def test_a_candidate_can_be_compared_itself(detector_file):
    diff = compare(open_checkpoint(detector_file).candidates[1], CONFIG)
    assert diff.candidate.name == "model"
    assert all((row.checkpoint_key or "model.").startswith("model.") for row in diff.rows)


def test_shapes_and_names_on_both_sides(tmp_path):
    state = as_dfine(backbone())
    state["stem.stem1.conv.weight"] = tensor("four", (32, 4, 3, 3))
    diff = compare(open_checkpoint(save({"model": state}, tmp_path / "a.pth")), CONFIG)
    rows = {row.model_key: row for row in diff.rows}
    stem = rows["backbone.stem.stem1.conv.weight"]
    assert (stem.status, stem.model_shape, stem.checkpoint_shape) == (
        "mismatched",
        (32, 3, 3, 3),
        (32, 4, 3, 3),
    )
    squeeze = rows["backbone.stages.0.blocks.0.aggregation_squeeze_conv.conv.weight"]
    assert squeeze.checkpoint_key == "model.stages.0.blocks.0.aggregation.0.conv.weight"
    assert (squeeze.rule, squeeze.part, squeeze.block) == ("squeeze", "stages.0", "blocks.0")
    assert (squeeze.kind, squeeze.dtype) == ("parameter", "float32")


def test_live_norms_take_batch_counters_and_frozen_ones_leave_them(tmp_path):
    path = save({"model": prefixed("backbone.", backbone(live=True))}, tmp_path / "a.pth")
    frozen = compare(open_checkpoint(path), CONFIG)
    left = [row for row in frozen.rows if row.model_key is None]
    assert len(left) == 80 and {row.status for row in left} == {"bookkeeping"}
    live_config = load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.freeze_norm=False"])
    live = compare(open_checkpoint(path), live_config)
    counters = [row for row in live.rows if "backbone" in (row.model_key or "")]
    assert sum(row.loadable for row in counters if row.status == "bookkeeping") == 80
    assert len(live.select("backbone.*")) == 480


def test_what_the_configuration_computes_is_never_copied(detector_diff):
    computed = {"decoder.anchors", "decoder.valid_mask"}
    rows = {row.model_key: row for row in detector_diff.rows}
    assert all(rows[key].status == "bookkeeping" for key in computed)
    assert not computed & set(detector_diff.select())


def test_summary_counts_tensors_and_values(backbone_diff):
    stem = backbone_diff.parts[0]
    assert (stem.part, stem.tensors, stem.matched, stem.share) == ("stem", 25, 25, 1.0)
    assert [p.part for p in backbone_diff.parts] == [
        *("stem", "stages.0", "stages.1", "stages.2", "stages.3"),
        *("decoder", "encoder", "other"),
    ]
    assert list(backbone_diff.summary.part) == [p.part for p in backbone_diff.parts]


def test_table_has_one_line_a_row(backbone_diff):
    table = backbone_diff.table
    assert list(table.columns) == list(COLUMNS)
    assert list(table.columns[:5]) == [
        *("model_key", "checkpoint_key", "status", "model_shape", "checkpoint_shape"),
    ]
    assert len(table) == len(backbone_diff.rows)
    assert (table.status == "matched").sum() == 400


def test_renderings_name_the_file_and_what_deserves_a_look(backbone_diff):
    text, page = str(backbone_diff), backbone_diff._repr_html_()
    for rendering in (text, page):
        assert "best_backbone_mmdet.pth" in rendering
        assert "adapter_state_dict.adapters.0.weight" in rendering
        assert "stages.2" in rendering


@pytest.mark.parametrize(
    ("key", "part", "block"),
    [
        ("backbone.stem.stem2a.conv.1.weight", "stem", "stem2a"),
        ("backbone.stages.2.downsample.bn.bias", "stages.2", "downsample"),
        ("backbone.stages.2.blocks.1.layers.3.conv1.conv.weight", "stages.2", "blocks.1"),
        ("encoder.fpn_blocks.1.conv1.conv.weight", "encoder", "fpn_blocks.1"),
        ("encoder.encoder.0.layers.0.linear1.bias", "encoder", "encoder.0"),
        ("decoder.decoder.layers.5.norm1.bias", "decoder", "layers.5"),
        ("decoder.dec_score_head.2.bias", "decoder", "dec_score_head.2"),
        ("decoder.denoising_class_embed.weight", "decoder", "denoising_class_embed"),
    ],
)
def test_part_and_block(key, part, block):
    assert (part_of(key), block_of(key)) == (part, block)


# --- names that could belong together -----------------------------------------------------------


def test_near_names_are_offered_and_applied_only_when_accepted(tmp_path):
    state = {
        key.replace("aggregation_squeeze_conv", "agg_squeeze"): value
        for key, value in backbone().items()
    }
    diff = compare(open_checkpoint(save({"state_dict": state}, tmp_path / "a.pth")), CONFIG)
    assert diff.counts["matched"] == 370
    assert len(diff.near) == 30
    assert all(
        pair.checkpoint_key.replace("agg_squeeze", "aggregation_squeeze_conv")
        == pair.model_key.replace("backbone.", "state_dict.")
        for pair in diff.near
    )
    assert len(diff.select("backbone.*")) == 370
    accepted = diff.accept_near()
    assert accepted.counts["matched"] == 400
    assert accepted.counts["unused"] == 0
    tensors = accepted.select("backbone.*").read()
    assert all((tensors[f"backbone.{k}"] == v).all() for k, v in backbone().items())


def test_a_stage_under_another_number_is_offered_as_a_whole(tmp_path):
    state = {key.replace("stages.1.", "stages.7."): value for key, value in backbone().items()}
    diff = compare(open_checkpoint(save(state, tmp_path / "a.pth")), CONFIG)
    count = sum(key.startswith("stages.1.") for key in backbone())
    assert len(diff.near) == count == diff.counts["unused"]
    accepted = diff.accept_near()
    tensors = accepted.select("backbone.*").read()
    assert len(tensors) == 400
    assert all((tensors[f"backbone.{k}"] == v).all() for k, v in backbone().items())


def test_a_part_of_a_stage_under_another_number_is_not_offered():
    keys = [f"blocks.0.layers.{i}.conv.weight" for i in range(12)]
    missing = [(f"backbone.stages.1.{key}", (8, 8)) for key in keys]
    assert not near_pairs(missing, [(f"stages.7.{key}", (8, 8)) for key in keys])


def test_only_offered_pairs_are_accepted(backbone_diff):
    foreign = NearPair("backbone.stem.stem1.conv.weight", "a", (32, 3, 3, 3), 1.0)
    with pytest.raises(SelectionError, match="was not offered"):
        backbone_diff.accept_near([foreign])


def test_near_never_crosses_layers_or_shapes():
    missing = [("backbone.stages.2.blocks.1.layers.0.conv.weight", (8, 8))]
    assert not near_pairs(missing, [("m.stages.2.blocks.2.layers.0.conv.weight", (8, 8))])
    assert not near_pairs(missing, [("m.stages.2.blocks.1.layers.0.conv.weight", (8, 4))])
    assert not near_pairs(missing, [("optimizer.exp_avg", (8, 8))])
    assert near_pairs(missing, [("m.stages.2.blocks.1.layers.0.conv2d.weight", (8, 8))])


def test_near_uses_each_key_once():
    unused = [("a.stem.conv.weight", (1,)), ("b.stem.conv.weight", (1,))]
    pairs = near_pairs([("stem.conv.weight", (1,))], unused)
    assert len(pairs) == 1


def test_other_copies_inside_and_around_ours_are_counted_apart(tmp_path):
    content = {
        "state_dict": {**backbone(), **prefixed("teacher.", backbone(salt="t"))},
        "extra": {"weight": tensor("e", (3,))},
    }
    diff = compare(open_checkpoint(save(content, tmp_path / "a.pth")), CONFIG)
    assert diff.candidate.name == "state_dict"
    assert diff.elsewhere == {"state_dict.teacher": 400}
    teacher = compare(diff.checkpoint.candidates[1], CONFIG)
    assert teacher.counts["matched"] == 400
    assert teacher.elsewhere == {"state_dict": 400}


def test_a_second_detector_of_other_layout_is_unused_not_matched(tmp_path):
    content = {"model": {**detector(), "criterion.weight": tensor("c", (3,))}}
    diff = compare(open_checkpoint(save(content, tmp_path / "a.pth")), CONFIG)
    assert [row.checkpoint_key for row in diff.rows if row.status == "unused"] == [
        "model.criterion.weight"
    ]


def test_a_path_stands_for_its_checkpoint_but_a_name_for_no_configuration(backbone_file):
    assert compare(str(backbone_file), CONFIG).rows == compare(backbone_file, CONFIG).rows
    with pytest.raises(ConfigError, match=r"Give rt\.load_config\('rtdetrv2_hgnetv2_l'\)"):
        compare(backbone_file, "rtdetrv2_hgnetv2_l")  # type: ignore[arg-type]
