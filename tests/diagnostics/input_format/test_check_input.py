"""The whole check: from whatever stands for weights and pictures to a verdict."""

from pathlib import Path

import pytest
import torch

import rtdetr_nb as rt
from rtdetr_nb.config.schema import BackboneConfig
from rtdetr_nb.diagnostics.input_format.check_input import check_input
from rtdetr_nb.diagnostics.input_format.for_verdicts import NO_PICTURES, input_findings
from rtdetr_nb.errors import CheckpointError, DatasetError
from rtdetr_nb.model.build import make_backbone
from tests.checkpoint.wild import as_dfine, as_ultralytics, detector, prefixed
from tests.diagnostics.input_format.corpus import DEMO, ROOT, State, expecting, foreign_state
from tests.diagnostics.input_format.kinds_of_pictures import shapes

SHAPES = ROOT / "data" / "shapes"
IMAGENET = rt.InputFormat("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
MM = "model = dict(data_preprocessor=dict(mean={}, std={}, bgr_to_rgb=True))"
MM_IMAGENET = MM.format([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
MM_PLAIN = MM.format([0, 0, 0], [255, 255, 255])


def check(source, data: object | None = SHAPES, **options):
    return check_input(
        source, data, **{"pictures": 6, "image_size": 192, "device": "cpu"} | options
    )


def save(content, folder: Path) -> Path:
    torch.save(content, folder / "a.pth")
    return folder / "a.pth"


@pytest.fixture
def normalised(own: State, tmp_path: Path) -> Path:
    """The demo backbone as a distillation on ImageNet-normalised pictures would have saved it."""
    return save({"meta": {"epoch": 3}, "state_dict": expecting(own, IMAGENET)}, tmp_path)


@pytest.mark.slow
def test_a_file_and_what_was_opened_from_it_are_the_same():
    config = rt.load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.pretrained=False"])
    opened = rt.open_checkpoint(DEMO)
    diff = rt.compare(opened, config)
    sources = (str(DEMO), opened, opened.candidates[0], diff, diff.select("backbone.*"))
    reports = [check(source) for source in sources]
    first = reports[0]
    assert first.verdict == "ok" and first.found is not None and first.found.is_plain
    assert first.pictures == 6 and len(first.layers) == 80
    for report in reports[1:]:
        assert report.table.equals(first.table) and report.layers.equals(first.layers)
    assert "which is what RT-DETRv2 feeds (6 pictures" in str(first)
    assert first.table["format"][0] in ("zero_one", "zero_one_bgr")
    assert first.table["times"].is_monotonic_increasing and len(first.table) == 12


def test_another_format_is_a_warning_and_says_what_it_is_based_on(normalised):
    report = check(normalised)
    assert report.verdict == "warnings" and report.found is not None
    assert report.found.name == "imagenet"
    finding = report.verdict.warnings[0]
    # The first norm is as sound as that of the original, in whatever format.
    assert report.fits[0].mismatch == pytest.approx(check(DEMO).fits[0].mismatch, abs=1e-3)
    assert 'input_format="imagenet"' in finding.action and "probe=True" in finding.action
    assert "began with weights of such pictures" in finding.why
    assert "RGB and BGR are not told apart" in report.verdict.text()


@pytest.mark.slow
def test_where_the_file_states_the_same_it_fails_if_frozen(own, tmp_path):
    path = save({"meta": {"cfg": MM_IMAGENET}, "state_dict": expecting(own, IMAGENET)}, tmp_path)
    assert check(path).verdict == "failed"
    trained = rt.load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.freeze_at=-1"])
    assert check(path, config=trained).verdict == "warnings"


@pytest.mark.slow
@pytest.mark.parametrize("stated", [MM_IMAGENET, MM_PLAIN])
def test_a_contradiction_is_a_finding(own, normalised, tmp_path, stated):
    """Either way round: the file states one thing and the norm remembers another."""
    state = own if stated == MM_IMAGENET else expecting(own, IMAGENET)
    report = check(save({"meta": {"cfg": stated}, "state_dict": state}, tmp_path))
    assert report.verdict == "warnings"
    assert any("but its first norm remembers" in f.what for f in report.verdict.warnings)


def test_a_statement_that_agrees_is_no_finding(own, tmp_path):
    report = check(save({"meta": {"cfg": MM_PLAIN}, "state_dict": own}, tmp_path))
    assert report.verdict == "ok" and not report.findings


@pytest.mark.slow
def test_in_a_trained_detector_it_is_a_note(own, tmp_path):
    """Its encoder and decoder were trained with the frozen stem as it is."""
    state = detector() | prefixed("backbone.", expecting(own, IMAGENET))
    report = check(save({"model": state}, tmp_path))
    assert report.verdict == "ok"
    assert "Leave it as it is." in report.verdict.text()
    teacher = prefixed("backbone.", expecting(own, IMAGENET)) | {
        "teacher.decoder.layers.0.weight": torch.zeros(3)
    }
    assert check(save({"model": teacher}, tmp_path)).verdict == "warnings"


def test_without_pictures_nothing_is_known_and_the_layers_are_judged_all_the_same(own, tmp_path):
    report = check(DEMO, None)
    assert report.found is None and report.verdict == "ok"
    assert NO_PICTURES in report.verdict.text() and len(report.layers) == 80
    name = "stages.1.blocks.0.layers.3.conv.weight"
    broken = check(save({"state_dict": {**own, name: -own[name]}}, tmp_path), None)
    assert broken.verdict.warnings[0].where == "stages.1.blocks.0.layers.3"
    stated = check(save({"meta": {"cfg": MM_IMAGENET}, "state_dict": own}, tmp_path), None)
    assert "The file states pictures" in stated.verdict.warnings[0].what
    assert [f.what for f in input_findings(None)] == [NO_PICTURES]
    assert input_findings(report) == list(report.findings)


def test_fused_norms_remember_nothing(own, tmp_path):
    frozen = {k: v for k, v in own.items() if not k.endswith("num_batches_tracked")}
    report = check(save({"model": as_ultralytics(frozen, fused=True)}, tmp_path))
    assert report.found is None and report.verdict == "ok"
    assert "folded into the convolutions" in report.verdict.text()
    assert report.layers.empty and report.table.empty


@pytest.mark.slow
def test_a_part_of_a_backbone(own, tmp_path):
    stem = {k: v for k, v in own.items() if k.startswith("stem")}
    report = check(save({"model": prefixed("backbone.", stem)}, tmp_path))
    assert report.found is not None and report.found.is_plain
    assert set(report.layers["part"]) == {"stem"}
    rest = {k: v for k, v in own.items() if k.startswith("stages")}
    report = check(save({"model": prefixed("backbone.", rest)}, tmp_path))
    assert report.found is None and "not in the file" in report.verdict.text()
    assert report.layers["fits"].all() and len(report.layers) == 75


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "lab"), [("X", False), ("L", True), ("H", False)])
def test_other_sizes_and_affine_blocks(tmp_path, variant, lab):
    # Norms of these very pictures: random kernels tell little apart on others.
    state = foreign_state(shapes(6, 192), variant, use_lab=lab)
    report = check(save({"model": as_dfine(expecting(state, IMAGENET))}, tmp_path))
    assert report.found is not None and report.found.name == "imagenet"
    assert report.verdict == "warnings" and report.layers["fits"].all()


def test_values_that_are_not_finite_are_named(own, tmp_path):
    name = "stages.2.blocks.0.layers.1.conv1.conv.weight"
    state = {**own, name: own[name] * float("nan")}
    report = check(save({"state_dict": state}, tmp_path))
    worst = report.verdict.findings[0]
    assert worst.where == "stages.2.blocks.0.layers.1.conv1" and "not finite" in worst.why


def test_broken_pictures_are_named_and_left_out(tmp_path):
    paths = [*sorted((SHAPES / "images" / "val").iterdir())[:3], tmp_path / "gone.jpg"]
    report = check(DEMO, paths)
    assert report.pictures == 3 and "gone.jpg" in report.verdict.text()
    with pytest.raises(DatasetError):
        check(DEMO, tmp_path / "nowhere")


def test_another_size_is_refused(tmp_path):
    state = {
        k: v[..., :1, :1] if v.ndim == 4 else v
        for k, v in make_backbone(BackboneConfig(name="L")).state_dict().items()
    }
    small = {k: v[: max(1, len(v) // 3)] if v.ndim else v for k, v in state.items()}
    with pytest.raises(CheckpointError, match="another size"):
        check(save({"model": small}, tmp_path))


def test_text_and_html(normalised):
    report = check(normalised)
    html = report._repr_html_()
    assert "ImageNet&#x27;s mean" in html and "warnings" in html
    assert "<table" in html


@pytest.mark.slow
def test_the_probe_decides(own, normalised, tmp_path):
    """The same backbone names 49 % of the boxes as it is and 85 % mended."""
    config = rt.load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.pretrained=False"])
    report = check(normalised, probe=True, config=config)
    assert report.probed is not None and report.probed.boxes == 124
    assert report.probed.as_it_is == pytest.approx(0.49, abs=0.03)
    assert report.probed.mended == pytest.approx(0.85, abs=0.03)
    assert report.verdict == "failed" and report.found is not None
    assert report.found.name == "imagenet"
    # A file that states what is not so: mending for that would spoil it.
    untrue = {"meta": {"cfg": MM_IMAGENET}, "state_dict": own}
    kept = check(save(untrue, tmp_path), probe=True, config=config)
    assert kept.probed is not None and kept.probed.as_it_is > kept.probed.mended
    assert kept.found is not None and kept.found.is_plain
    assert not kept.verdict.failures
