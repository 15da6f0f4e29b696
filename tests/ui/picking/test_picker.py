"""The layer tree as an object: what a click does and what Python does are the same."""

from pathlib import Path

import pytest
import torch
import traitlets

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import Diff, compare
from rtdetr_nb.checkpoint.tuning.judged import ConversionRefusedError, judge_content
from rtdetr_nb.checkpoint.tuning.write import read_content
from rtdetr_nb.checkpoint.tuning.write_as_trained_on import write_as_trained_on
from rtdetr_nb.conversion.convert import convert
from rtdetr_nb.errors import SelectionError, TuningError, UserError
from rtdetr_nb.ui import static_twin
from rtdetr_nb.ui.picking.picker import LayerPicker, pick_layers
from rtdetr_nb.ui.picking.write_below import WRITE_BELOW
from tests.checkpoint.wild import CONFIG, detector, save
from tests.paths import ROOT
from tests.ui.fake_page import Page


def click(picker: LayerPicker, prefix: str) -> None:
    """What the page sends when the box of a branch is ticked alone."""
    ticked = [
        index
        for index, leaf in enumerate(picker.leaves)
        if leaf["name"].startswith(prefix) and leaf["loadable"]
    ]
    send(picker, do="pick", picked=ticked)


def send(picker: LayerPicker, **content: object) -> None:
    """A message of the page, as the kernel hands it over."""
    picker._handle_custom_msg(content, [])


def test_everything_that_fits_is_ticked_at_first(whole_diff: Diff):
    picker = pick_layers(whole_diff)
    assert len(picker.leaves) == len(picker.picked) == 400
    assert picker.selection == whole_diff.select()


@pytest.mark.parametrize(
    ("prefix", "pattern"),
    [
        ("stem.", "stem.*"),
        ("stages.2.blocks.1.", "stages.2.blocks.1.*"),
        ("stages.0.blocks.0.layers.0.bn.bias", "stages.0.blocks.0.layers.0.bn.bias"),
    ],
)
def test_a_click_is_the_same_as_a_line_of_code(whole_diff: Diff, prefix: str, pattern: str):
    picker = pick_layers(whole_diff)
    click(picker, prefix)
    assert picker.selection == whole_diff.select(include=[pattern])
    assert picker.code == f'diff.select(include=["{pattern}"])'
    assert eval(picker.code, {"diff": whole_diff}) == picker.selection


def test_setting_a_selection_ticks_it(whole_diff: Diff):
    picker = pick_layers(whole_diff)
    chosen = whole_diff.select(["stem", "stages.3"], ["*.bn.*"])
    picker.selection = chosen
    names = ["backbone." + picker.leaves[index]["name"] for index in picker.picked]
    assert tuple(names) == chosen.keys
    assert picker.selection is chosen


def test_counts_and_the_official_log_follow(whole_diff: Diff):
    picker = pick_layers(whole_diff, whole_diff.select("stem"))
    assert "844 missed and 0 unmatched" in picker.official
    before = picker.summary.backbone_share
    picker.selection = whole_diff.select("stages.3")
    assert picker.summary.tensors == 75
    assert "794 missed" in picker.official
    assert before < 0.01 < 0.4 < picker.summary.backbone_share < 0.8


def test_a_convolution_without_its_norm_warns_at_once(whole_diff: Diff):
    picker = pick_layers(whole_diff)
    assert picker.warnings == []
    click(picker, "stem.stem1.conv")
    assert ["without all of their norm" in warning for warning in picker.warnings] == [True]


def test_nothing_ticked_is_said_and_refused(whole_diff: Diff):
    picker = pick_layers(whole_diff)
    picker.clear()
    assert picker.verdict == "failed" and picker.code == ""
    assert "Nothing is picked" in picker.judged["findings"][0][2]
    with pytest.raises(SelectionError, match="Nothing is picked"):
        _ = picker.selection
    assert picker._repr_mimebundle_()[0]["text/plain"] == "Nothing is picked."


def test_what_does_not_fit_is_listed_with_its_reason_and_cannot_be_ticked(partial_diff: Diff):
    picker = pick_layers(partial_diff)
    unfit = {leaf["name"]: leaf for leaf in picker.leaves if not leaf["loadable"]}
    assert len(unfit) == 1 + 75
    mismatched = unfit["stem.stem1.conv.weight"]
    assert mismatched["status"] == "mismatched"
    assert (mismatched["file_shape"], mismatched["model_shape"]) == ("32x4x3x3", "32x3x3x3")
    assert "4 input channels in the file, 3 in the model" in mismatched["note"]
    assert "initial value" in unfit["stages.3.downsample.conv.weight"]["note"]
    index = next(i for i, leaf in enumerate(picker.leaves) if leaf is mismatched)
    before = list(picker.picked)
    for wrong in (index, -1, 10_000):
        with pytest.raises(traitlets.TraitError, match="cannot be picked"):
            picker.picked = [*before, wrong]
    assert picker.picked == before


def test_a_selection_of_another_comparison_is_refused(whole_diff: Diff, partial_diff: Diff):
    with pytest.raises(SelectionError, match="another comparison"):
        pick_layers(whole_diff).selection = partial_diff.select()


def test_the_button_writes_and_says_so(whole_diff: Diff, tmp_path: Path):
    picker = pick_layers(whole_diff, whole_diff.select("stem"))
    target = tmp_path / "tuning.pth"
    send(picker, do="write", path=str(target), base="", replace=False)
    assert not picker.failed and "25 selected tensors" in picker.message
    assert set(open_checkpoint(target).tensors) == {f"model.{key}" for key in picker.selection}
    assert picker.path == str(target)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("there.pth", "exists"),
        ("no_folder/a.pth", "no folder"),
        (".", "is a folder"),
        ("a\0b.pth", "null byte"),
        ("x" * 300, "name too long"),
    ],
)
def test_what_goes_wrong_is_a_sentence(whole_diff: Diff, tmp_path: Path, name: str, words: str):
    (tmp_path / "there.pth").write_bytes(b"precious")
    picker = pick_layers(whole_diff, whole_diff.select("stem"))
    send(picker, do="write", path=str(tmp_path / name), base="", replace=False)
    assert picker.failed and words in picker.message
    assert (tmp_path / "there.pth").read_bytes() == b"precious"
    with pytest.raises(TuningError, match=words):
        picker.write(tmp_path / name)


@pytest.mark.parametrize("name", ["a\0b.pth", "x" * 300])
def test_on_a_page_for_a_class_too_what_is_no_path_is_a_sentence(
    whole_diff: Diff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setenv(WRITE_BELOW, str(tmp_path))
    picker = pick_layers(whole_diff, whole_diff.select("stem"))
    send(picker, do="write", path=name, base="", replace=False)
    assert picker.failed and "cannot be" in picker.message


def test_every_click_is_answered(whole_diff: Diff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The same refusal again changes no trait; and our own failures answer too."""
    answers: list[tuple[object, str]] = []
    picker = pick_layers(whole_diff, whole_diff.select("stem"))
    monkeypatch.setattr(picker, "send", lambda content: answers.append((content, picker.message)))
    for _ in range(2):
        send(picker, do="write", path=str(tmp_path), base="", replace=False)
    refused = f"{tmp_path} is a folder. Give the name of a file to write."
    assert answers == [({"do": "answer", "to": "write"}, refused)] * 2
    monkeypatch.setattr(picker, "write", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        picker._on_message(picker, {"do": "write", "path": "a", "base": "", "replace": False}, [])
    assert len(answers) == 3 and "ZeroDivisionError" in answers[2][1] and picker.failed


def test_the_button_grafts_into_a_full_checkpoint(whole_diff: Diff, tmp_path: Path):
    full = detector(salt="full")
    base, target = save({"model": full}, tmp_path / "full.pth"), tmp_path / "grafted.pth"
    picker = pick_layers(whole_diff, whole_diff.select("stem"))
    send(picker, do="write", path=str(target), base=f" {base} ", replace=False)
    assert not picker.failed and f"and {len(full) - 25} from the base" in picker.message
    written = torch.load(target, weights_only=True)["model"]
    kept = {key for key, value in full.items() if torch.equal(written[key], value)}
    assert set(written) == set(full) and set(full) - kept == set(picker.selection)
    send(picker, do="write", path=str(target), base=str(tmp_path / "gone.pth"), replace=True)
    assert picker.failed and "gone.pth" in picker.message
    assert len(open_checkpoint(target).tensors) == len(full)


def test_replacing_has_to_be_asked_for(whole_diff: Diff, tmp_path: Path):
    (tmp_path / "a.pth").write_bytes(b"old")
    picker = pick_layers(whole_diff, whole_diff.select("stem"))
    send(picker, do="write", path=str(tmp_path / "a.pth"), base="", replace=True)
    assert not picker.failed and len(open_checkpoint(tmp_path / "a.pth").tensors) == 25


@pytest.mark.parametrize("name", ["tuning.pth", "deep/tuning.pth", "{folder}/tuning.pth"])
def test_on_a_page_for_a_class_a_click_writes_to_the_visitors_folder(
    whole_diff: Diff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    (tmp_path / "deep").mkdir()
    monkeypatch.setenv(WRITE_BELOW, str(tmp_path))
    picker = pick_layers(whole_diff, whole_diff.select("stem"))
    send(picker, do="write", path=name.format(folder=tmp_path), base="", replace=False)
    assert not picker.failed, picker.message
    assert [path.name for path in tmp_path.rglob("*.pth")] == ["tuning.pth"]


@pytest.mark.parametrize("name", ["../other.pth", "{folder}-more/other.pth", "link/other.pth"])
def test_and_nowhere_else(
    whole_diff: Diff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    folder, elsewhere = tmp_path / "own", tmp_path / "own-more"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "link").symlink_to(elsewhere)
    monkeypatch.setenv(WRITE_BELOW, str(folder))
    picker = pick_layers(whole_diff, whole_diff.select("stem"))
    for paths in ({"path": name, "base": ""}, {"path": "tuning.pth", "base": name}):
        send(
            picker,
            do="write",
            replace=True,
            **{k: v.format(folder=folder) for k, v in paths.items()},
        )
        assert picker.failed and "only below one folder" in picker.message
    assert not list(tmp_path.rglob("*.pth"))


def test_a_message_goes_away_when_the_pick_changes(whole_diff: Diff, tmp_path: Path):
    picker = pick_layers(whole_diff, whole_diff.select("stem"))
    send(picker, do="write", path=str(tmp_path), base="", replace=False)
    assert picker.failed
    click(picker, "stages.0.")
    assert (picker.message, picker.failed) == ("", False)


def test_a_page_without_widgets_gets_the_figures(whole_diff: Diff):
    picker = pick_layers(whole_diff, whole_diff.select("stem"))
    data, _ = picker._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "25 tensors" in data["text/html"] and "844 missed" in data["text/html"]
    assert data["text/plain"] == str(picker.selection)


def test_no_trait_hides_a_name_of_the_widget():
    own = set(LayerPicker.class_own_traits()) - {"_esm", "_css", "_anywidget_id"}
    inherited = {name for base in LayerPicker.__mro__[1:] for name in vars(base)}
    assert own.isdisjoint(inherited - set(traitlets.HasTraits.class_traits()))


# --- the verdict ----------------------------------------------------------------------------------


def test_the_first_line_is_the_verdict_of_convert(
    whole_diff: Diff, other_size_diff: Diff, tmp_path: Path
):
    assert pick_layers(whole_diff).verdict == "ok"
    picker = pick_layers(other_size_diff)
    assert picker.verdict == "failed" and picker.judged["word"] == "failed"
    with pytest.raises(ConversionRefusedError) as refused:
        convert(other_size_diff.checkpoint, tmp_path / "t.pth", "rtdetrv2_hgnetv2_x")
    told = [finding.what for finding in refused.value.verdict.failures]
    assert [finding.what for finding in picker.verdict.failures] == told


@pytest.mark.parametrize("pattern", ["*", "stem.*", "*.bn.*", "stages.1.blocks.0.layers.0.*"])
def test_a_click_is_judged_as_the_file_will_be(whole_diff: Diff, partial_diff: Diff, pattern: str):
    for diff in (whole_diff, partial_diff):
        selection = diff.select(pattern)
        content = read_content(selection, None, "backbone.")
        written = judge_content(content, Path("tuning.pth")).verdict
        assert pick_layers(diff, selection).verdict == written


def test_a_failed_selection_is_written_only_where_the_box_says_so(
    other_size_diff: Diff, tmp_path: Path
):
    picker, target = pick_layers(other_size_diff), tmp_path / "t.pth"
    click = {"do": "write", "path": str(target), "base": "", "replace": False}
    send(picker, **click, anyway=False)
    assert picker.failed and not target.exists()
    assert "HGNetv2-L" in picker.message and "Write it all the same" in picker.message
    assert len(picker.message.splitlines()) == 3 and "\\n" not in picker.message
    with pytest.raises(ConversionRefusedError, match="allow_failed=True"):
        picker.write(target)
    send(picker, **click, anyway=True)
    assert not picker.failed and target.exists()


def test_a_file_that_t_cannot_read_is_no_plain_ok(whole_diff: Diff, tmp_path: Path):
    picker = pick_layers(whole_diff, whole_diff.select("stem"))
    for name, words in (
        ("a.safetensors", "The official -t reads files of torch.save"),
        ("a.pth", ""),
    ):
        send(picker, do="write", path=str(tmp_path / name), base="", replace=False)
        assert not picker.failed and picker.caution.startswith(words)
        assert bool(picker.caution) == bool(words) and str(tmp_path) in picker.message


def test_an_existing_file_and_an_empty_name_are_told_in_words_of_the_page(
    whole_diff: Diff, tmp_path: Path
):
    (tmp_path / "a.pth").write_bytes(b"old")
    picker = pick_layers(whole_diff, whole_diff.select("stem"))
    send(picker, do="write", path=str(tmp_path / "a.pth"), base="", replace=False)
    assert 'tick "Replace an existing file"' in picker.message and "overwrite" not in picker.message
    send(picker, do="write", path="  ", base="", replace=False)
    assert picker.message == "Give a name for the file."


# --- undo, code, pictures -------------------------------------------------------------------------


def test_undo_brings_the_ticks_back(whole_diff: Diff):
    picker = pick_layers(whole_diff)
    first = list(picker.picked)
    assert not picker.can_undo
    picker.undo()
    assert picker.picked == first
    picker.clear()
    click(picker, "stem.")
    send(picker, do="undo")
    assert picker.picked == [] and picker.can_undo
    send(picker, do="undo")
    assert picker.picked == first and not picker.can_undo


def test_what_is_left_out_everywhere_is_one_pattern(whole_diff: Diff):
    picker = pick_layers(whole_diff)
    norms = [i for i, leaf in enumerate(picker.leaves) if ".bn." in leaf["name"]]
    picker.picked = [i for i in picker.picked if i not in norms]
    assert picker.code == 'diff.select(include=["*"], exclude=["*.bn.*"])'
    assert eval(picker.code, {"diff": whole_diff}) == picker.selection
    picker.picked = [
        i
        for i, leaf in enumerate(picker.leaves)
        if leaf["name"].startswith(("stem.", "stages.1.")) and "running_" not in leaf["name"]
    ]
    assert picker.code == 'diff.select(include=["stem.*", "stages.1.*"], exclude=["*.running_*"])'


def test_one_click_mends_the_input_format_where_pictures_are_known(tmp_path: Path):
    demo = compare(ROOT / "data" / "demo_backbone_mmdet.pth", CONFIG)
    made = write_as_trained_on(demo.select(), tmp_path / "a.pth", "imagenet")
    pictures = sorted((ROOT / "data" / "shapes" / "images" / "val").iterdir())[:4]
    picker = pick_layers(compare(made, CONFIG), data=pictures)
    assert picker.can_look and not pick_layers(demo).can_look
    send(picker, do="mend")
    assert picker.input_format is not None and picker.input_format.name == "imagenet"
    assert "ImageNet" in picker.looked and "ImageNet" in picker.folded
    report = picker.write(tmp_path / "t.pth")
    assert report.stem is not None
    send(picker, do="leave")
    assert picker.input_format is None and picker.folded == ""
    with pytest.raises(UserError, match="data="):
        pick_layers(demo).mend_input()


def test_a_saved_notebook_keeps_a_copy_that_follows_the_ticks(
    whole_diff: Diff, monkeypatch: pytest.MonkeyPatch
):
    page = Page()
    monkeypatch.setattr(static_twin, "display", page.display)
    picker = pick_layers(whole_diff)
    picker._ipython_display_()
    widget, copy = page.bundles
    assert "application/vnd.jupyter.widget-view+json" in widget
    assert copy.keys() == {"text/html", "text/plain"} and "400 tensors" in copy["text/html"]
    assert copy["text/html"].startswith("<details>")
    click(picker, "stem.")
    assert "25 tensors" in page.bundles[1]["text/html"]


def test_a_page_for_a_class_has_no_second_copy(whole_diff: Diff, monkeypatch: pytest.MonkeyPatch):
    page = Page()
    monkeypatch.setattr(static_twin, "display", page.display)
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5")
    pick_layers(whole_diff)._ipython_display_()
    assert len(page.bundles) == 1


def test_the_values_of_a_row_are_shown_below_the_tree(whole_diff: Diff, partial_diff: Diff):
    picker = pick_layers(whole_diff)
    index = next(i for i, leaf in enumerate(picker.leaves) if leaf["name"] == "stem.stem1.bn.bias")
    send(picker, do="values", index=index)
    assert "stem.stem1.bn.bias 32" in picker.values and "<svg" in picker.values
    other = pick_layers(partial_diff)
    missing = next(i for i, leaf in enumerate(other.leaves) if not leaf["file_key"])
    send(other, do="values", index=missing)
    assert other.failed and "has nothing for" in other.message and not other.values
