"""A stem rewritten for another input format computes the same: in numbers, for every format."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rtdetr_nb.architecture.state_dict_table import backbone_keys
from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.tuning.input_format import (
    FORMATS,
    STEM_BIAS,
    STEM_MEAN,
    STEM_WEIGHT,
    InputFormat,
    canonical,
    fold_into_stem,
    named_format,
)
from rtdetr_nb.checkpoint.tuning.load import load_tuning_file, prove_loaded
from rtdetr_nb.checkpoint.tuning.stem_proof import prove_stem
from rtdetr_nb.checkpoint.tuning.write import write_tuning_file
from rtdetr_nb.config.load import load_config
from rtdetr_nb.config.schema import BackboneConfig
from rtdetr_nb.errors import TuningError
from rtdetr_nb.model.build import build_model, make_backbone
from rtdetr_nb.model.hgnetv2 import HGNetv2
from tests.checkpoint.wild import (
    CONFIG,
    as_dfine,
    as_ultralytics,
    backbone,
    prefixed,
    save,
    tensor,
)

triples = st.tuples(*[st.floats(-200, 200)] * 3)
deviations = st.tuples(*[st.floats(0.05, 90)] * 3)


@pytest.fixture(scope="module")
def stem() -> HGNetv2:
    """A backbone whose parameters and statistics all differ from the initial ones."""
    torch.manual_seed(0)
    net = make_backbone(BackboneConfig(name="L", use_lab=True)).eval()
    for name, value in net.state_dict().items():
        if name.endswith(("running_mean", "bias")):
            value.normal_()
        elif name.endswith(("running_var", "bn.weight", "scale")):
            value.uniform_(0.5, 2.0)
    return net


def outputs_of(net: HGNetv2, state: dict[str, Tensor], pictures: Tensor) -> Tensor:
    """What the first layer, its affine block included, makes of the pictures, in float64."""
    copied = make_backbone(BackboneConfig(name="L", use_lab=True)).eval().double()
    copied.load_state_dict({k: v.double() for k, v in state.items()})
    with torch.no_grad():
        return copied.stem.stem1(pictures.double())


@pytest.mark.parametrize("name", FORMATS)
def test_a_mended_stem_computes_the_same_of_plain_pictures(stem, name):
    """Learnable affine blocks and activation follow the norm: they have no say in it."""
    pictures = torch.rand(2, 3, 33, 34, generator=torch.Generator().manual_seed(1))
    wanted = FORMATS[name]
    state = {k: v.double() for k, v in stem.state_dict().items()}
    before = outputs_of(stem, state, wanted.apply(pictures.double()))
    mended = fold_into_stem(state, wanted)
    after = outputs_of(stem, mended, pictures)
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(after[inner], before[inner], rtol=1e-9, atol=1e-9)
    changed = {k for k in state if not torch.equal(state[k], mended[k])}
    assert (STEM_WEIGHT in changed) == (wanted.gain != (1, 1, 1) or wanted.order == "BGR")
    assert (STEM_MEAN in changed) == any(wanted.mean)
    assert changed <= {STEM_WEIGHT, STEM_MEAN}
    assert (name == "zero_one") == (not changed)
    if any(wanted.mean):  # zero padding now means black instead of the mean colour
        assert (after - before).abs().max() > 1e-3


@settings(max_examples=30, deadline=None)
@given(mean=triples, std=deviations, scale=st.sampled_from([1.0, 255.0]), bgr=st.booleans())
def test_any_figures_are_folded_exactly(stem, mean, std, scale, bgr):
    wanted = InputFormat("own", mean, std, scale, "BGR" if bgr else "RGB")
    state = {k: v.double() for k, v in stem.state_dict().items()}
    proof = prove_stem(state, fold_into_stem(state, wanted), wanted)
    assert proof.difference < 1e-9


def test_a_fused_norm_takes_the_constant_into_the_bias():
    weight, bias = torch.randn(8, 3, 3, 3).double(), torch.randn(8).double()
    wanted = FORMATS["imagenet_bgr"]
    mended = fold_into_stem({STEM_WEIGHT: weight, STEM_BIAS: bias}, wanted)
    x = torch.rand(1, 3, 20, 20).double()
    conv = torch.nn.functional.conv2d
    before = conv(wanted.apply(x), weight, bias)
    torch.testing.assert_close(conv(x, mended[STEM_WEIGHT], mended[STEM_BIAS]), before)


def test_what_is_given_is_left_alone():
    state = {f"backbone.{k}": v for k, v in backbone().items()}
    weight = state[f"backbone.{STEM_WEIGHT}"].clone()
    mended = fold_into_stem(state, "imagenet")
    assert list(mended) == list(state)
    assert torch.equal(state[f"backbone.{STEM_WEIGHT}"], weight)
    assert mended[f"backbone.{STEM_WEIGHT}"].dtype == torch.float32


@pytest.mark.parametrize(
    ("names", "wanted", "words"),
    [
        (("stem.stem3.conv.weight",), "half", "Select the stem"),
        ((STEM_WEIGHT,), "half", "Select the whole stem"),
        ((STEM_WEIGHT,), "imagenett", "Did you mean 'imagenet'"),
    ],
)
def test_what_cannot_be_folded_is_refused(names, wanted, words):
    with pytest.raises(TuningError, match=words):
        fold_into_stem({name: backbone()[name] for name in names}, wanted)


def test_without_a_mean_the_convolution_is_enough():
    mended = fold_into_stem({STEM_WEIGHT: backbone()[STEM_WEIGHT]}, "zero_255")
    torch.testing.assert_close(mended[STEM_WEIGHT], backbone()[STEM_WEIGHT] * 255)


@pytest.mark.parametrize("std", [(0.0, 1.0, 1.0), (1.0, float("nan"), 1.0), (1.0, 1.0)])
def test_figures_that_make_no_format_are_refused(std):
    with pytest.raises(TuningError, match="no input format"):
        InputFormat("own", (0.0, 0.0, 0.0), std)


def test_formats_of_other_units_are_the_same():
    mm = InputFormat("stated", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), 255.0)
    assert canonical(mm) is FORMATS["imagenet"]
    assert canonical(InputFormat("x", (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))).name == "x"
    assert named_format("imagenet_bgr").mean == (0.406, 0.456, 0.485)
    assert not FORMATS["imagenet"].same_as(FORMATS["imagenet_bgr"])


# --- tuning files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelling", "options"),
    [
        (lambda state: prefixed("x.", state), {}),
        (as_dfine, {"live": True}),
        (as_dfine, {"use_lab": True}),
        (as_ultralytics, {}),
        (lambda state: as_ultralytics(state, fused=True), {}),
        (lambda state: {k: v.half() for k, v in state.items()}, {}),
        (lambda state: state, {"variant": "X"}),
        (lambda state: state, {"variant": "H"}),
    ],
)
def test_a_tuning_file_of_any_spelling_is_mended_and_proved(tmp_path, spelling, options):
    variant = options.get("variant", "L").lower()
    overrides = [
        "HGNetv2.pretrained=False",
        f"HGNetv2.use_lab={options.get('use_lab', False)}",
        f"HGNetv2.freeze_norm={not options.get('live', False)}",
    ]
    config = load_config(f"rtdetrv2_hgnetv2_{variant}", overrides)
    if variant == "h":  # larger than the numbers that the others are drawn from
        keys = backbone_keys("H", freeze_norm=True).items()
        state = {k: tensor(k, i.shape) for k, i in keys if k.startswith("stem")}
    else:
        state = spelling(backbone(**options))
    path = save({"model": state}, tmp_path / "a.pth")
    selection = compare(open_checkpoint(path), config).select()
    report = write_tuning_file(selection, tmp_path / "t.pth", input_format="imagenet")
    assert report.bit_equal and report.stem is not None
    assert report.stem.folded == (STEM_WEIGHT, STEM_MEAN)
    assert 0 < report.stem.difference < 1e-6
    assert f"{len(selection) - 2} unchanged and read back bit-equal" in str(report)
    written = torch.load(report.path, weights_only=True)
    original = selection.read()
    changed = [k for k, v in written["model"].items() if not torch.equal(v, original[k])]
    assert changed == [f"backbone.{STEM_WEIGHT}", f"backbone.{STEM_MEAN}"]
    assert written["rtdetr_nb"]["input_format"]["name"] == "imagenet"


def test_without_an_input_format_nothing_is_said_of_it(tmp_path):
    path = save({"model": prefixed("backbone.", backbone())}, tmp_path / "a.pth")
    report = write_tuning_file(compare(open_checkpoint(path), CONFIG).select(), tmp_path / "t.pth")
    assert report.stem is None and "input_format" not in report.provenance
    assert str(report).endswith("read back bit-equal")


def test_what_was_loaded_is_proved_against_the_mended_values(tmp_path):
    path = save({"model": prefixed("backbone.", backbone())}, tmp_path / "a.pth")
    selection = compare(open_checkpoint(path), CONFIG).select()
    report = write_tuning_file(selection, tmp_path / "t.safetensors", input_format="half")
    model = build_model(CONFIG)
    load_tuning_file(model, report.path)
    assert all(prove_loaded(model, selection, "half").values())
    assert sum(not same for same in prove_loaded(model, selection).values()) == 2


def test_a_stem_that_is_not_finite_leaves_no_file(tmp_path):
    state = {k: v.clone() for k, v in prefixed("backbone.", backbone()).items()}
    state[f"backbone.{STEM_WEIGHT}"][0] = float("nan")
    path = save({"model": state}, tmp_path / "a.pth")
    selection = compare(open_checkpoint(path), CONFIG).select()
    with pytest.raises(TuningError, match="finite"):
        write_tuning_file(selection, tmp_path / "t.pth", input_format="imagenet")
    assert not (tmp_path / "t.pth").exists()


def test_a_wrong_folding_is_noticed():
    """The proof is no formality: half of the constant left out is seen."""
    state = {k: v for k, v in backbone().items() if k.startswith("stem.stem1.")}
    mended = fold_into_stem(state, "imagenet")
    halved = {**mended, STEM_MEAN: (mended[STEM_MEAN] + state[STEM_MEAN]) / 2}
    with pytest.raises(TuningError, match="could not be rewritten"):
        prove_stem(state, halved, FORMATS["imagenet"])
