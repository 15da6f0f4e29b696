"""Verdicts: what is judged from names, shapes and the configuration."""

import pytest

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.config_findings import config_findings
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.comparison.judge import judge
from rtdetr_nb.config.load import load_config
from rtdetr_nb.text.findings import Finding, Verdict
from tests.checkpoint.wild import (
    CONFIG,
    as_paddle,
    as_ultralytics,
    backbone,
    detector,
    prefixed,
    save,
)


def configured(*overrides):
    return load_config("rtdetrv2_hgnetv2_l", overrides)


def judged(content, folder, config=CONFIG, **options):
    return judge(compare(open_checkpoint(save(content, folder / "a.pth")), config), **options)


def the(verdict, words):
    (finding,) = (f for f in verdict.findings if words in f"{f.what} {f.where}")
    return finding


def test_the_word_is_that_of_the_worst_finding():
    note, warning, failure = (Finding(level, "x") for level in ("note", "warning", "failure"))
    assert Verdict([]) == "ok"
    assert Verdict([note]) == "ok"
    assert Verdict([note, warning]) == "warnings"
    verdict = Verdict([note, failure, warning])
    assert verdict == "failed"
    assert verdict.findings == (failure, warning, note)
    assert verdict.failures == (failure,) and verdict.warnings == (warning,)


def test_every_finding_is_printed_with_what_where_why_and_what_to_do():
    verdict = Verdict([Finding("warning", "What.", "<where>", "Why.", "Do.")])
    assert verdict.text().splitlines()[1] == "  warning: What. [<where>] Why. Do."
    assert "&lt;where&gt;" in verdict._repr_html_()


def test_a_sound_backbone_is_ok(backbone_diff):
    verdict = backbone_diff.verdict
    assert verdict == "ok"
    assert "Only a backbone" in the(verdict, "Only a backbone").what


def test_a_sound_detector_is_ok_and_the_choice_is_said(detector_diff):
    assert detector_diff.verdict == "ok"
    chosen = the(detector_diff.verdict, "was taken")
    assert "ema.module (ema)" in chosen.what and "model (raw)" in chosen.what


def test_another_variant_fails_and_names_the_configuration(backbone_file):
    config = load_config("rtdetrv2_hgnetv2_x")
    verdict = compare(open_checkpoint(backbone_file), config).verdict
    finding = the(verdict, "HGNetv2-L")
    assert verdict == "failed" and "rtdetrv2_hgnetv2_l" in finding.action


def test_affine_blocks_fail_without_use_lab_and_pass_with_it(tmp_path):
    content = {"model": prefixed("backbone.", backbone(use_lab=True))}
    verdict = judged(content, tmp_path)
    assert verdict == "failed"
    assert "106 tensors" in the(verdict, "affine").what
    assert judged(content, tmp_path, configured("HGNetv2.use_lab=True")) == "ok"


def test_use_lab_without_affine_blocks_in_the_file_warns(backbone_file):
    config = configured("HGNetv2.use_lab=True")
    verdict = compare(open_checkpoint(backbone_file), config).verdict
    assert verdict == "warnings" and "106" in the(verdict, "lacks").what


def test_paddles_affine_blocks_are_told(tmp_path):
    content = {"model": as_paddle(backbone(use_lab=True))}
    verdict = judged(content, tmp_path, configured("HGNetv2.use_lab=True"))
    assert verdict == "warnings" and "PaddlePaddle" in the(verdict, "PaddlePaddle").what


def test_the_teacher_taken_for_the_student(tmp_path):
    verdict = judged({"teacher": prefixed("backbone.", backbone())}, tmp_path)
    assert verdict == "warnings" and "teacher" in the(verdict, "weights of the teacher").what


def test_missing_layers_norm_statistics_and_frozen_parts_warn(tmp_path):
    state = {k: v for k, v in backbone().items() if not k.endswith("running_var")}
    verdict = judged({"model": prefixed("backbone.", state)}, tmp_path)
    assert verdict == "warnings"
    assert "80 norm statistics" in the(verdict, "freeze_norm").what
    assert "5 tensors of stem" in the(verdict, "freeze_at").what
    live = configured("HGNetv2.freeze_norm=False", "HGNetv2.freeze_at=-1")
    verdict = judged({"model": prefixed("backbone.", state)}, tmp_path, live)
    assert not any("freeze" in finding.where for finding in verdict.findings)


def test_other_classes_are_normal(tmp_path):
    verdict = judged({"model": detector(overrides=("num_classes=3",))}, tmp_path)
    finding = the(verdict, "another number of classes")
    assert verdict == "ok" and "15 tensors" in finding.what


def test_another_encoder_warns(tmp_path):
    content = {"model": detector(overrides=("HybridEncoder.dim_feedforward=512",))}
    assert "cannot be taken" in the(judged(content, tmp_path), "encoder and decoder").what


def test_a_decoder_that_is_not_there_is_not_called_another(tmp_path):
    whole = detector()
    part = {name: whole[name] for name in whole if not name.startswith("decoder.")}
    finding = the(judged({"model": part}, tmp_path), "encoder and decoder")
    assert "the file lacks" in finding.what and "differently" not in str(finding)


def test_value_fixes_are_told(tmp_path):
    verdict = judged({"model": as_ultralytics(backbone())}, tmp_path)
    assert verdict == "ok" and "0.001" in the(verdict, "changed on the way").what


@pytest.mark.parametrize(
    ("live_file", "live_model", "words"),
    [(True, False, "80 batch counters"), (False, True, "lacks 80 batch counters")],
)
def test_batch_counters_are_told_and_harmless(tmp_path, live_file, live_model, words):
    config = configured(f"HGNetv2.freeze_norm={not live_model}", "HGNetv2.freeze_at=-1")
    content = {"model": prefixed("backbone.", backbone(live=live_file))}
    finding = the(judged(content, tmp_path, config), words)
    assert finding.level == "note"


# --- traps in the configuration -----------------------------------------------------------------


def test_freeze_at_0_freezes_the_stem():
    (finding,) = (f for f in config_findings(CONFIG) if "freeze_at" in f.where)
    assert finding.what == "The stem is frozen." and "-1 does" in finding.why
    assert finding.level == "note"
    (finding,) = (
        f for f in config_findings(configured("HGNetv2.freeze_at=2")) if "freeze_at" in f.where
    )
    assert finding.what == "The stem, stages.0 and stages.1 are frozen."


@pytest.mark.parametrize("live", [True, False])
def test_the_pattern_that_does_not_leave_out_norms(live):
    config = configured(f"HGNetv2.freeze_norm={not live}")
    (finding,) = (f for f in config_findings(config) if "pattern" in f.what)
    assert finding.level == "note" and finding.where == "optimizer.params.0"
    assert ("weight decay" in finding.why) == live


def test_the_repaired_pattern_is_not_reported():
    config = configured(
        "HGNetv2.freeze_norm=False",
        "optimizer.params=[{params: '^(?=.*backbone)(?!.*(?:norm|bn)).*$', lr: 1e-5}]",
    )
    assert not any("pattern" in finding.what for finding in config_findings(config))


def test_a_warm_up_longer_than_the_run():
    (finding,) = (f for f in config_findings(CONFIG, total_steps=60) if "warm-up" in f.what)
    assert finding.level == "warning" and "3%" in finding.why
    assert not any("warm-up" in f.what for f in config_findings(CONFIG, total_steps=2000))
    assert not any("warm-up" in f.what for f in config_findings(CONFIG))
