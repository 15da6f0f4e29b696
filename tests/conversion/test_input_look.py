"""With pictures, a conversion says which ones the backbone expects, and mends it where asked."""

from functools import partial
from pathlib import Path

import pytest
import torch

import rtdetr_nb as rt
from rtdetr_nb.checkpoint.tuning.judged import ConversionRefusedError
from rtdetr_nb.diagnostics.input_format import check_input
from rtdetr_nb.diagnostics.input_format.for_verdicts import NO_PICTURES
from rtdetr_nb.errors import DatasetError, TuningError
from tests.checkpoint.wild import as_dfine, prefixed
from tests.diagnostics.input_format.corpus import DEMO, ROOT

SHAPES = ROOT / "data" / "shapes"
PICTURES = SHAPES / "images" / "val"
CONFIG = rt.load_config("rtdetrv2_hgnetv2_l", ["HGNetv2.pretrained=False"])
FIGURES = "mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]"
STATED = f"model = dict(data_preprocessor=dict({FIGURES}, bgr_to_rgb=True))"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer and smaller pictures, which say the same."""
    quick = partial(check_input.check_input, pictures=4, image_size=192)
    monkeypatch.setattr(check_input, "check_input", quick)


@pytest.fixture(scope="module")
def normalised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo backbone as a distillation on ImageNet-normalised pictures would have saved it."""
    folder = tmp_path_factory.mktemp("normalised")
    selection = rt.compare(DEMO, CONFIG).select()
    return rt.write_as_trained_on(selection, folder / "a.pth", "imagenet")


@pytest.fixture(scope="module")
def stating(normalised: Path) -> Path:
    """The same, in a file that says so."""
    content = torch.load(normalised, weights_only=True)
    path = normalised.with_name("stating.pth")
    torch.save({**content, "meta": {"cfg": STATED}}, path)
    return path


def stem_of(path: Path) -> torch.Tensor:
    return torch.load(path, weights_only=True)["model"]["backbone.stem.stem1.conv.weight"]


def test_without_pictures_it_says_that_nothing_is_known(tmp_path):
    done = rt.convert(DEMO, tmp_path / "t.pth", CONFIG)
    assert NO_PICTURES in str(done) and NO_PICTURES in done._repr_html_() and done.input is None
    assert done.findings == done.verdict.findings


def test_with_pictures_a_sound_backbone_is_told_to_be_one(tmp_path):
    done = rt.convert(DEMO, tmp_path / "t.pth", CONFIG, PICTURES)
    assert not done.verdict.failures and NO_PICTURES not in str(done)
    assert not any(f.where.startswith("stem.stem1") for f in done.verdict.warnings)
    assert "which is what RT-DETRv2 feeds" in str(done)
    assert "which is what RT-DETRv2 feeds" in done._repr_html_()


def test_statistics_alone_warn_and_the_file_is_written(normalised, tmp_path):
    done = rt.convert(normalised, tmp_path / "t.pth", CONFIG, PICTURES)
    assert done.verdict == "warnings" and done.report.stem is None
    assert "remember other pictures" in str(done) and "remember other pictures" in (
        done._repr_html_()
    )


def test_statement_and_statistics_refuse_unless_forced(stating, tmp_path):
    output = tmp_path / "t.pth"
    with pytest.raises(ConversionRefusedError, match="remember other pictures"):
        rt.convert(stating, output, CONFIG, PICTURES)
    assert not output.exists()
    done = rt.convert(stating, output, CONFIG, PICTURES, force=True)
    assert done.verdict == "failed" and done.report.stem is None
    trained = CONFIG.override(["HGNetv2.freeze_at=-1"])
    warned = rt.convert(stating, tmp_path / "u.pth", trained, PICTURES)
    assert warned.verdict == "warnings"


def test_a_named_format_is_judged_as_it_will_be_written(stating, tmp_path):
    done = rt.convert(stating, tmp_path / "t.pth", CONFIG, PICTURES, input_format="imagenet")
    assert done.verdict == "ok" and done.report.stem is not None
    assert "The stem is rewritten" in str(done) and "which is what RT-DETRv2 feeds" in str(done)


def test_the_wrong_format_named_is_a_warning(tmp_path):
    done = rt.convert(DEMO, tmp_path / "t.pth", CONFIG, PICTURES, input_format="imagenet")
    assert any("its norm remembers RGB, values 0 to 1" in f.what for f in done.verdict.warnings)


def test_auto_mends_what_is_sure_and_tells(stating, tmp_path):
    done = rt.convert(stating, tmp_path / "t.pth", CONFIG, PICTURES, input_format="auto")
    original = rt.convert(DEMO, tmp_path / "o.pth", CONFIG)
    assert done.verdict == "ok" and done.report.stem is not None
    assert "Found by the pictures" in str(done)
    torch.testing.assert_close(
        stem_of(tmp_path / "t.pth"), stem_of(original.report.path), rtol=1e-5, atol=1e-6
    )


def test_auto_leaves_what_only_the_norms_say_unless_forced(normalised, tmp_path):
    done = rt.convert(normalised, tmp_path / "t.pth", CONFIG, PICTURES, input_format="auto")
    assert done.verdict == "warnings" and done.report.stem is None
    assert "only the norms speak for it" in str(done)
    forced = rt.convert(
        normalised, tmp_path / "t.pth", CONFIG, PICTURES, input_format="auto", force=True
    )
    assert forced.report.stem is not None and forced.report.stem.input_format.name == "imagenet"


@pytest.mark.slow
def test_auto_lets_boxes_decide(normalised, tmp_path):
    done = rt.convert(normalised, tmp_path / "t.pth", CONFIG, SHAPES, input_format="auto")
    assert done.report.stem is not None and "Probed as it is" in str(done)


def test_auto_has_nothing_to_mend_in_a_sound_file(tmp_path):
    done = rt.convert(DEMO, tmp_path / "t.pth", CONFIG, PICTURES, input_format="auto")
    assert done.report.stem is None and "Nothing is folded" in str(done)
    assert not done.verdict.failures


def test_in_a_trained_detector_it_is_a_note_and_auto_leaves_it(normalised, tmp_path):
    state = torch.load(normalised, weights_only=True)["state_dict"]
    heads = {"decoder.dec_score_head.0.weight": torch.zeros(80, 256)}
    path = tmp_path / "detector.pth"
    torch.save({"model": {**prefixed("backbone.", as_dfine(state)), **heads}}, path)
    done = rt.convert(path, tmp_path / "t.pth", CONFIG, PICTURES, input_format="auto")
    assert done.report.stem is None
    notes = [f for f in done.findings if "remember other pictures" in f.what]
    assert [f.level for f in notes] == ["note"] and "Leave it as it is" in notes[0].action


def test_auto_without_pictures_and_pictures_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(TuningError, match="--data DIR"):
        rt.convert(DEMO, tmp_path / "t.pth", CONFIG, input_format="auto")
    with pytest.raises(DatasetError, match="no folder"):
        rt.convert(DEMO, tmp_path / "t.pth", CONFIG, tmp_path / "nothing")
    assert not list(tmp_path.iterdir())
