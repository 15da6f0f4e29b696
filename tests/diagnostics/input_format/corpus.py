"""Backbones that are sound, broken in known ways, or made for other pictures.

Each case is a function from the demo backbone (and a second, foreign network that is sound in
itself) to a state dict, with what should be said of it: the first layer that is named, and a word
of its cause.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rtdetr_nb.checkpoint.checkpoint import open_checkpoint
from rtdetr_nb.checkpoint.comparison.diff import compare
from rtdetr_nb.checkpoint.tuning.input_format import FORMATS, STEM_MEAN, STEM_WEIGHT, InputFormat
from rtdetr_nb.config.load import load_config
from rtdetr_nb.config.schema import BackboneConfig
from rtdetr_nb.model.build import make_backbone
from tests.checkpoint.wild import as_dfine, as_hugging_face
from tests.paths import ROOT

DEMO = ROOT / "data" / "demo_backbone_mmdet.pth"

State = dict[str, Tensor]
Build = Callable[[State, State], State]

LAYER = "stages.1.blocks.0.layers.3"
DEPTHWISE = "stages.2.blocks.1.layers.2.conv2"
SQUEEZE = "stages.3.blocks.0.aggregation_squeeze_conv"


def demo_state() -> State:
    """The demo backbone under official names, float32, live norms."""
    overrides = ["HGNetv2.pretrained=False", "HGNetv2.freeze_norm=False"]
    diff = compare(open_checkpoint(DEMO), load_config("rtdetrv2_hgnetv2_l", overrides))
    values = diff.select("backbone.*").read()
    return {name.removeprefix("backbone."): value for name, value in values.items()}


def foreign_state(
    pictures: Tensor, variant: str = "L", seed: int = 5, use_lab: bool = False
) -> State:
    """Random convolutions whose norms hold the statistics of these pictures: sound in itself."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = make_backbone(BackboneConfig(name=variant, use_lab=use_lab)).train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain mean over all batches, here of one
    with torch.no_grad():
        net(pictures)
    return net.state_dict()


@dataclass(frozen=True)
class Case:
    """One backbone.

    Attributes:
        what: it is, in words.
        build: makes it of the demo backbone and the foreign network.
        first: the layer that should be named first; "" where none should be.
        cause: a word of the cause that should be named.
        format: name of the input format that should be found; None if none can be.
        pictures: the kind of pictures that it is checked with.
    """

    what: str
    build: Build
    first: str = ""
    cause: str = ""
    format: str | None = "zero_one"
    pictures: str = "shapes"


def expecting(state: Mapping[str, Tensor], wanted: InputFormat) -> State:
    """The same backbone as a distillation on pictures of that format would have saved it."""
    weight = state[STEM_WEIGHT].double()
    if wanted.order == "BGR":
        weight = weight.flip(1)
    gain, offset = (weight.new_tensor(v).view(1, 3, 1, 1) for v in (wanted.gain, wanted.offset))
    weight = weight / gain
    mean = state[STEM_MEAN].double() + (weight * offset).sum((1, 2, 3))
    return {**state, STEM_WEIGHT: weight.float(), STEM_MEAN: mean.float()}


def _for(name: str) -> Build:
    return lambda own, _: expecting(own, FORMATS[name])


def _change(pattern: str, change: Callable[[Tensor], Tensor]) -> Build:
    """Apply a change to every floating tensor whose name starts and ends like `begin*end`."""
    begin, _, end = pattern.partition("*")

    def build(own: State, _: State) -> State:
        return {
            name: change(value)
            if value.is_floating_point() and name.startswith(begin) and name.endswith(end)
            else value
            for name, value in own.items()
        }

    return build


_STATISTICS = ("running_mean", "running_var")


def _of_foreign(begin: str, end: str | tuple[str, ...] = "") -> Build:
    """Take what starts and ends so from the foreign network."""
    return lambda own, foreign: {
        name: foreign[name] if name.startswith(begin) and name.endswith(end) else value
        for name, value in own.items()
    }


def _random_convolutions(begin: str) -> Build:
    def build(own: State, _: State) -> State:
        generator = torch.Generator().manual_seed(1)
        changed = dict(own)
        for name, value in own.items():
            if name.startswith(begin) and value.ndim == 4:
                spread = (2.0 / value[0].numel()) ** 0.5
                changed[name] = torch.randn(value.shape, generator=generator) * spread
        return changed

    return build


def _permuted(layer: str, axis: int) -> Build:
    def build(own: State, _: State) -> State:
        name, generator = f"{layer}.conv.weight", torch.Generator().manual_seed(0)
        order = torch.randperm(own[name].shape[axis], generator=generator)
        return {**own, name: own[name].index_select(axis, order)}

    return build


def _exchanged(first: str, second: str) -> Build:
    def build(own: State, _: State) -> State:
        def renamed(name: str) -> str:
            if name.startswith(first):
                return second + name.removeprefix(first)
            return first + name.removeprefix(second) if name.startswith(second) else name

        return {name: own[renamed(name)] for name in own}

    return build


def _pruned(own: State, _: State) -> State:
    name = "stages.2.blocks.0.layers.1.conv1.conv.weight"
    weight = own[name].clone()
    weight[::2] = 0
    return {**own, name: weight}


def _averaged(own: State, foreign: State) -> State:
    return {
        name: (value + foreign[name]) / 2 if value.is_floating_point() else value
        for name, value in own.items()
    }


def _untrained(*_: State) -> State:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return make_backbone(BackboneConfig(name="L")).state_dict()


def _noisy(share: float) -> Build:
    def build(own: State, _: State) -> State:
        generator = torch.Generator().manual_seed(0)
        return {
            name: value * (1 + share * torch.randn(value.shape, generator=generator))
            if value.is_floating_point()
            else value
            for name, value in own.items()
        }

    return build


def _unchanged(own: State, _: State) -> State:
    return own


def _without_counters(own: State, _: State) -> State:
    return {k: v for k, v in own.items() if not k.endswith("num_batches_tracked")}


SOUND = [
    Case("the demo backbone", _unchanged),
    *(
        Case(f"on other pictures: {kind}", _unchanged, format=found, pictures=kind)
        for kind, found in {
            "one picture": "zero_one",
            "dark": "zero_one",
            "bright": None,
            "grey": "zero_one",
            "screens": "zero_one",
            "gradients": None,
            "noise": "zero_one",
        }.items()
    ),
    Case("half precision", _change("*", Tensor.half)),
    Case("bfloat16", _change("*", Tensor.bfloat16)),
    Case("1 % of noise on all values", _noisy(0.01)),
    Case("5 % of noise on all values", _noisy(0.05)),
    Case("D-FINE's and timm's names", lambda own, _: as_dfine(own)),
    Case("Hugging Face's names", lambda own, _: as_hugging_face(own)),
    Case("frozen norms, without counters", _without_counters),
    Case("another network", lambda _, foreign: foreign),
    Case("another network, on screens", lambda _, foreign: foreign, format=None,
         pictures="screens"),
]  # fmt: skip

NORMALISED = [
    Case(f"made for {name}", _for(name), format=name)
    for name in ("imagenet", "half", "mean_only", "zero_255", "mean_only_255")
]

BROKEN = [
    Case("stage 2's convolutions random", _random_convolutions("stages.2"),
         "stages.2.downsample", "does not belong"),
    Case("the stem's convolutions random", _random_convolutions("stem"), "stem.stem1",
         "does not belong", format=None),
    Case("one convolution random", _random_convolutions(f"{LAYER}."), LAYER, "does not belong"),
    Case("one depth-wise convolution random", _random_convolutions(f"{DEPTHWISE}."), DEPTHWISE,
         "does not belong"),
    Case("one convolution's outputs permuted", _permuted(LAYER, 0), LAYER, "another order"),
    Case("a depth-wise convolution's outputs permuted", _permuted(DEPTHWISE, 0), DEPTHWISE,
         "another order"),
    Case("an aggregation's inputs permuted", _permuted(SQUEEZE, 1), SQUEEZE, "another order"),
    Case("two blocks of a stage exchanged",
         _exchanged("stages.2.blocks.1.", "stages.2.blocks.2."),
         "stages.2.blocks.1.layers.0.conv1", "exchanged block"),
    Case("two norms exchanged",
         _exchanged("stages.1.blocks.0.layers.2.bn.", f"{LAYER}.bn."),
         "stages.1.blocks.0.layers.2", f"those of {LAYER}"),
    Case("one convolution's sign turned", _change(f"{LAYER}.*conv.weight", torch.neg), LAYER,
         "sign"),
    Case("one convolution times 3", _change(f"{LAYER}.*conv.weight", lambda v: 3 * v), LAYER,
         "times as large"),
    Case("one convolution times 1.5", _change(f"{LAYER}.*conv.weight", lambda v: 1.5 * v), LAYER,
         "times as large"),
    Case("one running variance times 10",
         _change(f"{LAYER}.bn.*running_var", lambda v: 10 * v), LAYER, "variance is scaled"),
    Case("all running variances times 2", _change("*running_var", lambda v: 2 * v),
         "running_mean, running_var", "scaled"),
    Case("half of a layer's channels pruned", _pruned,
         "stages.2.blocks.0.layers.1.conv1", "pruned"),
    Case("all statistics reset",
         lambda own, _: _change("*running_mean", torch.zeros_like)(
             _change("*running_var", torch.ones_like)(own, {}), {}),
         "stem.stem1", "initial", format=None),
    Case("statistics of another network", _of_foreign("", _STATISTICS), "stem.stem2a",
         "does not belong", format=None),
    Case("stage 3's statistics of another network", _of_foreign("stages.3", _STATISTICS),
         "stages.3.downsample", ""),
    Case("the average of two networks", _averaged, "running_mean, running_var", "averaged"),
    Case("never trained", _untrained, "stem.stem1", "initial", format=None),
    Case("stage 2 of another network", _of_foreign("stages.2"),
         "stages.3.blocks.0.layers.0.conv1", ""),
]  # fmt: skip

NOT_FOUND = [
    Case("BGR instead of RGB", _for("zero_one_bgr")),
    Case("one layer of another network, its norm too", _of_foreign(f"{LAYER}.")),
    Case("the last stage of another network", _of_foreign("stages.3")),
    Case("one 3 x 3 convolution's inputs permuted", _permuted(LAYER, 1)),
    Case("stage 2's norms without their scale",
         lambda own, _: _change("stages.2*bn.weight", torch.ones_like)(own, {})),
]  # fmt: skip
